"""Connections: kept, replaced, bounded, and never trusted beyond one answer."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import pytest
from scripted import PERMIT, answer, permits

from checkrein import Effect
from checkrein.errors import EngineFailure
from checkrein.flow import run
from checkrein_opa import connection

DENY = answer(b'{"result":false}')


def go_on(flow, step):
    while True:
        step.perform()
        step = flow.send(None)


def test_one_connection_serves_one_question_after_another(scripted, engine_of, ask, question):
    server = scripted(permits)
    engine = engine_of(server)
    for _ in range(10):
        assert ask(engine, question()).effect is Effect.PERMIT
    assert (len(server.questions), server.connections) == (10, 1)


def test_a_connection_that_was_closed_meanwhile_is_replaced_whatever_the_retries(
    scripted, engine_of, ask, question
):
    def script(call):
        call.send(PERMIT)
        call.close()

    server = scripted(script)
    engine = engine_of(server, retries=0)
    for _ in range(5):
        assert ask(engine, question()).effect is Effect.PERMIT
    assert len(server.questions) == 5


def test_a_kept_connection_that_dies_on_the_question_is_replaced_by_a_new_one(
    scripted, engine_of, ask, question
):
    """What a server does that has just decided to close: the question is gone, and no answer began."""

    def script(call):
        if call.number == 2:
            call.reset()
        else:
            call.send(PERMIT)

    server = scripted(script)
    engine = engine_of(server, retries=0)
    assert [ask(engine, question()).effect for _ in range(3)] == [Effect.PERMIT] * 3
    assert (len(server.questions), server.connections) == (4, 2)


def test_one_dead_connection_is_enough_to_mistrust_the_kept_ones(scripted, engine_of, question):
    server = scripted(lambda call: call.reset() if call.number in {3, 4} else call.send(PERMIT))
    engine = engine_of(server, retries=0)
    asked = [engine._ask(question()) for _ in range(2)]
    for flow, step in [(flow, next(flow)) for flow in asked]:
        with pytest.raises(StopIteration):
            go_on(flow, step)
    assert len(engine._client._idle) == 2
    with pytest.raises(EngineFailure, match="the answer"):
        engine.evaluate(question())  # the third dies on a kept one, the fourth on a new one
    assert (len(server.questions), server.connections) == (4, 3)


@pytest.mark.parametrize(
    "last",
    [answer(b'{"result":true}', version="1.0"), answer(b'{"result":true}', headers="Connection: close\r\n")],
)
def test_a_connection_that_is_to_end_is_not_used_again(scripted, engine_of, ask, question, last):
    server = scripted(lambda call: call.send(last))
    engine = engine_of(server)
    for _ in range(2):
        assert ask(engine, question()).effect is Effect.PERMIT
    assert server.connections == 2


def test_a_new_connection_that_dies_is_tried_again_as_often_as_told(scripted, engine_of, ask, question):
    server = scripted(lambda call: call.reset() if call.number < 4 else call.send(PERMIT))
    assert ask(engine_of(server, retries=3), question()).effect is Effect.PERMIT
    assert len(server.questions) == 4


def test_no_more_often_than_told(scripted, engine_of, ask, question):
    server = scripted(lambda call: call.reset())
    with pytest.raises(EngineFailure) as caught:
        ask(engine_of(server, retries=2), question())
    assert caught.value.cause == "unreachable"
    assert len(server.questions) == 3


def test_an_answer_that_began_is_not_asked_for_again(scripted, engine_of, ask, question):
    def script(call):
        call.send(b"H")
        call.reset()

    server = scripted(script)
    with pytest.raises(EngineFailure) as caught:
        ask(engine_of(server, retries=5), question())
    assert caught.value.cause == "unreachable"
    assert len(server.questions) == 1


def test_nobody_there_is_unreachable(engine_of, ask, question):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(EngineFailure, match="ECONNREFUSED") as caught:
        ask(engine_of(f"http://127.0.0.1:{port}"), question())
    assert caught.value.cause == "unreachable"


def test_an_answer_that_nobody_asked_for_is_never_taken_for_the_next_one(scripted, engine_of, ask, question):
    """A second answer in the same breath condemns both; one that comes later condemns its connection."""
    late = threading.Event()

    def script(call):
        if call.number == 1:
            call.send(DENY)
            call.send(PERMIT)
            late.set()
        else:
            call.send(DENY)

    server = scripted(script)
    engine = engine_of(server)
    try:
        assert ask(engine, question()).effect is Effect.DENY
    except EngineFailure as failure:
        assert failure.cause == "invalid_answer"  # noqa: PT017 -- both are right
    assert late.wait(10)
    assert ask(engine, question()).effect is Effect.DENY
    assert server.connections == 2


def test_what_speaks_before_it_is_asked_is_not_asked():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0)
        fresh = connection.Connection(ours)
        assert not fresh.speaks_unasked()
        assert fresh.reusable()
        theirs.sendall(PERMIT)
        assert fresh.speaks_unasked()
        assert not fresh.reusable()


def test_a_server_that_speaks_before_it_is_asked_is_sent_nothing(scripted, engine_of, question):
    spoken = threading.Event()

    def greet(call):
        call.send(PERMIT)
        spoken.set()

    server = scripted(permits, greet)
    asked = engine_of(server)._ask(question())
    step = next(asked)  # it connects
    assert spoken.wait(10)
    with pytest.raises(EngineFailure, match="speaks before it is asked") as caught:
        go_on(asked, step)
    assert caught.value.cause == "invalid_answer"
    assert server.questions == []


def test_what_has_ended_is_not_asked_again():
    ours, theirs = socket.socketpair()
    with ours:
        ours.settimeout(0)
        kept = connection.Connection(ours)
        theirs.close()
        assert not kept.reusable()
        assert not kept.speaks_unasked()


def test_a_connection_that_timed_out_is_not_used_again(scripted, engine_of, ask, question):
    """Its late answer would be the next question's."""
    go = threading.Event()

    def script(call):
        if call.number == 1:
            go.wait(10)
            call.send(PERMIT)
        else:
            call.send(DENY)

    server = scripted(script)
    engine = engine_of(server, timeout=0.1)
    with pytest.raises(EngineFailure) as caught:
        ask(engine, question())
    assert caught.value.cause == "timeout"
    go.set()
    assert ask(engine, question()).effect is Effect.DENY
    assert server.connections == 2


