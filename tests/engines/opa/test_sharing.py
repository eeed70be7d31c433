"""Threads, event loops, cancellations, forks, the end: each question gets its own answer all the same."""

import asyncio
import gc
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import uvloop
from scripted import PERMIT, permits

from checkrein import Effect
from checkrein.errors import EngineFailure


def hanging_at_first(reached):
    """Never answers the first question, and says when it has come."""

    def script(call):
        if call.number == 1:
            reached.set()
            call.hang()
        call.send(PERMIT)

    return script


def test_event_loops_and_threads_share_connections(scripted, engine_of, question):
    server = scripted(permits)
    engine = engine_of(server)
    for _ in range(3):
        assert asyncio.run(engine.aevaluate(question())).effect is Effect.PERMIT
        assert engine.evaluate(question()).effect is Effect.PERMIT
    assert server.connections == 1


def test_two_event_loops_at_once_do_not_disturb_each_other(opa, engine_of, question, permitting):
    engine = engine_of(opa(permitting))

    async def many():
        return await asyncio.gather(*(engine.aevaluate(question()) for _ in range(50)))

    with ThreadPoolExecutor(4) as pool:
        answers = [
            one for run in [pool.submit(asyncio.run, many()) for _ in range(4)] for one in run.result()
        ]
    assert {one.effect for one in answers} == {Effect.PERMIT}
    assert len(answers) == 200


def test_sixteen_threads_each_get_their_own_answer(opa, engine_of, question):
    policy = 'package checkrein.pre_prompt\ndecision := {"allow": true, "reasons": [input.resource.id]}\n'
    engine = engine_of(opa(policy))

    def work(number):
        for turn in range(25):
            model = f"model-{number}-{turn}"
            (reason,) = engine.evaluate(question(model=model)).reasons
            assert reason.message == model

    with ThreadPoolExecutor(16) as pool:
        for done in [pool.submit(work, number) for number in range(16)]:
            done.result()


async def test_a_thousand_tasks_each_get_their_own_answer_over_few_connections(opa, engine_of, question):
    policy = 'package checkrein.pre_prompt\ndecision := {"allow": true, "reasons": [input.resource.id]}\n'
    engine = engine_of(opa(policy), connections=16)

    async def one(number):
        (reason,) = (await engine.aevaluate(question(model=f"model-{number}"))).reasons
        return reason.message == f"model-{number}"

    assert all(await asyncio.gather(*(one(number) for number in range(1000))))
    assert len(engine._client._idle) <= 16


async def test_a_cancelled_question_passes_its_cancellation_on_and_gives_its_place_back(
    scripted, engine_of, question
):
    reached = threading.Event()

    server = scripted(hanging_at_first(reached))
    engine = engine_of(server, connections=1)
    first = asyncio.create_task(engine.aevaluate(question()))
    await asyncio.to_thread(reached.wait, 10)
    second = asyncio.create_task(engine.aevaluate(question()))
    third = asyncio.create_task(engine.aevaluate(question()))
    await asyncio.sleep(0)
    second.cancel()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    with pytest.raises(asyncio.CancelledError):
        await second
    assert (await third).effect is Effect.PERMIT
    assert server.connections == 2


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_loop_that_is_closed_over_its_questions_takes_no_place_with_it(
    scripted, engine_of, question, new_loop
):
    """One question waits for its answer, another one for its place; both end with their loop, in silence."""
    reached = threading.Event()

    engine = engine_of(scripted(hanging_at_first(reached)), connections=1)

    async def begin():
        tasks = [asyncio.ensure_future(engine.aevaluate(question())) for _ in range(2)]
        await asyncio.to_thread(reached.wait, 10)
        await asyncio.sleep(0)
        assert not any(task.done() for task in tasks)

    loop = new_loop()
    loop.set_exception_handler(lambda *_: None)  # that tasks are destroyed is the point
    loop.run_until_complete(begin())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    gc.collect()
    assert engine.evaluate(question()).effect is Effect.PERMIT


