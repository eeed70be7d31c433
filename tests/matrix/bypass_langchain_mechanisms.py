"""What governs LangChain in the matrix, the clients that a cell has, and who listens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx
from bypass_counting import PROMPT
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import HumanMessage
from langchain_core.tracers.base import BaseTracer
from langchain_openai import ChatOpenAI

from checkrein import EnforcementPoint
from checkrein.testing import Upstream
from checkrein_langchain import PolicyCallbackHandler, PolicyMiddleware, PolicyRouter, guard


class Listener(BaseCallbackHandler):
    """Keeps what callbacks are told of answers."""

    def __init__(self, heard: list[str]) -> None:
        self.heard = heard

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        self.heard.append(repr((token, kwargs)))

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self.heard.append(repr(response))

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        self.heard.append(repr((error, kwargs)))

    def on_chain_end(self, outputs: Any, **kwargs: Any) -> None:
        self.heard.append(repr(outputs))

    def on_tool_start(self, serialized: Any, input_str: str, **kwargs: Any) -> None:
        self.heard.append(repr((input_str, kwargs)))


class Tracer(BaseTracer):
    """Keeps the outputs of every run, as LangSmith's tracer would send them."""

    def __init__(self, heard: list[str]) -> None:
        super().__init__()
        self.heard = heard

    def _persist_run(self, run: Any) -> None:
        todo = [run]
        while todo:
            one = todo.pop()
            todo += one.child_runs
            self.heard.append(repr((one.outputs, one.error, one.events)))


@dataclass(slots=True)
class Lab:
    """One cell's own clients, enforcement point and listeners."""

    upstream: Upstream
    pep: EnforcementPoint
    client: httpx.Client
    cell: str
    aclient: httpx.AsyncClient | None = None
    stack: ExitStack = field(default_factory=ExitStack)

    def chat(self, model: str = "gpt-4o", **options: Any) -> ChatOpenAI:
        """A real client of the upstream."""
        return ChatOpenAI(
            model=model,
            base_url=self.upstream.url,
            api_key="none",
            max_retries=0,
            # A call that was cancelled in one cell can reach the upstream in the next.
            default_headers={"x-cell": self.cell},
            http_client=self.client,
            http_async_client=self.aclient,
            **options,
        )


@dataclass(frozen=True, slots=True)
class Mechanism:
    """A way of governing.

    Args:
        model: governs a chat model; or None where it governs agents alone.
        middleware: what agents are made with.
        agents_alone: whether only an agent as a whole is governed by it.
        callback: whether it is no more than a callback. It cannot redact and cannot withhold a stream, and
            denies these; and other callbacks hear of an answer when it does.
    """

    model: Callable[..., Any]
    middleware: Callable[[Lab], list[Any]] = lambda _: []
    agents_alone: bool = False
    callback: bool = False

    def agent(self, lab: Lab, options: Mapping[str, Any] = {}, **how: Any) -> Any:
        """An agent that is governed."""
        tools = how.pop("tools", [])
        return create_agent(self.model(lab, **options), tools, middleware=self.middleware(lab), **how)

    def target(self, lab: Lab, **options: Any) -> Any:
        """What is called: a chat model or an agent."""
        return self.agent(lab, options) if self.agents_alone else self.model(lab, **options)

    @property
    def input(self) -> Any:
        """What it is called with."""
        said = [HumanMessage(PROMPT)]
        return {"messages": said} if self.agents_alone else said


def _tripped(lab: Lab, **options: Any) -> ChatOpenAI:
    handler = PolicyCallbackHandler(lab.pep)
    lab.stack.callback(handler.install())
    return lab.chat(**options)


def _routed(lab: Lab, **options: Any) -> Any:
    models = {name: lab.chat(name, **options) for name in ("gpt-4o", "gpt-4o-mini")}
    return PolicyRouter(models=models, pep=lab.pep)


MECHANISMS: Mapping[str, Mechanism] = {
    "guard": Mechanism(lambda lab, **options: guard(lab.chat(**options), lab.pep)),
    "router": Mechanism(_routed),
    "middleware": Mechanism(
        lambda lab, **options: lab.chat(**options),
        lambda lab: [PolicyMiddleware(lab.pep)],
        agents_alone=True,
    ),
    "handler": Mechanism(_tripped, callback=True),
}
