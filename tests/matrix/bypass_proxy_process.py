"""The proxies of the matrix: a real process, its configuration, and clients that keep every byte of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import yaml
from bypass_counting import WATCHING
from bypass_litellm_ways import DEPLOYMENTS, reached
from proxy_process import free_port, start, stop, wait_until_up

from checkrein.testing import Upstream

HERE = Path(__file__).parent
MASTER_KEY = "sk-test-master-7731"


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


@contextmanager
def running(folder: Path, mode: str, upstream: Upstream) -> Iterator[Callable[[], Proxy]]:
    """A proxy process; it is there at once, and the function waits until it answers.

    Args:
        folder: for its files.
        mode: how streams leave: `hold` or `window`.
        upstream: its provider.
    """
    _configure(folder, mode, upstream)
    port, log = free_port(), folder / "proxy.log"
    url = f"http://127.0.0.1:{port}"
    process = start(folder / "config.yaml", port, log, HERE / "plugin", HERE)
    proxies: list[Proxy] = []

    def proxy() -> Proxy:
        if not proxies:
            wait_until_up(url, process, log)
            proxies.append(Proxy(url, folder))
        return proxies[0]

    try:
        yield proxy
    finally:
        for one in proxies:
            one.close()
        stop(process)


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
