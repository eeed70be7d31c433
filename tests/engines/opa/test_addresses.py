"""Names and addresses of OPA: resolved, tried one after another, and no caller held up by them."""

import contextlib
import errno
import socket
import threading

import pytest
from scripted import PERMIT, permits

from checkrein import Effect
from checkrein.errors import EngineFailure


def test_running_out_of_sockets_here_is_no_outage_there(engine_of, ask, question, monkeypatch):
    def none_left(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    engine = engine_of("http://127.0.0.1:1")
    asked = question()
    if ask.__name__ == "awaiting":
        monkeypatch.setattr("checkrein_opa.dialling.socket.socket", none_left)
        flow = engine._ask(asked)
        with pytest.raises(EngineFailure, match="EMFILE") as caught:
            next(flow)
    else:
        monkeypatch.setattr("checkrein_opa.dialling.socket.socket", none_left)
        with pytest.raises(EngineFailure, match="EMFILE") as caught:
            ask(engine, asked)
    assert caught.value.cause == "engine_error"


def test_names_are_resolved_and_each_of_their_addresses_tried(
    scripted, engine_of, ask, question, monkeypatch
):
    server = scripted(permits)
    with socket.create_server(("127.0.0.2", 0)) as closed:
        refused = closed.getsockname()

    def resolve(host, port, **_):
        assert host == "opa.internal"
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", refused),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    engine = engine_of(f"http://opa.internal:{server.port}")
    assert ask(engine, question()).effect is Effect.PERMIT
    assert b"\r\nHost: opa.internal:%d\r\n" % server.port in server.questions[0]


def test_a_literal_address_of_ipv6_is_dialled_as_one_and_named_in_brackets(
    scripted, engine_of, ask, question, monkeypatch
):
    server = scripted(permits)

    def resolve(host, port, **_):
        assert (host, port) == ("fd00::1", 8181)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert ask(engine_of("http://[fd00::1]:8181"), question()).effect is Effect.PERMIT
    assert b"\r\nHost: [fd00::1]:8181\r\n" in server.questions[0]


def test_a_silent_address_leaves_time_for_the_next_one(scripted, engine_of, ask, question, monkeypatch):
    server = scripted(lambda call: call.stop.wait(0.05) or call.send(PERMIT))
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):  # nobody accepts them: whoever comes later hears nothing
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(full.getsockname())
        addresses = [full.getsockname(), ("127.0.0.1", server.port)]
        monkeypatch.setattr(
            socket,
            "getaddrinfo",
            lambda *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", one) for one in addresses],
        )
        engine = engine_of(f"http://opa.internal:{server.port}", timeout=1)
        assert ask(engine, question()).effect is Effect.PERMIT


def test_a_name_that_does_not_resolve_is_unreachable(engine_of, ask, question, monkeypatch):
    def resolve(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(EngineFailure, match="does not resolve") as caught:
        ask(engine_of("http://opa.internal:8181"), question())
    assert caught.value.cause == "unreachable"


def test_a_resolver_that_hangs_holds_up_one_thread_and_no_caller(engine_of, ask, question, monkeypatch):
    go = threading.Event()
    asked = []

    def resolve(*_, **__):
        asked.append(1)
        go.wait(10)
        raise socket.gaierror(socket.EAI_AGAIN, "later")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    engine = engine_of("http://opa.internal:8181", timeout=0.05)
    try:
        for _ in range(3):
            with pytest.raises(EngineFailure, match="not resolved") as caught:
                ask(engine, question())
            assert caught.value.cause == "timeout"
    finally:
        go.set()
    assert len(asked) == 1


def test_localhost_is_found(opa, engine_of, ask, question, permitting):
    server = opa(permitting)
    assert ask(engine_of(f"http://localhost:{server.port}"), question()).effect is Effect.PERMIT
