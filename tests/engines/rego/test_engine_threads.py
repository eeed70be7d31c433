"""The Rego engine in threads, event loops and at its end."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from tiers import DATA, DECISION, codes

from checkrein.errors import EngineFailure, FailureCause
from checkrein.vocabulary import Effect


def test_sixteen_threads_get_their_own_answers(policy, ask):
    engine = policy(DECISION, files={"data.json": DATA})

    def work(thread):
        for index in range(150):
            kinds = [f"t{thread}", f"u{index}"]
            verdict = ask(
                engine, {"tier": "pro" if index % 3 else "x", "findings": [{"type": kind} for kind in kinds]}
            )
            if index % 3:
                assert [one.properties["types"] for one in verdict.obligations] == [[kinds[0]], [kinds[1]]]
            else:
                assert codes(verdict) == ["tier.unknown"]
        return True

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(work, range(16)))


def test_threads_that_come_and_go_leave_no_more_than_one_engine_behind(policy, ask):
    engine = policy("decision if input.x == 1")
    for index in range(40):
        answers = []
        thread = threading.Thread(
            target=lambda index=index, answers=answers: answers.append(ask(engine, {"x": index % 2}))
        )
        thread.start()
        thread.join()
        assert answers[0].effect is (Effect.PERMIT if index % 2 else Effect.NOT_APPLICABLE)
    idle = getattr(engine._backend, "_idle", [1])
    assert len(idle) == 1


def test_an_event_loop_can_ask_it_from_its_threads(policy, ask):
    engine = policy("decision if input.x == 1")

    async def main():
        return await asyncio.gather(*(asyncio.to_thread(ask, engine, {"x": n % 2}) for n in range(50)))

    effects = [verdict.effect for verdict in asyncio.run(main())]
    assert effects.count(Effect.PERMIT) == 25


def test_a_closed_engine_fails_and_may_be_closed_again(policy, ask):
    engine = policy("decision := true")
    ask(engine)
    engine.close()
    engine.close()
    with pytest.raises(EngineFailure) as caught:
        ask(engine)
    assert caught.value.cause is FailureCause.ENGINE_ERROR
    assert "closed" in caught.value.detail


def test_one_engine_can_be_closed_while_another_answers(write, load, ask):
    bundle = write(**{"policy.rego": "package checkrein.pre_prompt\n\ndecision if input.x == 1\n"})
    first, second = load(bundle), load(bundle)
    ask(first, {"x": 1})
    first.close()
    assert ask(second, {"x": 1}).effect is Effect.PERMIT


def test_closing_while_threads_evaluate_ends_in_answers_or_closed(policy, ask):
    engine = policy(DECISION, files={"data.json": DATA})
    started = threading.Barrier(5)

    def work(_):
        started.wait()
        for _ in range(200):
            try:
                ask(engine, {"tier": "pro", "findings": []})
            except EngineFailure as failure:
                return "closed" in failure.detail
        return True

    with ThreadPoolExecutor(4) as pool:
        done = pool.map(work, range(4))
        started.wait()
        engine.close()
        assert all(done)
    assert not getattr(engine._backend, "_idle", [])
