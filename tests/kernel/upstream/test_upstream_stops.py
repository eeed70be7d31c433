"""The counting provider of `checkrein.testing` stops: no port, thread or stream is left of it."""

import socket
from contextlib import ExitStack

import httpx
import openai
import pytest
from asking import ask, open_stream, port_of, threads_of_upstreams

from checkrein.testing import Upstream


def test_stopping_frees_the_port_ends_every_thread_and_may_be_repeated():
    upstream = Upstream().start()
    with httpx.Client() as client:
        assert client.get(f"{upstream.url}/models").status_code == 200
        upstream.stop()
        upstream.stop()
        assert threads_of_upstreams() == []
        with pytest.raises(httpx.TransportError):
            client.get(f"{upstream.url}/models")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port_of(upstream)), timeout=10)


def test_stopping_cuts_held_streams_and_silent_connections():
    with ExitStack() as stack:
        upstream = Upstream().start()
        upstream.pause_after(1)
        for _ in range(10):
            stack.enter_context(socket.create_connection(("127.0.0.1", port_of(upstream)), timeout=10))
            open_stream(upstream, stack)
        upstream.stop()
        assert threads_of_upstreams() == []
        assert upstream.aborted == 10


def test_a_stopped_upstream_starts_again_and_keeps_its_requests():
    upstream = Upstream()
    with pytest.raises(RuntimeError, match="not started"):
        _ = upstream.url
    for _ in range(3):
        with upstream as running, running.start() as same:
            assert same is upstream
            ask(upstream)
    assert len(upstream.requests) == 3


def test_a_reply_function_may_stop_its_own_upstream():
    upstream = Upstream()
    upstream.reply = lambda _: upstream.stop() or "gone"
    with upstream, pytest.raises(openai.APIConnectionError):
        ask(upstream)
