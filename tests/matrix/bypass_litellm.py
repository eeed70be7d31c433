"""The LiteLLM half of the matrix without a proxy: its functions and its router, every way of calling them."""

from __future__ import annotations

import asyncio
import inspect
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # before LiteLLM is imported: it asks the network

import litellm
from bypass_counting import MODEL_STAGES, Came, Fault, faults, govern_everyone, watched
from bypass_litellm_ways import DEPLOYMENTS, GIVEN, MODELS, ROUTER, ROUTER_ASYNC, SDK, SDK_ASYNC, Way, reached
from pydantic import BaseModel

import checkrein_litellm
from checkrein import Decision, EnforcementPoint, Stage, acting_as
from checkrein.testing import Upstream
from checkrein_litellm import PolicyClient, PolicyRouter
from checkrein_litellm.sdk import functions as sdk


@dataclass(frozen=True, slots=True)
class Mechanism:
    """What is called.

    Args:
        target: where the calls are, by how streams leave.
        ways: how it is called.
        asynchronous: whether its calls are awaited.
    """

    target: Callable[[Lab, str], Any]
    ways: Mapping[str, Way]
    asynchronous: bool = False

    def named(self, target: Any, call: str) -> Any:
        """A call of the target by LiteLLM's name of it, in its asynchronous form or in the other."""
        names = (f"a{call}", call) if self.asynchronous else (call,)
        return next(getattr(target, name) for name in names if hasattr(target, name))


def _client(pep: EnforcementPoint, upstream: Upstream) -> PolicyClient:
    return PolicyClient(pep, models={name: reached(name, upstream) for name in MODELS})


def _router(pep: EnforcementPoint, upstream: Upstream) -> PolicyRouter:
    models = [
        {
            "model_name": group,
            "litellm_params": {**reached(name, upstream), "max_retries": 0},
            "model_info": {"id": number},
        }
        for group, name, number in DEPLOYMENTS
    ]
    return PolicyRouter(
        model_list=models,
        pep=pep,
        num_retries=0,
        retry_after=0,
        disable_cooldowns=True,
        model_group_alias={"best": "gpt-4o"},
        fallbacks=[{"gpt-4o-sick": ["gpt-4o-mini"]}],
        context_window_fallbacks=[{"gpt-4o-short": ["gpt-4o-mini"]}],
    )


class Lab:
    """What is called in all cells: one client and one router for each way that streams leave.

    Args:
        upstream: the provider.
    """

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.records: dict[str, list[Decision]] = {}
        self._clients: dict[str, PolicyClient] = {}
        self._routers: dict[str, PolicyRouter] = {}
        for mode in ("hold", "window"):
            pep, self.records[mode] = govern_everyone(mode)
            self._clients[mode] = _client(pep, upstream)
            self._routers[mode] = _router(pep, upstream)

    def functions(self, mode: str) -> Any:
        """The module with LiteLLM's functions, governed."""
        sdk.install(self._clients[mode])
        return checkrein_litellm

    def router(self, mode: str) -> PolicyRouter:
        """The router."""
        return self._routers[mode]


MECHANISMS: Mapping[str, Mechanism] = {
    "SDK, sync": Mechanism(Lab.functions, SDK),
    "SDK, async": Mechanism(Lab.functions, SDK_ASYNC, asynchronous=True),
    "router, sync": Mechanism(Lab.router, ROUTER),
    "router, async": Mechanism(Lab.router, ROUTER_ASYNC, asynchronous=True),
}


async def call(
    mechanism: Mechanism, way: Way, mode: str, fault: Fault, lab: Lab
) -> tuple[Came, list[Decision]]:
    """Call in one way under one fault, and keep everything that the caller got.

    Args:
        mechanism: what is called.
        way: how.
        mode: how streams leave: `hold` or `window`.
        fault: what the engine does.
        lab: where.

    Returns:
        What came of it, and the decisions.
    """
    if way.cached:
        litellm.cache = litellm.Cache(type="local")
        first = await _called(mechanism, way, mode, Fault("permit"), lab)
        if first.error is not None:
            raise first.error
        await _kept()
        lab.upstream.wait()
        lab.upstream.clear()
    lab.records[mode].clear()
    lab.upstream.reply = way.replies
    return await _called(mechanism, way, mode, fault, lab), list(lab.records[mode])


async def _called(mechanism: Mechanism, way: Way, mode: str, fault: Fault, lab: Lab) -> Came:
    came = Came(cell="")
    given = deepcopy({**GIVEN[way.call], **way.options})
    function = mechanism.named(mechanism.target(lab, mode), way.call)
    try:
        with acting_as(fault.caller):
            if mechanism.asynchronous:
                async for one in _awaited(function, given):
                    came.given.append(one)
            else:
                # As an application without an event loop would: in a thread that has none.
                await asyncio.to_thread(lambda: came.given.extend(_read(function, given)))
    except Exception as error:  # noqa: BLE001 -- what it is, the cell says
        came.error = error
    came.heard += [text for one in (*came.given, came.error) for text in _inside(one)]
    return came


def _read(function: Callable[..., Any], given: Mapping[str, Any]) -> Iterator[Any]:
    answer = function(**given)
    if given.get("stream"):
        yield from answer
    else:
        yield answer


async def _awaited(function: Callable[..., Any], given: Mapping[str, Any]) -> AsyncIterator[Any]:
    answer = function(**given)
    answer = await answer if inspect.isawaitable(answer) else answer
    if given.get("stream"):
        async for one in answer:
            yield one
    else:
        for one in answer if isinstance(answer, list) else [answer]:
            # Of several calls at once LiteLLM hands errors out among the answers.
            if isinstance(one, Exception):
                raise one
            yield one


def _inside(one: Any) -> Iterator[str]:
    """What an answer or an error carries besides what it shows."""
    if isinstance(one, bytes):
        yield one.decode(errors="replace")
    elif isinstance(one, BaseModel | Exception):
        yield repr(getattr(one, "__dict__", None))
        yield repr(getattr(one, "__pydantic_private__", None))


async def _kept() -> None:
    """Wait until LiteLLM's cache has the answer: it is stored a moment after it is given out."""
    deadline = time.monotonic() + 20
    while not litellm.cache.cache.cache_dict:
        if time.monotonic() > deadline:
            raise AssertionError("nothing came into the cache")
        await asyncio.sleep(0.001)


def faults_for(way: Way, mode: str) -> list[Fault]:
    """The faults of a way: how a stream leaves matters to what is done to answers alone.

    Args:
        way: how it is called; what is denied in any case is denied by no engine, and monitoring lets it pass
            to whatever LiteLLM makes of it.
        mode: how streams leave.
    """
    all_of_them = [*faults(MODEL_STAGES), *([] if way.denied else watched(MODEL_STAGES))]
    if mode == "hold":
        return all_of_them
    return [fault for fault in all_of_them if fault.stage in {None, Stage.POST_COMPLETION}]


def shows(fault: Fault, way: Way) -> str:
    """What must come of a way under a fault, in the words of `Count.outcome`."""
    if way.denied:
        return "denied"
    if fault.refuses and (way.answers or fault.stage is not Stage.POST_COMPLETION):
        return "denied"
    return "redacted" if fault.kind == "redact" else "passed"
