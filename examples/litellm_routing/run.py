"""One name, three models behind a LiteLLM proxy: complexity, privacy and budget choose. On loopback.

python examples/litellm_routing/run.py
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import openai
from rich import box
from rich.console import Console
from rich.table import Table

from checkrein.testing import Upstream

HERE = Path(__file__).resolve().parent
SSN = "536-90-4399"
LONG = "Compare these two plans, line by line, and say which one is better, and why. " * 4
CODE = "What does this do?\n```\ntotal = total + price * quantity\n```"

# Who asks for which model, and what.
CALLS = (
    ("pia", "auto", "What is a checkrein?"),
    ("pia", "auto", LONG),
    ("pia", "auto", CODE),
    ("finn", "auto", CODE),
    ("finn", "large", "What is a checkrein?"),
    ("pia", "auto", f"My SSN is {SSN}. Draft the letter for me."),
    ("pia", "large", f"Once more for {SSN}, and do it well."),
    ("hana", "auto", "Who is on leave this week?"),
)


@contextmanager
def proxy(environment: Mapping[str, str], log: Path) -> Iterator[str]:
    """A LiteLLM proxy process, stopped by its own id; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("litellm")), "--config", "litellm.yaml"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 -- a command of our own
            command, cwd=HERE, env={**os.environ, **environment}, stdout=output, stderr=output
        )
        try:
            address = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + 60
            while not answers(f"{address}/health/liveliness"):
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


def answers(address: str) -> bool:
    """Whether a server answers there."""
    try:
        with urllib.request.urlopen(address, timeout=1):  # noqa: S310 -- an address of our own
            return True
    except OSError:
        return False


def ask(address: str, who: str, model: str, prompt: str) -> str:
    """The call as any OpenAI client makes it; gives who answered, or that nobody did."""
    with openai.OpenAI(base_url=f"{address}/v1", api_key=f"sk-{who}", max_retries=0) as client:
        try:
            messages: list[Any] = [{"role": "user", "content": prompt}]
            done = client.chat.completions.create(model=model, messages=messages)
            return done.choices[0].message.content or ""
        except openai.PermissionDeniedError:
            return "denied"


def decided(log: Path, seen: int) -> list[dict[str, Any]]:
    """The records of one call: complete when it was denied or its answer was judged.

    Args:
        log: the decision log, written a moment after the answer.
        seen: how many decisions are known.
    """
    deadline = time.monotonic() + 10
    records: list[dict[str, Any]] = []
    while time.monotonic() < deadline:
        lines = log.read_text().splitlines(keepends=True) if log.exists() else []
        read = [json.loads(line) for line in lines if line.endswith("\n")]
        records = [one for one in read if one["event"] == "policy_decision"][seen:]
        if records and (not records[-1]["permitted"] or records[-1]["stage"] == "post_completion"):
            break
        time.sleep(0.02)
    return records


def main() -> None:
    """Make the calls, and tell who answered them and why."""
    table = Table("who", "asked for", "asked", "answered by", "why", box=box.SIMPLE_HEAD)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        outside = stack.enter_context(Upstream(lambda body: str(body["model"])))
        inside = stack.enter_context(Upstream(lambda body: str(body["model"])))
        console = Console(width=132)
        environment = {
            "CHECKREIN_EXAMPLE": str(folder),
            "EXAMPLE_MASTER_KEY": f"sk-{secrets.token_hex(16)}",
            "INSIDE": inside.url,
            "OUTSIDE": outside.url,
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_TELEMETRY": "False",
        }
        with console.status("starting a LiteLLM proxy"):
            address = stack.enter_context(proxy(environment, folder / "proxy.log"))
        seen = 0
        for who, model, prompt in CALLS:
            outcome = ask(address, who, model, prompt)
            records = decided(folder / "decisions.jsonl", seen)
            seen += len(records)
            reasons = dict.fromkeys(reason["code"] for one in records for reason in one["reasons"])
            table.add_row(who, model, prompt.splitlines()[0][:44], outcome, ", ".join(reasons))
        console.print(table)
        # LiteLLM asks each provider for its list of models, too.
        asked_outside, asked_inside = (
            sum(request.path.endswith("/completions") for request in one.requests)
            for one in (outside, inside)
        )
        print(
            f"Outside: {asked_outside} of {len(CALLS)} prompts, {outside.texts.count(SSN)} of the 2 "
            "numbers in them. "
            f"In the house: {asked_inside} prompts, {inside.texts.count(SSN)} number."
        )


if __name__ == "__main__":
    main()
