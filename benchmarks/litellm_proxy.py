"""What a LiteLLM proxy with Checkrein takes for a request, beside the same proxy without.

    python benchmarks/litellm_proxy.py [requests]

Two real proxy processes before one model provider on loopback, asked in turn over kept connections; the
provider answers at once, which no model does, or after a while. The guarded one asks the pack `baseline`
three times for each request, looks for what nine detectors find, and writes its decision log to a file.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import yaml
from pairing import measured

from checkrein.testing import Upstream

ROUNDS: Final = 2_000
WAITS: Final = {0.0: 1, 0.1: 5, 0.3: 10}
"""Seconds until a provider begins to answer, and by how much fewer requests that is measured."""

PROSE: Final = "Please summarise the quarterly report for the board and list three risks, one to a line.\n"
PROMPT: Final = (PROSE * 12)[:1024]
KEY: Final = "sk-bench-7731"

AUTH: Final = """
from litellm.proxy._types import UserAPIKeyAuth


async def authenticate(request, api_key):
    metadata = {"tier": "enterprise"}
    return UserAPIKeyAuth(api_key=api_key, user_id="bea", metadata=metadata)
"""
SETTINGS: Final[Mapping[str, Any]] = {
    "version": 1,
    "engine": {"rego": {"bundle": "pack:baseline/rego", "backend": "regorus"}},
    "detectors": {
        "pre_prompt": [
            *(
                "api_key",
                "credit_card",
                "email",
                "iban",
                "injection",
                "password",
                "phone",
                "private_key",
                "us_ssn",
            )
        ],
        "post_completion": ["api_key", "credit_card", "email", "iban", "password", "phone", "us_ssn"],
    },
    "models": {
        "gpt-4o": {"size": "large", "input_price": 2500000, "output_price": 10000000},
        "gpt-4o-mini": {"size": "small", "input_price": 150000, "output_price": 600000},
    },
    "decision_log": {"to": "decisions.jsonl"},
}
GUARDRAIL: Final[Mapping[str, Any]] = {
    "guardrail_name": "checkrein",
    "litellm_params": {
        "guardrail": "checkrein_litellm.PolicyGuard",
        "mode": ["pre_call", "post_call"],
        "default_on": True,
        "checkrein_config": "checkrein.yaml",
    },
}


def written(
    folder: Path,
    upstream: Upstream,
    settings: Mapping[str, Any] | None,
    models: Sequence[str] = ("gpt-4o",),
    auth: str = AUTH,
) -> Path:
    """The configuration of a proxy, with what it needs beside it.

    Args:
        folder: where to.
        upstream: the provider.
        settings: of Checkrein; None for a bare proxy.
        models: their names.
        auth: a module that says who calls.
    """
    folder.mkdir()
    (folder / "auth.py").write_text(auth)
    params = {"api_base": upstream.url, "api_key": "none"}
    config: dict[str, Any] = {
        "model_list": [
            {"model_name": name, "litellm_params": {"model": f"openai/{name}", **params}} for name in models
        ],
        "general_settings": {"custom_auth": "auth.authenticate", "master_key": KEY},
    }
    if settings is not None:
        (folder / "checkrein.yaml").write_text(yaml.safe_dump(dict(settings)))
        config["guardrails"] = [GUARDRAIL]
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@contextmanager
def proxy(config: Path) -> Iterator[str]:
    """A proxy in a process of its own, stopped by its id; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("litellm")), "--config", str(config)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False"}
    log = config.with_name("proxy.log")
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 -- a command of our own
            command, cwd=config.parent, env=environment, stdout=output, stderr=output
        )
        try:
            address = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + 90
            while not _answers(f"{address}/health/liveliness"):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"the proxy did not start:\n{log.read_text()[-3000:]}")
                time.sleep(0.1)
            yield address
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=1).is_success
    except httpx.HTTPError:
        return False


def ask(client: httpx.Client, address: str, *, stream: bool) -> None:
    """One request, read to its end."""
    body = {
        "model": "gpt-4o",
        "stream": stream,
        "messages": [
            {"role": "system", "content": "You are helpful."},
            {"role": "user", "content": PROMPT},
        ],
    }
    told = {"Authorization": f"Bearer {KEY}"}
    answer = client.post(f"{address}/v1/chat/completions", json=body, headers=told)
    if not answer.is_success:
        raise SystemExit(f"the proxy answered {answer.status_code}: {answer.text[:300]}")


def reply(wait: float, body: Mapping[str, Any]) -> str:  # noqa: ARG001 -- what a provider is called with
    """What the provider says, after so many seconds."""
    time.sleep(wait)
    return PROSE


def main() -> None:
    """Print the table of `benchmarks/README.md`."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream = stack.enter_context(Upstream(PROSE))
        configs = [
            written(folder / "bare", upstream, None),
            written(folder / "guarded", upstream, SETTINGS),
        ]
        bare, guarded = (stack.enter_context(proxy(config)) for config in configs)
        client = stack.enter_context(httpx.Client(timeout=30))
        print("| provider answers | request | bare, ms | guarded, ms | ratio |")
        print("|---|---|---|---|---|")
        for wait, fewer in WAITS.items():
            upstream.reply = partial(reply, wait)
            for name, stream in (("whole", False), ("streamed", True)):
                calls: list[Callable[[], Any]] = [
                    partial(ask, client, address, stream=stream) for address in (bare, guarded)
                ]
                found = measured(calls, rounds // fewer)
                upstream.clear()
                after = f"after {wait * 1000:.0f} ms" if wait else "at once"
                told = f"{found.us(0) / 1000:.1f} | {found.us(1) / 1000:.1f} | {found.ratio(1)}"
                print(f"| {after} | {name} | {told} |", flush=True)


if __name__ == "__main__":
    main()
