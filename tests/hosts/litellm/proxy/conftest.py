"""Real proxy processes, with policies of their own, in front of real servers of models and of tools."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from runpy import run_path
from types import MappingProxyType
from typing import Any

import httpx
import pytest
import yaml
from openai import OpenAI
from proxy_process import free_port, start, stop, wait_until_up

from checkrein.plugins import available
from checkrein.testing import Failure, Upstream

HERE = Path(__file__).parent
PLUGIN = HERE / "plugin"
MASTER_KEY = "sk-test-master-7731"

SETTINGS: dict[str, Any] = {
    "version": 1,
    "engine": {"scripted": {}},
    "detectors": {stage: ["ssn"] for stage in ("pre_prompt", "post_completion", "tool_call", "tool_result")},
    "enforcement": {"rules": [{"subject": {"team": "monitored"}, "mode": "monitor"}]},
    "limits": {"text": 20_000},
    "uncovered": {"assistants": "allow", "pass_through": "allow", "transcription": "allow", "videos": "deny"},
    "decision_log": {"to": "decisions.jsonl"},
}
GUARDRAIL: dict[str, Any] = {
    "guardrail": "checkrein_litellm.PolicyGuard",
    "mode": ["pre_call", "post_call"],
    "default_on": True,
    "checkrein_config": "checkrein.yaml",
}


def write_config(
    folder: Path,
    *,
    settings: Any = SETTINGS,
    guardrail: dict[str, Any] | None = None,
    general_settings: dict[str, Any] | None = None,
    **parts: Any,
) -> Path:
    """A proxy's configuration, the guard's settings and the authentication in one folder."""
    shutil.copy(HERE / "auth.py", folder / "auth.py")
    if settings is not None:
        (folder / "checkrein.yaml").write_text(yaml.safe_dump(settings))
    params = {key: value for key, value in {**GUARDRAIL, **(guardrail or {})}.items() if value is not None}
    config = {
        "model_list": [],
        "general_settings": {
            "master_key": MASTER_KEY,
            "custom_auth": "auth.authenticate",
            **(general_settings or {}),
        },
        "guardrails": [{"guardrail_name": "checkrein", "litellm_params": params}],
        **parts,
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def deployment(name: str, upstream: Upstream, model: str | None = None, **more: Any) -> dict[str, Any]:
    info = {"model_info": more.pop("model_info")} if "model_info" in more else {}
    provider = more.pop("provider", "openai")
    named = {"model": f"{provider}/{model or name}", "api_base": upstream.url, "api_key": "sk-upstream"}
    params = {**named, **more}
    return {"model_name": name, "litellm_params": params, **info}


@dataclass
class Proxy:
    url: str
    folder: Path
    upstream: Upstream
    sick: Upstream
    tools: Any

    def client(self, person: str) -> OpenAI:
        return OpenAI(base_url=f"{self.url}/v1", api_key=f"sk-test-{person}", max_retries=0, timeout=30)

    def post(
        self, path: str, person: str, headers: dict[str, str] | None = None, **body: Any
    ) -> httpx.Response:
        given = {"Authorization": f"Bearer sk-test-{person}", **(headers or {})}
        return httpx.post(f"{self.url}{path}", json=body, headers=given, timeout=30)

    def form(self, path: str, person: str, fields: dict[str, Any], files: dict[str, Any]) -> httpx.Response:
        given = {"Authorization": f"Bearer sk-test-{person}"}
        return httpx.post(f"{self.url}{path}", data=fields, files=files, headers=given, timeout=30)

    def get(self, path: str, person: str) -> httpx.Response:
        return httpx.get(
            f"{self.url}{path}", headers={"Authorization": f"Bearer sk-test-{person}"}, timeout=30
        )

    def chat(self, person: str, text: str, model: str = "gpt-4o", **body: Any) -> httpx.Response:
        body.setdefault("messages", [{"role": "user", "content": text}])
        return self.post("/v1/chat/completions", person, model=model, **body)

    def records(self, answer: httpx.Response) -> list[dict[str, Any]]:
        """Every decision of the answer's call, told apart by the order of the log: nothing comes later."""
        barrier = self.chat("enterprise", "hi").headers["x-checkrein-decision-id"]
        found = self.wait_for(lambda one: one.get("decision_id") == barrier)
        return [one for one in found if one.get("call_id") == answer.headers["x-checkrein-call-id"]]

    def wait_for(self, wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """The log, once it has the wanted record: it is written a moment after the answer."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            # Whole lines alone: the last one may still be under way.
            lines = (self.folder / "decisions.jsonl").read_text().splitlines(keepends=True)
            found = [json.loads(line) for line in lines if line.endswith("\n")]
            if any(wanted(one) for one in found):
                return found
            time.sleep(0.01)
        raise AssertionError("the record did not come")

    def clear(self) -> None:
        for upstream in (self.upstream, self.sick):
            upstream.wait()
            upstream.clear()
            upstream.hang_up_after(None)
        self.upstream.reply = "ok"
        self.tools.calls.clear()
        self.tools.headers.clear()
        self.tools.answer = "nothing"


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A real proxy process, started once."""
    with run_proxy(tmp_path_factory.mktemp("proxy")) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def running_window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Another one, which lets streams leave in a window, and replies to denials."""
    settings = {**SETTINGS, "stream": {"mode": "window"}, "denials": {"on_denied": "reply"}}
    with run_proxy(tmp_path_factory.mktemp("window"), settings) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def running_heeding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Another one, which lets whom LiteLLM's administrators take out of its guardrails pass."""
    settings = {**SETTINGS, "opt_outs": {"key": "allow", "team": "allow"}}
    with run_proxy(tmp_path_factory.mktemp("heeding"), settings) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def running_forwarding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Another one, which sends the headers of its clients on where LiteLLM can, and has its queue open."""
    settings = {**SETTINGS, "uncovered": {**SETTINGS["uncovered"], "queue": "allow"}}
    general = {"forward_client_headers_to_llm_api": True, "forward_llm_provider_auth_headers": True}
    folder = tmp_path_factory.mktemp("forwarding")
    with run_proxy(folder, settings, general=general, forward_headers=True) as proxy:
        yield proxy


@contextmanager
def run_proxy(
    folder: Path,
    settings: Any = SETTINGS,
    *,
    general: Mapping[str, Any] = MappingProxyType({}),
    forward_headers: bool = False,
) -> Iterator[Proxy]:
    tool_server = run_path(str(HERE / "tool_server.py"))["ToolServer"]
    with Upstream() as upstream, Upstream(Failure(500)) as sick, tool_server() as tools:
        models = [
            deployment("gpt-4o", upstream),
            deployment("gpt-4o-mini", upstream, model_info={"id": "deployment-mini"}),
            deployment("vault", upstream, model_info={"id": "deployment-vault"}),
            deployment("sick", sick),
            deployment("sick-vault", sick),
            deployment("wild/*", upstream, "*"),
            deployment("mirrored", upstream, "gpt-4o", silent_model="vault"),
            deployment("claude", upstream, provider="anthropic", api_base=upstream.url.removesuffix("/v1")),
            deployment("gemini", upstream, provider="gemini"),
            deployment("completer", upstream, provider="text-completion-openai"),
            deployment("ranker", upstream, provider="jina_ai", api_base=f"{upstream.url}/rerank"),
            deployment("vault-ranker", upstream, provider="jina_ai", api_base=f"{upstream.url}/rerank"),
        ]
        router = {
            "num_retries": 0,
            "retry_after": 0,
            "model_group_alias": {"best": "gpt-4o", "treasure": "vault"},
            "fallbacks": [{"sick": ["gpt-4o-mini"]}, {"sick-vault": ["vault", "gpt-4o-mini"]}],
        }
        passed: dict[str, Any] = {"target": upstream.url, "include_subpath": True, "auth": True}
        desk = {"extra_headers": ["X-Note", "X-Api-Key", "Authorization"]} if forward_headers else {}
        endpoints = [
            {"path": "/pass", **passed},
            {"path": "/forwarding", **passed, "forward_headers": forward_headers},
        ]
        config = write_config(
            folder,
            settings=settings,
            litellm_settings={"cache": True, "cache_params": {"type": "local", "mode": "default_off"}},
            model_list=models,
            router_settings=router,
            general_settings={**general, "pass_through_endpoints": endpoints},
            environment_variables={
                "ANTHROPIC_API_BASE": upstream.url.removesuffix("/v1"),
                "ANTHROPIC_API_KEY": "sk-upstream",
            },
            mcp_servers={"desk": {**desk, "url": tools.url, "transport": "http", "allow_all_keys": True}},
        )
        port, log = free_port(), folder / "proxy.log"
        process = start(config, port, log, PLUGIN)
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until_up(url, process, log)
            yield Proxy(url, folder, upstream, sick, tools)
        finally:
            stop(process)


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Start a proxy of one's own, with one model, by a function that writes its configuration."""

    @contextmanager
    def run(written: Callable[..., Path]) -> Iterator[Proxy]:
        with Upstream() as upstream:
            config = written(model_list=[deployment("gpt-4o", upstream), deployment("vault", upstream)])
            monkeypatch.setenv("CHECKREIN_CONFIG", str(config.with_name("checkrein.yaml")))
            port, log = free_port(), tmp_path / "proxy.log"
            process = start(config, port, log, PLUGIN)
            try:
                url = f"http://127.0.0.1:{port}"
                wait_until_up(url, process, log)
                yield Proxy(url, config.parent, upstream, upstream, None)
            finally:
                stop(process)

    return run


@pytest.fixture
def proxy(running: Proxy) -> Proxy:
    running.clear()
    return running


@pytest.fixture
def windowed(running_window: Proxy) -> Proxy:
    running_window.clear()
    return running_window


@pytest.fixture
def forwarding(running_forwarding: Proxy) -> Proxy:
    running_forwarding.clear()
    return running_forwarding


@pytest.fixture
def heeding(running_heeding: Proxy) -> Proxy:
    running_heeding.clear()
    return running_heeding


@pytest.fixture
def configure(tmp_path: Path) -> Callable[..., Path]:
    return lambda **parts: write_config(tmp_path, **parts)


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[[Path], tuple[subprocess.Popen[bytes], Path]]]:
    started: list[subprocess.Popen[bytes]] = []

    def run(config: Path) -> tuple[subprocess.Popen[bytes], Path]:
        log = tmp_path / "proxy.log"
        started.append(start(config, free_port(), log, PLUGIN))
        return started[-1], log

    yield run
    for process in started:
        stop(process)


@pytest.fixture
def scripted(proxy_server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The plug-in of these tests, in this process."""
    monkeypatch.syspath_prepend(str(PLUGIN))
    available.cache_clear()
    yield
    available.cache_clear()
