"""The LiteLLM half of the matrix without a proxy: its functions and its router, every way of calling them."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # before LiteLLM is imported: it asks the network

import litellm
from bypass_counting import ANSWER, MODEL_STAGES, PROMPT, Came, Fault, faults, govern_everyone, watched
from pydantic import BaseModel

import checkrein_litellm
from checkrein import Decision, EnforcementPoint, Stage, acting_as
from checkrein.testing import Failure, Upstream
from checkrein_litellm import PolicyClient, PolicyRouter
from checkrein_litellm.sdk import functions as sdk

SAID = [{"role": "user", "content": PROMPT}]
SAID_AGAIN = [{"role": "user", "content": f"again, {PROMPT}"}]
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
AS_CALL = {"name": "look", "arguments": json.dumps({"query": ANSWER}, ensure_ascii=False)}
PICTURE = b"\x89PNG\r\n\x1a\n"
# The client of OpenAI waits no longer before it tries again.
BROKEN = Failure(500, headers={"retry-after-ms": "1"})
TOO_LONG = Failure(
    400,
    {
        "error": {
            "message": "This model's maximum context length is 9 tokens",
            "type": "invalid_request_error",
            "param": "messages",
            "code": "context_length_exceeded",
        }
    },
)
# How LiteLLM reaches what both the functions and the router know by these names.
MODELS: Mapping[str, str] = {
    "gpt-4o": "openai/gpt-4o",
    "gpt-4o-mini": "openai/gpt-4o-mini",
    "claude": "anthropic/claude",
    "completer": "text-completion-openai/completer",
    "gemini": "gemini/gemini",
    "listener": "openai/whisper-1",
    "painter": "openai/gpt-image-1",
    "ranker": "hosted_vllm/ranker",
}
# The router's own: a group, a model of it, and a deployment's id. No router waits where another one is left.
DEPLOYMENTS = (
    *((name, name, f"id-{name}") for name in MODELS),
    ("gpt-4o-pair", "gpt-4o", "id-one"),
    ("gpt-4o-pair", "gpt-4o", "id-two"),
    ("gpt-4o-sick", "gpt-4o", "id-sick"),
    ("gpt-4o-short", "gpt-4o", "id-short"),
)
GIVEN: Mapping[str, Mapping[str, Any]] = {
    "completion": {"model": "gpt-4o", "messages": SAID},
    "text_completion": {"model": "completer", "prompt": PROMPT},
    "responses": {"model": "gpt-4o", "input": PROMPT},
    "anthropic_messages": {"model": "claude", "messages": SAID, "max_tokens": 50},
    "generate_content": {"model": "gemini", "contents": [{"role": "user", "parts": [{"text": PROMPT}]}]},
    "embedding": {"model": "gpt-4o", "input": [PROMPT]},
    "image_generation": {"model": "gpt-4o", "prompt": PROMPT},
    "image_edit": {"model": "painter", "prompt": PROMPT, "image": PICTURE},
    "moderation": {"model": "gpt-4o", "input": PROMPT},
    "rerank": {"model": "ranker", "query": PROMPT, "documents": ["one", PROMPT]},
    "speech": {"model": "gpt-4o", "input": PROMPT, "voice": "alloy"},
    "transcription": {"model": "listener", "prompt": PROMPT, "file": ("a.wav", b"RIFF")},
    "abatch_completion": {"models": ["gpt-4o", "gpt-4o-mini"], "messages": SAID},
    "abatch_completion_fastest_response": {"model": "gpt-4o, gpt-4o-mini", "messages": SAID},
    "abatch_completion_one_model_multiple_requests": {"model": "gpt-4o", "messages": [SAID, SAID]},
    "aadapter_completion": {"adapter_id": "one", "model": "gpt-4o", "messages": SAID},
}
SAYING_NOTHING = frozenset({"embedding", "moderation", "rerank", "speech"})


@dataclass(frozen=True, slots=True)
class Way:
    """A way of calling.

    Args:
        call: LiteLLM's name of it, without the `a` of the asynchronous one.
        options: parameters beside the usual ones.
        replies: what the provider answers, request by request.
        cached: whether somebody who may have the answer has it first, and LiteLLM keeps it.
        denied: whether it cannot be governed, and every call of it is denied.
        refusal: what a denial comes out as, where LiteLLM itself makes another error of it.
    """

    call: str
    options: Mapping[str, Any] = field(default_factory=dict)
    replies: Any = ANSWER
    cached: bool = False
    denied: bool = False
    refusal: str = "denied"

    @property
    def streams(self) -> bool:
        """Whether the answer comes in pieces."""
        return bool(self.options.get("stream"))

    @property
    def answers(self) -> bool:
        """Whether the answer says anything."""
        return self.call not in SAYING_NOTHING

    def streamed(self) -> Way:
        """The same, with an answer that comes in pieces."""
        return replace(self, options={**self.options, "stream": True})


def _with_streams(ways: Mapping[str, Way]) -> dict[str, Way]:
    return {
        name: one
        for way, plain_one in ways.items()
        for name, one in ((way, plain_one), (f"{way}, streamed", plain_one.streamed()))
    }


_HERE = {"messages": SAID_AGAIN, "model": "gpt-4o-mini"}
_COMMON = {
    **_with_streams(
        {
            "chat": Way("completion"),
            "chat, n=2": Way("completion", {"n": 2}),
            "chat, tool call": Way("completion", {"tools": [TOOL]}, AS_CALL),
            "chat, cache hit": Way("completion", {"caching": True}, cached=True),
            "chat, client fallbacks": Way("completion", {"fallbacks": ["gpt-4o-mini"]}, [BROKEN, ANSWER]),
            "completions": Way("text_completion"),
            "responses": Way("responses"),
        }
    ),
    "embeddings": Way("embedding"),
    "images": Way("image_generation"),
}
_ASYNC = {
    **_with_streams({"messages": Way("anthropic_messages")}),
    "generateContent": Way("generate_content"),
    "generateContent, streamed": Way("generate_content", {"stream": True}, denied=True),
}
_LESSER = {
    "image edits": Way("image_edit"),
    "moderations": Way("moderation"),
    "rerank": Way("rerank"),
    "speech": Way("speech"),
    "transcriptions": Way("transcription"),
}
_SDK = {
    **_COMMON,
    **_LESSER,
    **_with_streams(
        {
            "chat, retry": Way("completion", {"max_retries": 1}, [BROKEN, ANSWER]),
            "chat, longer context": Way(
                "completion", {"context_window_fallback_dict": {"gpt-4o": "gpt-4o-mini"}}, [TOO_LONG, ANSWER]
            ),
            "chat, client fallbacks with a prompt": Way(
                "completion", {"fallbacks": [_HERE]}, [BROKEN, ANSWER]
            ),
            "chat, models in the call": Way("completion", {"model_list": [{"model": "gpt-4o"}]}, denied=True),
            "chat, body in the call": Way("completion", {"extra_body": {"messages": SAID}}, denied=True),
        }
    ),
}
_ROUTER = {
    **_COMMON,
    **_with_streams(
        {
            "chat, retry": Way("completion", {"model": "gpt-4o-pair", "num_retries": 1}, [BROKEN, ANSWER]),
            "chat, fallback": Way("completion", {"model": "gpt-4o-sick"}, [BROKEN, ANSWER]),
            "chat, longer context": Way("completion", {"model": "gpt-4o-short"}, [TOO_LONG, ANSWER]),
            "chat, client fallbacks with a prompt": Way(
                "completion", {"fallbacks": [_HERE]}, [BROKEN, ANSWER]
            ),
            "chat, deployment id": Way("completion", {"model": "id-gpt-4o"}),
            "chat, alias": Way("completion", {"model": "best"}),
        }
    ),
}
# The synchronous router calls LiteLLM by the name of the group: the provider is known by that alone.
_BRIDGED = _with_streams({"completions": Way("text_completion", {"model": "gpt-4o"})})
_ROUTER_ASYNC = {
    **_ASYNC,
    **_LESSER,
    "several models": Way("abatch_completion"),
    "fastest of several models": Way("abatch_completion_fastest_response", refusal="Exception"),
    "several prompts": Way("abatch_completion_one_model_multiple_requests"),
    "adapter": Way("aadapter_completion", denied=True),
}


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


def reached(name: str, upstream: Upstream) -> dict[str, Any]:
    """How LiteLLM reaches a model.

    Args:
        name: one of `MODELS`.
        upstream: the provider.
    """
    base = upstream.url.removesuffix("/v1") if name == "claude" else upstream.url
    return {"model": MODELS[name], "api_base": base, "api_key": "k"}


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
    "SDK, sync": Mechanism(Lab.functions, _SDK),
    "SDK, async": Mechanism(Lab.functions, {**_SDK, **_ASYNC}, asynchronous=True),
    "router, sync": Mechanism(Lab.router, {**_ROUTER, **_BRIDGED}),
    "router, async": Mechanism(Lab.router, {**_ROUTER, **_ROUTER_ASYNC}, asynchronous=True),
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
        return way.refusal
    return "redacted" if fault.kind == "redact" else "passed"