def test_an_interrupted_question_gives_its_place_back(scripted, engine_of, question, monkeypatch):
    engine = engine_of(scripted(permits), connections=1)

    def interrupt(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("checkrein_opa.waiting.Ready.perform", interrupt)
        with pytest.raises(KeyboardInterrupt):
            engine.evaluate(question())
    assert engine.evaluate(question()).effect is Effect.PERMIT


async def test_an_answer_that_has_come_counts_however_late_the_loop_looks(scripted, engine_of, question):
    """Another engine's evaluation can hold the process up past the deadline: that is no outage of OPA."""
    answered = threading.Event()

    def script(call):
        call.send(PERMIT)
        if call.number == 2:
            answered.set()

    engine = engine_of(scripted(script))
    engine.evaluate(question())  # connected
    engine._options = engine._options.model_copy(update={"timeout": 0.05})
    task = asyncio.create_task(engine.aevaluate(question()))
    await asyncio.sleep(0)  # asked
    assert answered.wait(10)
    threading.Event().wait(0.1)  # the loop stands still
    assert (await task).effect is Effect.PERMIT


async def test_the_event_loop_goes_on_while_opa_thinks(scripted, engine_of, question):
    go = threading.Event()

    def script(call):
        go.wait(10)
        call.send(PERMIT)

    task = asyncio.create_task(engine_of(scripted(script)).aevaluate(question()))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not task.done()
    go.set()
    assert (await task).effect is Effect.PERMIT


def test_a_loop_without_readers_is_served_by_a_thread(scripted, engine_of, question, monkeypatch):
    monkeypatch.setattr("checkrein_opa.engine._LOOPS_WITHOUT_READERS", (asyncio.AbstractEventLoop,))
    seen = []
    server = scripted(permits)
    engine = engine_of(server)
    evaluate = engine.evaluate
    monkeypatch.setattr(
        engine, "evaluate", lambda request: seen.append(threading.current_thread()) or evaluate(request)
    )
    assert asyncio.run(engine.aevaluate(question())).effect is Effect.PERMIT
    assert seen != [threading.main_thread()]


def test_uvloop_serves_too(opa, engine_of, question, permitting):
    engine = engine_of(opa(permitting))

    async def many():
        return await asyncio.gather(*(engine.aevaluate(question()) for _ in range(100)))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert {one.effect for one in runner.run(many())} == {Effect.PERMIT}


def test_closing_twice_is_closing(scripted, engine_of, ask, question):
    server = scripted(permits)
    engine = engine_of(server)
    ask(engine, question())
    engine.close()
    engine.close()
    asyncio.run(engine.aclose())
    assert not engine._client._idle
    with pytest.raises(EngineFailure, match="closed") as caught:
        ask(engine, question())
    assert caught.value.cause == "engine_error"


def test_a_question_that_is_under_way_when_the_engine_closes_ends_and_leaves_nothing_open(
    scripted, engine_of, question
):
    reached, go = threading.Event(), threading.Event()

    def script(call):
        reached.set()
        go.wait(10)
        call.send(PERMIT)

    engine = engine_of(scripted(script))
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(engine.evaluate, question())
        assert reached.wait(10)
        engine.close()
        go.set()
        assert asked.result().effect is Effect.PERMIT
    assert not engine._client._idle


def test_nothing_stays_open_after_failures(scripted, engine_of, ask, question):
    """An unclosed socket would be a warning, and warnings are errors here."""
    server = scripted(lambda call: call.reset())
    engine = engine_of(server)
    for _ in range(5):
        with pytest.raises(EngineFailure):
            ask(engine, question())
    engine.close()
    gc.collect()


@pytest.mark.parametrize("closed", [False, True])
def test_a_forked_child_leaves_its_parents_connections_alone(scripted, engine_of, question, closed):
    server = scripted(permits)
    engine = engine_of(server)
    engine.evaluate(question())
    if closed:
        engine.close()
    asked = question()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        word = b"failed"
        try:
            word = engine.evaluate(asked).effect.value.encode()
        except EngineFailure as failure:
            word = failure.detail.encode()
        finally:
            os.write(writer, word)
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as told:
        word = told.read()
    os.waitpid(child, 0)
    assert word == (b"the engine is closed" if closed else b"permit")
    if not closed:
        assert engine.evaluate(asked).effect is Effect.PERMIT
        assert server.connections == 2
        assert len(server.questions) == 3


def test_a_fork_in_the_middle_of_everything_leaves_the_child_no_locked_lock(scripted, engine_of, question):
    server = scripted(permits)
    engine = engine_of(server, connections=1)
    asked = question()
    with engine._client._dialler._lock, engine._readiness._lock:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = 0 if engine.evaluate(asked).effect is Effect.PERMIT else 2
            finally:
                os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