def test_a_connection_that_was_idle_for_long_is_not_used_again(
    scripted, engine_of, ask, question, monkeypatch
):
    server = scripted(permits)
    engine = engine_of(server)
    ask(engine, question())
    monkeypatch.setattr(connection, "MAX_IDLE", -1.0)
    ask(engine, question())
    assert server.connections == 2


def test_connections_that_only_a_rush_needed_are_closed_after_it(scripted, engine_of, question):
    server = scripted(permits)
    engine = engine_of(server)
    together = threading.Barrier(4)

    def work():
        asked = engine._ask(question())
        step = next(asked)
        together.wait(10)
        with pytest.raises(StopIteration):
            go_on(asked, step)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work) for _ in range(4)]:
            done.result()
    assert len(engine._client._idle) == 4
    for old in list(engine._client._idle)[:3]:
        old._used_at -= 2 * connection.MAX_IDLE
    engine.evaluate(question())
    assert len(engine._client._idle) == 1


def test_no_more_connections_than_told_are_open_at_once(scripted, engine_of, question):
    go = threading.Event()
    reached = threading.Semaphore(0)

    def script(call):
        reached.release()
        go.wait(10)
        call.send(PERMIT)

    server = scripted(script)
    engine = engine_of(server, connections=3)
    with ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(engine.evaluate, question()) for _ in range(12)]
        assert all(reached.acquire(timeout=10) for _ in range(3))
        go.set()
        assert {one.result().effect for one in asked} == {Effect.PERMIT}
    assert server.connections == 3


@pytest.mark.parametrize(("answers", "cause"), [(True, "engine_error"), (False, "timeout")])
def test_whoever_waits_in_vain_meets_an_outage_only_if_opa_answers_nobody(
    scripted, engine_of, answers, cause
):
    """A flood of calls must not come by an opening."""
    client = engine_of(scripted(permits), connections=2)._client
    run(client._enter(monotonic() + 10))
    asked = client.ask(b"GET / HTTP/1.1\r\n\r\n", monotonic() + 10)
    step = next(asked)  # both places are taken
    waiting = [client._enter(monotonic() + 10) for _ in range(2)]
    for one in waiting:
        next(one)
    if answers:
        with pytest.raises(StopIteration):
            go_on(asked, step)
        with pytest.raises(StopIteration):
            waiting[0].send(None)  # the first come has the place
    else:
        asked.close()
    # Woken by its deadline:
    with pytest.raises(EngineFailure) as caught:
        waiting[1].send(None)
    assert caught.value.cause == cause


def test_whoever_waits_behind_an_opa_that_answers_nobody_meets_an_outage(scripted, engine_of, question):
    server = scripted(lambda call: call.hang())
    engine = engine_of(server, connections=1, timeout=0.1)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(engine.evaluate, question()) for _ in range(4)]
        assert {str(one.exception().cause) for one in asked} == {"timeout"}
