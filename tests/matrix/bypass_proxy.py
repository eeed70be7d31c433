"""The LiteLLM half of the matrix through a real proxy: every endpoint, with the clients that people use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bypass_counting import ANSWER, PROMPT, Came, Fault
from bypass_litellm_ways import AS_CALL, BROKEN, PICTURE, SAID, SAID_AGAIN, TOO_LONG, TOOL
from bypass_proxy_process import Proxy

from checkrein import denial_from
from checkrein.testing import Upstream


class DeniedByProxyError(Exception):
    """A denial, whatever a client made of it."""


Ask = Callable[[Proxy, str, str, Mapping[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Way:
    """A way of asking a proxy.

    Args:
        ask: asks, with a key, a model and further parameters.
        model: the model.
        options: the parameters.
        replies: what the provider answers, request by request.
        answers: whether the answer says anything.
        cached: whether the answer is in the proxy's cache.
        denied: whether it cannot be governed, and every call of it is denied.
    """

    ask: Ask
    model: str = "gpt-4o"
    options: Mapping[str, Any] = field(default_factory=dict)
    replies: Any = ANSWER
    answers: bool = True
    cached: bool = False
    denied: bool = False

    @property
    def streams(self) -> bool:
        """Whether the answer comes in pieces."""
        return bool(self.options.get("stream"))

    def streamed(self) -> Way:
        """The same, with an answer that comes in pieces."""
        return replace(self, options={**self.options, "stream": True})


def _chat(proxy: Proxy, key: str, model: str, more: Mapping[str, Any]) -> Any:
    return proxy.openai(key).chat.completions.create(model=model, messages=SAID, **more)


def _complete(proxy: Proxy, key: str, model: str, more: Mapping[str, Any]) -> Any:
    return proxy.openai(key).completions.create(model=model, prompt=PROMPT, **more)


def _respond(proxy: Proxy, key: str, model: str, more: Mapping[str, Any]) -> Any:
    return proxy.openai(key).responses.create(model=model, input=PROMPT, **more)


def _message(proxy: Proxy, key: str, model: str, more: Mapping[str, Any]) -> Any:
    return proxy.anthropic(key).messages.create(model=model, messages=SAID, max_tokens=50, **more)


def _embed(proxy: Proxy, key: str, model: str, more: Mapping[str, Any]) -> Any:
    return proxy.openai(key).embeddings.create(model=model, input=[PROMPT], **more)


def _draw(proxy: Proxy, key: str, model: str, more: Mapping[str, Any]) -> Any:
    return proxy.openai(key).images.generate(model=model, prompt=PROMPT, **more)


def _redraw(proxy: Proxy, key: str, model: str, more: Mapping[str, Any]) -> Any:
    return proxy.openai(key).images.edit(model=model, prompt=PROMPT, image=("a.png", PICTURE), **more)


def _moderate(proxy: Proxy, key: str, model: str, more: Mapping[str, Any]) -> Any:
    return proxy.openai(key).moderations.create(model=model, input=PROMPT, **more)


def _speak(proxy: Proxy, key: str, model: str, more: Mapping[str, Any]) -> Any:
    return proxy.openai(key).audio.speech.create(model=model, input=PROMPT, voice="alloy", **more).content


def _listen(proxy: Proxy, key: str, model: str, more: Mapping[str, Any]) -> Any:
    file = ("a.wav", b"RIFF")
    return proxy.openai(key).audio.transcriptions.create(model=model, prompt=PROMPT, file=file, **more)


def _posted(path: str, body: Mapping[str, Any]) -> Ask:
    def ask(proxy: Proxy, key: str, model: str, more: Mapping[str, Any]) -> Any:
        given = {"model": model, **body, **more}
        headers = {"Authorization": f"Bearer {key}"}
        answer = proxy.http.post(path.format(model=model), json=given, headers=headers)
        answer.raise_for_status()
        if "policy_denied" in answer.text:
            raise DeniedByProxyError("in the last frame")
        return answer.text

    return ask


def _with_streams(ways: Mapping[str, Way]) -> dict[str, Way]:
    return {
        name: one
        for way, plain in ways.items()
        for name, one in ((way, plain), (f"{way}, streamed", plain.streamed()))
    }


def _body(**extra: Any) -> dict[str, Any]:
    return {"extra_body": extra}


_GOOGLE = {"contents": [{"role": "user", "parts": [{"text": PROMPT}]}]}
_CACHED = _body(cache={"use-cache": True})
_OTHER_PROMPT = [{"model": "gpt-4o-mini", "messages": SAID_AGAIN}]

WAYS: Mapping[str, Way] = {
    **_with_streams(
        {
            "chat": Way(_chat),
            "chat, n=2": Way(_chat, options={"n": 2}),
            "chat, tool call": Way(_chat, options={"tools": [TOOL]}, replies=AS_CALL),
            "chat, cache hit": Way(_chat, options=_CACHED, cached=True),
            "chat, retry": Way(_chat, "gpt-4o-pair", _body(num_retries=1), [BROKEN, ANSWER]),
            "chat, fallback": Way(_chat, "gpt-4o-sick", replies=[BROKEN, ANSWER]),
            "chat, longer context": Way(_chat, "gpt-4o-short", replies=[TOO_LONG, ANSWER]),
            "chat, client fallbacks": Way(
                _chat, options=_body(fallbacks=["gpt-4o-mini"]), replies=[BROKEN, ANSWER]
            ),
            "chat, client fallbacks with a prompt": Way(
                _chat, options=_body(fallbacks=_OTHER_PROMPT), replies=[BROKEN, ANSWER]
            ),
            "chat, deployment id": Way(_chat, "id-gpt-4o"),
            "chat, alias": Way(_chat, "best"),
            "completions": Way(_complete, "completer"),
            "completions over a bridge": Way(_complete),
            "messages": Way(_message, "claude"),
            "messages over a bridge": Way(_message),
            "responses": Way(_respond),
            "responses over a bridge": Way(_respond, "claude"),
        }
    ),
    "chat, several models": Way(_posted("/v1/chat/completions", {"messages": SAID}), "gpt-4o,gpt-4o-mini"),
    "chat, several models, streamed": Way(_chat, "gpt-4o,gpt-4o-mini", {"stream": True}, denied=True),
    "chat, fastest of several models": Way(_chat, "gpt-4o,gpt-4o-mini", _body(fastest_response=True)),
    "generateContent": Way(_posted("/v1beta/models/{model}:generateContent", _GOOGLE), "gemini"),
    "generateContent, streamed": Way(
        _posted("/v1beta/models/{model}:streamGenerateContent?alt=sse", _GOOGLE), "gemini", {"stream": True}
    ),
    "embeddings": Way(_embed, answers=False),
    "images": Way(_draw),
    "image edits": Way(_redraw, "painter"),
    "moderations": Way(_moderate, answers=False),
    "rerank": Way(
        _posted("/v1/rerank", {"query": PROMPT, "documents": ["one", PROMPT]}), "ranker", answers=False
    ),
    "speech": Way(_speak, answers=False),
    "transcriptions": Way(_listen, "listener", denied=True),
    "token counting": Way(
        _posted("/utils/token_counter?call_endpoint=true", {"messages": SAID}), denied=True
    ),
    "pass-through": Way(_posted("/pass/chat/completions", {"messages": SAID}), denied=True),
}


def call(way: Way, fault: Fault, proxy: Proxy, upstream: Upstream) -> Came:
    """Ask a proxy in one way under one fault, and keep everything that its client was given.

    Args:
        way: how.
        fault: what the engine does to whoever has the fault's key.
        proxy: the proxy.
        upstream: its provider.
    """
    if way.cached:
        _fill(way, proxy, upstream)
    upstream.reply = way.replies
    proxy.came.clear()
    came = Came(cell="")
    try:
        came.given.extend(_read(way.ask(proxy, fault.key, way.model, way.options), streams=way.streams))
    except Exception as error:  # noqa: BLE001 -- what it is, the cell says
        came.error = error
        if denial_from(error) is not None:
            came.error = DeniedByProxyError()
            came.error.__cause__ = error
    came.heard.append(b"".join(proxy.came).decode(errors="replace"))
    return came


def _fill(way: Way, proxy: Proxy, upstream: Upstream) -> None:
    """Let somebody who may have the answer ask until it comes from the cache."""
    for _ in range(50):
        upstream.clear()
        list(_read(way.ask(proxy, Fault("permit").key, way.model, way.options), streams=way.streams))
        upstream.wait()
        if not upstream.requests:
            return
    raise AssertionError("the answer is not kept")


def _read(answer: Any, *, streams: bool) -> Iterable[Any]:
    return answer if streams and not isinstance(answer, str) else [answer]
