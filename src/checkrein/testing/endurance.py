"""The part of the suite about use: threads, tasks, event loops, forks, cancellations, closing."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path
from typing import ClassVar, Final

import pytest

from checkrein.enforcement import EnforcementPoint
from checkrein.engine import PolicyEngine
from checkrein.errors import EngineFailure
from checkrein.scenarios import Scenario, arun_scenario, load_scenarios, run_scenario
from checkrein.vocabulary import Effect, Verdict

from .checking import PLAIN, ask, asked, exit_of_child, summary_of
from .oddities import odd_requests

__all__ = ["Endurance"]

_THREADS: Final = 16
_TASKS: Final = 1_000
_SCENARIOS: Final = load_scenarios(Path(__file__).with_name("conformance.yaml"))


class Endurance:
    """Part of `EngineSuite`, which says what `unsaid` is and brings the fixtures."""

    unsaid: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def scenarios(cls) -> Sequence[Scenario]:
        """The scenario table, without what the engine's language cannot say."""
        return [
            one
            for one in _SCENARIOS
            if not cls.unsaid & {obligation.type for obligation in one.expect.obligations}
        ]

    def test_once_closed_it_fails(self, engine: PolicyEngine) -> None:
        """A closed engine permits nobody, and nothing that a caller does looks like an outage."""
        engine.close()
        engine.close()
        for one in [asked(one.request()) for one in self.scenarios()]:
            assert isinstance(ask(engine, one), EngineFailure)

    def test_closed_while_it_is_asked_it_is_right_or_fails(self, engine: PolicyEngine) -> None:
        """Who asks while it is being closed gets the right answer or none."""
        questions = [asked(one.request()) for one in self.scenarios()]
        right = [summary_of(ask(engine, one)) for one in questions]
        started = threading.Barrier(9)

        def keep_asking(offset: int) -> bool:
            started.wait()
            for index in islice(cycle(range(len(questions))), offset, 100_000):
                answer = summary_of(ask(engine, questions[index]))
                if answer is None:
                    return True
                assert answer == right[index]
            return False

        with ThreadPoolExecutor(8) as pool:
            asking = [pool.submit(keep_asking, offset) for offset in range(8)]
            started.wait()
            engine.close()
            assert all(one.result() for one in asking)

    def test_sixteen_threads_get_right_answers(self, pep: EnforcementPoint) -> None:
        """Threads that alternate between subjects never get another's answer."""
        scenarios = self.scenarios()
        started = threading.Barrier(_THREADS)

        def decide(offset: int) -> list[str]:
            started.wait()
            mine = islice(cycle(scenarios), offset, offset + 4 * len(scenarios))
            return [failure for one in mine for failure in run_scenario(pep, one).failures]

        with ThreadPoolExecutor(_THREADS) as pool:
            assert not [failure for found in pool.map(decide, range(_THREADS)) for failure in found]

    def test_a_thousand_tasks_get_right_answers(self, pep: EnforcementPoint) -> None:
        """All at once, on one event loop."""

        async def decide() -> list[str]:
            chosen = islice(cycle(self.scenarios()), _TASKS)
            results = await asyncio.gather(*(arun_scenario(pep, one) for one in chosen))
            await pep.aclose()
            return [failure for one in results for failure in one.failures]

        assert not asyncio.run(decide())

    def test_several_event_loops_get_right_answers(self, pep: EnforcementPoint) -> None:
        """Each in its own thread, as tests and workers have them, and one after the other."""
        scenarios = self.scenarios()

        async def decide() -> list[str]:
            results = await asyncio.gather(*(arun_scenario(pep, one) for one in scenarios))
            return [failure for one in results for failure in one.failures]

        with ThreadPoolExecutor(4) as pool:
            found = [pool.submit(asyncio.run, decide()) for _ in range(8)]
            assert not [failure for one in found for failure in one.result()]

    def test_what_a_thread_leaves_can_be_freed_by_another(
        self, pep: EnforcementPoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A thread that was refused an answer ends; whatever its failures hold on to is freed in silence."""
        problems: list[str] = []
        monkeypatch.setattr(sys, "unraisablehook", lambda one: problems.append(str(one.exc_value)))

        def decide() -> None:
            for odd in odd_requests("context", PLAIN[-1]):
                pep.decide(odd)

        thread = threading.Thread(target=decide)
        thread.start()
        thread.join()
        gc.collect()
        assert not problems

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
    def test_a_forked_child_is_right_or_fails(self, engine: PolicyEngine) -> None:
        """A child that is forked from a used engine is right or fails, and its parent stays right."""
        questions = [asked(one.request()) for one in self.scenarios()]
        right = [summary_of(ask(engine, one)) for one in questions]
        assert exit_of_child(engine, questions, right) in ("right", "failed")
        assert [summary_of(ask(engine, one)) for one in questions] == right

    def test_a_remote_engine_lets_the_event_loop_run(self, engine: PolicyEngine) -> None:
        """While it waits for its answer, others run."""
        aevaluate = getattr(engine, "aevaluate", None)

        async def ran_meanwhile() -> int:
            assert aevaluate is not None
            asking = asyncio.ensure_future(aevaluate(asked(PLAIN[-1])))
            turns = 0
            while not asking.done():
                await asyncio.sleep(0)
                turns += 1
            assert asking.result().effect is Effect.PERMIT
            await asyncio.to_thread(engine.close)
            return turns

        assert not engine.remote or asyncio.run(ran_meanwhile()) > 1

    def test_a_remote_engine_can_be_cancelled(self, engine: PolicyEngine) -> None:
        """A cancellation passes through, and leaves the engine as good as before."""
        aevaluate = getattr(engine, "aevaluate", None)
        aclose = getattr(engine, "aclose", None)

        async def cancelled() -> Effect:
            assert aevaluate is not None
            assert aclose is not None
            for _ in range(200):
                asking = asyncio.ensure_future(aevaluate(asked(PLAIN[0])))
                await asyncio.sleep(0)
                asking.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await asking
            verdict: Verdict = await aevaluate(asked(PLAIN[-1]))
            await aclose()
            await aclose()
            with pytest.raises(EngineFailure):
                await aevaluate(asked(PLAIN[-1]))
            return verdict.effect

        assert not engine.remote or asyncio.run(cancelled()) is Effect.PERMIT
