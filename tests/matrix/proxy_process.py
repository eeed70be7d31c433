"""A LiteLLM proxy as a process of its own, on loopback and without the network: started, awaited, stopped."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx


def free_port() -> int:
    """A port on loopback where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(config: Path, port: int, log: Path, *importable: Path) -> subprocess.Popen[bytes]:
    """Start a proxy; it is there at once, and does not answer yet.

    Args:
        config: its configuration, in whose folder it runs.
        port: where it is to listen.
        log: where its output goes.
        importable: folders of what it is to import beside what is installed.
    """
    command = [
        str(Path(sys.executable).with_name("litellm")),
        *("--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"),
    ]
    # LiteLLM asks nobody on the network for anything.
    environment = {
        **os.environ,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_TELEMETRY": "False",
        "NO_PROXY": "*",
        "PYTHONPATH": os.pathsep.join(map(str, importable)),
    }
    with log.open("wb") as output:
        return subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, cwd=config.parent
        )


def wait_until_up(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a proxy answers.

    Raises:
        AssertionError: it ended or did not answer; the message has the end of its output.
    """
    deadline = time.monotonic() + 110
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"the proxy did not start:\n{log.read_text()[-4000:]}")
        try:
            if httpx.get(f"{url}/health/liveliness", timeout=2).status_code == httpx.codes.OK:
                return
        except httpx.HTTPError:
            time.sleep(0.05)
    raise AssertionError(f"the proxy does not answer:\n{log.read_text()[-4000:]}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a proxy, in order if it listens."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
