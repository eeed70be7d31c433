"""The LiteLLM half of the matrix through a real proxy: every endpoint, with the clients that people use."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import yaml
from bypass_counting import ANSWER, PROMPT, WATCHING, Came, Fault
from bypass_litellm import AS_CALL, BROKEN, DEPLOYMENTS, PICTURE, SAID, SAID_AGAIN, TOO_LONG, TOOL, reached

from checkrein import denial_from
from checkrein.testing import Upstream

HERE = Path(__file__).parent
MASTER_KEY = "sk-test-master-7731"


class DeniedByProxyError(Exception):
    """A denial, whatever a client made of it."""


def wired(library: Any, came: list[bytes], url: str) -> Any:
    """A client that keeps every byte that comes back, headers included.

    Args:
        library: `httpx`, or its namesake that the client of Anthropic uses.
        came: where the bytes are kept.
        url: whom it asks.
    """

    class Kept(library.SyncByteStream):
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        def __iter__(self) -> Iterator[bytes]:
            for piece in self._stream:
                came.append(piece)
                yield piece

        def close(self) -> None:
            self._stream.close()

    class Wire(library.HTTPTransport):
        def handle_request(self, request: Any) -> Any:
            answer = super().handle_request(request)
            came.extend(part for pair in answer.headers.raw for part in pair)
            answer.stream = Kept(answer.stream)
            return answer

    return library.Client(transport=Wire(), base_url=url, timeout=30)


@dataclass
class Proxy:
    """A proxy that runs, and its clients.

    Args:
        url: where it listens.
        folder: where its decision log is.
        came: the bytes that its clients were given.
    """

    url: str
    folder: Path
    came: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.http = wired(httpx, self.came, self.url)
        self._http2 = wired(httpx2, self.came, self.url)
        self._log = (self.folder / "decisions.jsonl").open("rb")

    def openai(self, key: str) -> openai.OpenAI:
        """A client of OpenAI's."""
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, http_client=self.http)

    def anthropic(self, key: str) -> anthropic.Anthropic:
        """A client of Anthropic's."""
        return anthropic.Anthropic(base_url=self.url, auth_token=key, max_retries=0, http_client=self._http2)

    def denied_by_now(self, subject: str) -> set[str]:
        """The stages of a subject's denials since the last question, once there are some."""
        deadline = time.monotonic() + 20
        rest = b""
        while time.monotonic() < deadline:
            *lines, rest = (rest + self._log.read()).split(b"\n")
            found = [json.loads(line) for line in lines]
            stages = {
                one["stage"]
                for one in found
                if one.get("permitted") is False and one["input"]["subject"]["id"] == subject
            }
            if stages:
                return stages
            time.sleep(0.002)
        raise AssertionError("no denial was recorded")

    def close(self) -> None:
        """Give everything back."""
        self._log.close()
        self.http.close()
        self._http2.close()


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
    refusal: str = "denied"

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


@contextmanager
def running(folder: Path, mode: str, upstream: Upstream) -> Iterator[Callable[[], Proxy]]:
    """A proxy process; it is there at once, and the function waits until it answers.

    Args:
        folder: for its files.
        mode: how streams leave: `hold` or `window`.
        upstream: its provider.
    """
    _configure(folder, mode, upstream)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url, log = f"http://127.0.0.1:{port}", folder / "proxy.log"
    command = [str(Path(sys.executable).with_name("litellm")), "--config", str(folder / "config.yaml")]
    listening = ["--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"]
    environment = {
        **os.environ,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_TELEMETRY": "False",
        "NO_PROXY": "*",
        "PYTHONPATH": f"{HERE / 'plugin'}{os.pathsep}{HERE}",
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, *listening], env=environment, stdout=output, stderr=subprocess.STDOUT, cwd=folder
        )
    proxies: list[Proxy] = []

    def proxy() -> Proxy:
        if not proxies:
            _wait(url, process, log)
            proxies.append(Proxy(url, folder))
        return proxies[0]

    try:
        yield proxy
    finally:
        for one in proxies:
            one.close()
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _configure(folder: Path, mode: str, upstream: Upstream) -> None:
    settings = {
        "version": 1,
        "engine": {"bypass": {}},
        "detectors": {stage: ["secret"] for stage in ("pre_prompt", "post_completion")},
        "enforcement": WATCHING,
        "stream": {"mode": mode},
        "decision_log": {"to": "decisions.jsonl"},
    }
    (folder / "checkrein.yaml").write_text(yaml.safe_dump(settings))
    models = [
        {
            "model_name": group,
            "litellm_params": {**reached(name, upstream), "max_retries": 0, **cooling},
            "model_info": {"id": number},
        }
        for group, name, number, cooling in (
            *((*one, {"cooldown_time": 0}) for one in DEPLOYMENTS),
            ("gpt-4o-cool", "gpt-4o", "id-cool", {}),
            ("gpt-4o-cool", "gpt-4o", "id-cooler", {}),
        )
    ]
    params = {
        "guardrail": "checkrein_litellm.PolicyGuard",
        "mode": ["pre_call", "post_call"],
        "default_on": True,
        "checkrein_config": "checkrein.yaml",
    }
    config = {
        "model_list": models,
        "router_settings": {
            "num_retries": 0,
            "retry_after": 0,
            "model_group_alias": {"best": "gpt-4o"},
            "fallbacks": [{"gpt-4o-sick": ["gpt-4o-mini"]}],
            "context_window_fallbacks": [{"gpt-4o-short": ["gpt-4o-mini"]}],
        },
        "litellm_settings": {"cache": True, "cache_params": {"type": "local", "mode": "default_off"}},
        "general_settings": {
            "master_key": MASTER_KEY,
            "custom_auth": "bypass_plugin.authenticate",
            "pass_through_endpoints": [
                {"path": "/pass", "target": upstream.url, "include_subpath": True, "auth": True}
            ],
        },
        "guardrails": [{"guardrail_name": "checkrein", "litellm_params": params}],
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 110
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"the proxy did not start:\n{log.read_text()[-4000:]}")
        try:
            if httpx.get(f"{url}/health/liveliness", timeout=2).status_code == httpx.codes.OK:
                return
        except httpx.HTTPError:
            time.sleep(0.05)
    raise AssertionError("the proxy does not answer")
