"""Answers that are cut, trickle, stop or never stop: one deadline for all of it."""

import socket
from itertools import product

import pytest
from scripted import TRUE, answer, says

from checkrein import Effect
from checkrein.errors import EngineFailure
from checkrein.flow import run
from checkrein_opa import connection

LONG = "\x01" * 3_000_000  # 18 MB of JSON: more than any socket takes at once


def then_ends(data):
    def script(call):
        call.send(data)
        call.close()

    return script


def then_resets(data):
    def script(call):
        call.send(data)
        call.reset()

    return script


def then_hangs(data):
    def script(call):
        call.send(data)
        call.hang()

    return script


CUTS = {
    "nothing": b"",
    "half a status": b"HTTP/1.",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "no body": b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n",
    "half a body": b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"result":true}',
    "half a chunk": b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nf\r\n{"result":tr',
    "no last chunk": b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nf\r\n{"result":true}\r\n',
}


@pytest.mark.parametrize("fault", [*product([then_ends, then_resets], CUTS)])
def test_a_connection_that_is_cut_before_the_body_ended_is_an_outage(
    scripted, engine_of, ask, question, fault
):
    how, cut = fault
    with pytest.raises(EngineFailure) as caught:
        ask(engine_of(scripted(how(CUTS[cut]))), question())
    assert caught.value.cause == "unreachable"


@pytest.mark.parametrize("cut", CUTS)
def test_a_server_that_falls_silent_is_a_timeout(scripted, engine_of, ask, question, cut):
    server = scripted(then_hangs(CUTS[cut]))
    with pytest.raises(EngineFailure) as caught:
        ask(engine_of(server, timeout=0.05), question())
    assert caught.value.cause == "timeout"
    assert len(server.questions) <= 1


def test_the_deadline_is_one_for_the_whole_answer_and_not_for_each_piece(scripted, engine_of, ask, question):
    sent = []
    server = scripted(lambda call: sent.append(call.drip(answer(TRUE + b" " * 10_000), 0.005)))
    with pytest.raises(EngineFailure) as caught:
        ask(engine_of(server, timeout=0.1), question())
    assert caught.value.cause == "timeout"
    server.__exit__()
    assert sent[0] < 10_000


def test_a_head_that_trickles_meets_the_deadline(scripted, engine_of, ask, question):
    head = b"HTTP/1.1 200 OK\r\nX: " + b"y" * 10_000 + b"\r\n"
    server = scripted(lambda call: call.drip(head, 0.005))
    with pytest.raises(EngineFailure) as caught:
        ask(engine_of(server, timeout=0.1), question())
    assert caught.value.cause == "timeout"


FLOODS = {
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 100_000,
    "interim answers": b"HTTP/1.1 102 Processing\r\n\r\n" * 2_000,
    "head": b"HTTP/1.1 200 OK\r\n" + b"X: yyyyyyyyyyyyyyyy\r\n" * 500_000,  # 10 MB
    "body": b"HTTP/1.0 200 OK\r\n\r\n" + b" " * 10_000_000,
}


@pytest.fixture
def no_grace(monkeypatch):
    """What comes after the first look past the deadline is too late."""
    monkeypatch.setattr(connection, "GRACE", 0.0)


@pytest.mark.usefixtures("no_grace")
@pytest.mark.parametrize("flood", FLOODS)
def test_a_server_that_sends_without_a_pause_is_not_read_for_ever(scripted, engine_of, ask, question, flood):
    def script(call):
        call.send(FLOODS[flood])
        while not call.stop.is_set():
            call.send(FLOODS[flood][-6_000:])

    with pytest.raises(EngineFailure) as caught:
        ask(engine_of(scripted(script), timeout=0.2), question())
    # In chunks of a byte even the most that is read is seconds of work.
    assert caught.value.cause in ({"timeout"} if flood == "chunks" else {"invalid_answer", "timeout"})


@pytest.mark.usefixtures("no_grace")
def test_what_is_there_after_the_deadline_is_read_and_what_still_comes_is_not():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0)
        kept = connection.Connection(ours)
        theirs.send(b"a")
        assert run(kept.receive(0.0)) == b"a"
        kept.rest()
        theirs.send(b"b")
        assert run(kept.receive(0.0)) == b"b"  # the next question's first look
        theirs.send(b"c")
        with pytest.raises(EngineFailure) as caught:
            run(kept.receive(0.0))
        assert caught.value.cause == "timeout"


def test_the_deadline_is_one_for_all_tries(scripted, engine_of, ask, question):
    def script(call):
        call.stop.wait(0.04)
        call.reset()

    server = scripted(script)
    with pytest.raises(EngineFailure) as caught:
        ask(engine_of(server, timeout=0.1, retries=5), question())
    assert caught.value.cause == "timeout"
    assert len(server.questions) <= 3


def test_an_answer_in_chunks_counts(scripted, engine_of, ask, question):
    data = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n{"resu\r\n9\r\nlt":true}\r\n0\r\n\r\n'
    assert ask(engine_of(scripted(says(data))), question()).effect is Effect.PERMIT


def test_an_answer_that_ends_with_its_connection_counts(scripted, engine_of, ask, question):
    server = scripted(then_ends(b'HTTP/1.0 200 OK\r\n\r\n{"result":true}'))
    assert ask(engine_of(server), question()).effect is Effect.PERMIT


def test_a_cut_answer_without_a_length_never_passes_for_a_whole_one(scripted, engine_of, ask, question):
    server = scripted(then_ends(b'HTTP/1.0 200 OK\r\n\r\n{"result":true'))
    with pytest.raises(EngineFailure) as caught:
        ask(engine_of(server), question())
    assert caught.value.cause == "invalid_answer"


def test_a_large_question_that_is_refused_early_is_no_outage(scripted, engine_of, ask, question):
    """A caller who sends much must not come by an opening: the refusal is read though the rest is not."""

    def refuse(call):
        call.sock.recv(100)
        call.send(answer(b"", status="413 Too Large", headers="Connection: close\r\n"))
        call.hang()

    server = scripted(lambda _: None, greet=refuse)
    engine = engine_of(server, input=["context.prompt.text"])
    with pytest.raises(EngineFailure, match="`413`") as caught:
        ask(engine, question(LONG))
    assert caught.value.cause == "engine_error"


def test_a_connection_that_has_not_heard_the_whole_question_is_not_used_again(
    scripted, engine_of, ask, question
):
    """What it has not read of this one would be the beginning of the next."""

    def answer_early(call):
        if call.connection == 1:
            call.sock.recv(100)
            call.send(answer(TRUE))
            call.hang()

    server = scripted(says(answer(TRUE)), greet=answer_early)
    engine = engine_of(server, input=["context.prompt.text"])
    assert ask(engine, question(LONG)).effect is Effect.PERMIT
    assert ask(engine, question()).effect is Effect.PERMIT
    assert server.connections == 2
