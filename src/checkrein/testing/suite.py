"""What every policy engine must hold, as a class of tests that a plug-in's author subclasses."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any, ClassVar, Final

import pytest

from checkrein.document import EvaluationRequest
from checkrein.enforcement import EnforcementPoint
from checkrein.engine import PolicyEngine
from checkrein.errors import EngineFailure
from checkrein.scenarios import Scenario, arun_scenario, load_scenarios, run_scenario
from checkrein.vocabulary import AccessRequest, Effect, Entity, Origin, Segment, Stage, Verdict

from .checking import SETTINGS, ask, evaluation_of, spoil, summary_of
from .oddities import CANARY, NOT_THE_OWNER, NOT_THE_TIER, PLACES, odd_requests

__all__ = ["EngineSuite"]

_STAGES: Final = (Stage.MODEL_SELECTION, Stage.PRE_PROMPT, Stage.POST_COMPLETION, Stage.TOOL_CALL)
_SSN: Final = "My SSN is 536-22-8145"
_EMAIL: Final = "Write to eve@example.com"
_THREADS: Final = 16
_TASKS: Final = 1_000
_FORK_SECONDS: Final = 30
_RIGHT, _FAILED, _WRONG, _RAISED = 0, 10, 11, 12


class EngineSuite:
    """Holds an engine to the contract of `PolicyEngine`, and to the same answers as every other engine.

        class TestMyEngine(EngineSuite):
            @pytest.fixture
            def engine(self):
                return MyEngine(policies="suite.mine")

    The engine answers the stages `model_selection`, `pre_prompt`, `post_completion` and `tool_call` from this
    policy, in its own language. A *member* is a subject of type `user` whose property `tier` is `free` or
    `pro`; where nothing below matches, nothing is permitted, and no reason is given.

    ===================  ===============================================================  ======================
    stage                if                                                               then
    ===================  ===============================================================  ======================
    `model_selection`    a member                                                         permit
    `model_selection`    the user with the id `owner`, whatever the tier                  permit
    `model_selection`    a user of tier `free`, and the resource's `size` is `large`      deny `tier.model`
    `model_selection`    the model with the id `retired`                                  deny `model.retired`
    `pre_prompt`         a member                                                         permit
    `pre_prompt`         a finding `us_ssn` in the current turn                           deny `pii.us_ssn`
    `pre_prompt`         `context.usage` has `spent_micros` and `limit_micros`, and the   deny `budget.exceeded`
                         first is greater
    `pre_prompt`         a finding `email` anywhere                                       oblige `redact`, types
                                                                                          `email`
    `pre_prompt`         a user of tier `pro` whose property `private` is true, and the   oblige `route`, model
                         resource's id is not `local`                                     `local`
    `post_completion`    a member                                                         permit
    `post_completion`    a finding `email` or `us_ssn`                                    oblige `redact`, types
                                                                                          `email` and `us_ssn`
    `tool_call`          a user of tier `pro`, and the tool with the id `search`          permit
    each of the four     the subject's property `suspended` is true, whoever it is        deny `access.suspended`
    ===================  ===============================================================  ======================

    A deny beats every permit, and every deny that matches gives its code as a reason. A permit carries every
    obligation that matches, and no reason. A property or a fact that is absent matches nothing.

    A remote engine needs a deadline that a thousand questions at once do not reach. The tests need pytest and
    the extra `detectors`; they make threads and a child process, and no connection of their own.

    Attributes:
        unsaid: obligation types that the engine's language cannot say: scenarios about them are left out.
    """

    unsaid: ClassVar[frozenset[str]] = frozenset()

    @pytest.fixture
    def engine(self) -> PolicyEngine:
        """The engine under test, new for each test, with the policy above; the suite closes it.

        Raises:
            NotImplementedError: a subclass must override this.
        """
        raise NotImplementedError("override the fixture `engine`: return your engine with the suite's policy")

    @pytest.fixture
    def pep(self, engine: PolicyEngine) -> EnforcementPoint:
        """An enforcement point over the engine."""
        return EnforcementPoint(engine, SETTINGS, record=lambda _: None)

    @classmethod
    def scenarios(cls) -> Sequence[Scenario]:
        """The scenario table, without what the engine's language cannot say."""
        return [
            one
            for one in _SCENARIOS
            if not cls.unsaid & {obligation.type for obligation in one.expect.obligations}
        ]

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One test for each scenario."""
        if "scenario" in metafunc.fixturenames:
            scenarios = self.scenarios()
            metafunc.parametrize("scenario", scenarios, ids=[one.name for one in scenarios])

    def test_it_says_what_it_is(self, engine: PolicyEngine) -> None:
        """The attributes of the protocol are there and of their types."""
        assert type(engine.name) is str
        assert engine.name
        assert type(engine.remote) is bool
        assert engine.stages >= set(_STAGES)
        assert engine.stages <= set(Stage)
        assert engine.revision is None or type(engine.revision) is str
        if engine.remote:
            assert asyncio.iscoroutinefunction(getattr(engine, "aevaluate", None))
            assert asyncio.iscoroutinefunction(getattr(engine, "aclose", None))
        engine.close()

    def test_a_scenario_comes_to_what_the_policy_says(
        self, pep: EnforcementPoint, scenario: Scenario
    ) -> None:
        """Permitted, reasons, obligations, text and model are those of the table."""
        result = run_scenario(pep, scenario)
        pep.close()
        assert not result.failures

    def test_awaited_it_comes_to_the_same(self, pep: EnforcementPoint, scenario: Scenario) -> None:
        """The asynchronous driver, the same table."""

        async def decided() -> tuple[str, ...]:
            result = await arun_scenario(pep, scenario)
            await pep.aclose()
            return result.failures

        assert not asyncio.run(decided())

    def test_asked_again_it_answers_the_same(self, engine: PolicyEngine) -> None:
        """An answer is well-formed, leaves the question alone and does not depend on what was asked before."""
        asked = _evaluations(self.scenarios())
        first = [summary_of(ask(engine, one)) for one in asked]
        assert [summary_of(ask(engine, one)) for one in reversed(asked)] == first[::-1]
        engine.close()

    def test_what_a_host_does_to_an_answer_changes_no_policy(self, engine: PolicyEngine) -> None:
        """The properties of an obligation belong to whoever asked."""
        for one in _evaluations(self.scenarios()):
            answer = ask(engine, one)
            before = summary_of(answer)
            if isinstance(answer, Verdict):
                for obligation in answer.obligations:
                    spoil(obligation.properties)
            assert summary_of(ask(engine, one)) == before
        engine.close()

    def test_a_stage_that_it_does_not_answer_is_not_permitted(self, engine: PolicyEngine) -> None:
        """A combination skips it there; whoever asks it all the same gets no permit."""
        for stage in set(Stage) - engine.stages:
            assert not _permits(ask(engine, _asked(_request(stage, _MEMBER, "Hello"))))
        engine.close()

    def test_once_closed_it_fails(self, engine: PolicyEngine) -> None:
        """A closed engine permits nobody, and nothing that a caller does looks like an outage."""
        engine.close()
        engine.close()
        for one in _evaluations(self.scenarios()):
            assert isinstance(ask(engine, one), EngineFailure)
        engine.close()

    def test_closed_while_it_is_asked_it_is_right_or_fails(self, engine: PolicyEngine) -> None:
        """Who asks while it is being closed gets the right answer or none."""
        asked = _evaluations(self.scenarios())
        right = [summary_of(ask(engine, one)) for one in asked]
        started = threading.Barrier(9)

        def keep_asking(offset: int) -> bool:
            started.wait()
            for index in islice(cycle(range(len(asked))), offset, 100_000):
                answer = summary_of(ask(engine, asked[index]))
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
        pep.close()

    def test_a_thousand_tasks_get_right_answers(self, pep: EnforcementPoint) -> None:
        """All at once, on one event loop."""

        async def decide() -> list[str]:
            asked = islice(cycle(self.scenarios()), _TASKS)
            results = await asyncio.gather(*(arun_scenario(pep, one) for one in asked))
            await pep.aclose()
            return [failure for one in results for failure in one.failures]

        assert not asyncio.run(decide())

    @pytest.mark.parametrize("place", PLACES)
    def test_odd_requests_permit_no_more_than_plain_ones(
        self, engine: PolicyEngine, place: str, capfd: pytest.CaptureFixture[str], caplog: Any
    ) -> None:
        """Whatever stands there: the plain twin's answer or a failure, and no secret is shown anywhere."""
        caplog.set_level(0)
        problems = []
        for plain in _PLAIN:
            evaluated = _asked(plain)
            right = summary_of(ask(engine, evaluated))
            for odd in odd_requests(place, plain):
                evaluation = evaluation_of(odd)
                if evaluation is None:
                    continue
                try:
                    answer = ask(engine, evaluation)
                except Exception as error:  # noqa: BLE001 -- each is told, with what was odd
                    problems.append(f"{odd!r}: {type(error).__name__}: {error}")
                    continue
                if not _no_more(summary_of(answer), right, place):
                    problems.append(f"{odd!r}: {answer!r}")
                elif summary_of(ask(engine, evaluated)) != right:
                    problems.append(f"after {odd!r}: the plain twin is answered otherwise")
        shown = f"{capfd.readouterr()} {caplog.text}"
        engine.close()
        assert not problems
        assert CANARY not in shown

    def test_who_is_not_the_owner_is_not_taken_for_it(self, engine: PolicyEngine) -> None:
        """Ids are compared as they are: no trimming, no folding, no syntax."""
        for odd in NOT_THE_OWNER:
            request = _request(Stage.MODEL_SELECTION, replace(_STRANGER, id=odd), "")
            assert not _permits(ask(engine, _asked(request))), odd
        for odd in ("", "User", "users", "user ", "user:", "user:owner", "group", "anonymous", "model"):
            request = _request(Stage.MODEL_SELECTION, Entity(type=odd, id="owner"), "")
            assert not _permits(ask(engine, _asked(request))), odd
        engine.close()

    def test_what_is_no_tier_is_not_taken_for_one(self, engine: PolicyEngine) -> None:
        """Values are compared as they are, types included."""
        for odd in NOT_THE_TIER:
            for stage in _STAGES:
                request = _request(stage, replace(_MEMBER, properties={"tier": odd}), "Hello")
                assert not _permits(ask(engine, _asked(request))), odd
        engine.close()

    def test_a_long_text_is_judged_to_its_end(self, pep: EnforcementPoint) -> None:
        """100 kB, with what matters at the end."""
        long = "All work and no play. " * 4_700
        assert pep.decide(_request(Stage.PRE_PROMPT, _MEMBER, long)).permitted
        refused = pep.decide(_request(Stage.PRE_PROMPT, _MEMBER, long + _SSN))
        assert [one.code for one in refused.reasons] == ["pii.us_ssn"]
        redacted = pep.decide(_request(Stage.PRE_PROMPT, _MEMBER, long + _EMAIL))
        assert redacted.permitted
        assert "eve@example.com" not in redacted.changes.texts[0,]
        pep.close()

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
    def test_a_forked_child_is_right_or_fails(self, engine: PolicyEngine) -> None:
        """A child that is forked from a used engine answers as its parent does, or not at all; and so do both."""
        asked = _evaluations(self.scenarios())
        right = [summary_of(ask(engine, one)) for one in asked]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later warn where threads are
            child = os.fork()
        if child == 0:
            _answer_and_exit(engine, asked, right)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) in (_RIGHT, _FAILED)
        assert [summary_of(ask(engine, one)) for one in asked] == right
        engine.close()

    def test_a_remote_engine_lets_the_event_loop_run(self, engine: PolicyEngine) -> None:
        """While it waits for its answer, others run."""
        aevaluate = getattr(engine, "aevaluate", None)

        async def ran_meanwhile() -> int:
            assert aevaluate is not None
            asking = asyncio.ensure_future(aevaluate(_asked(_PLAIN[-1])))
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
                asking = asyncio.ensure_future(aevaluate(_asked(_PLAIN[0])))
                await asyncio.sleep(0)
                asking.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await asking
            verdict: Verdict = await aevaluate(_asked(_PLAIN[-1]))
            await aclose()
            await aclose()
            with pytest.raises(EngineFailure):
                await aevaluate(_asked(_PLAIN[-1]))
            return verdict.effect

        assert not engine.remote or asyncio.run(cancelled()) is Effect.PERMIT


_SCENARIOS: Final = load_scenarios(Path(__file__).with_name("conformance.yaml"))
_MEMBER: Final = Entity(type="user", id="alice", properties={"tier": "pro"})
_STRANGER: Final = Entity(type="user", id="mallory", properties={"tier": "guest"})
_SUSPENDED: Final = Entity(type="user", id="alice", properties={"tier": "pro", "suspended": True})


def _request(stage: Stage, subject: Entity, text: str) -> AccessRequest:
    origin = Origin.ASSISTANT if stage is Stage.POST_COMPLETION else Origin.USER
    spoken = stage is not Stage.TOOL_CALL
    return AccessRequest(
        stage=stage,
        subject=subject,
        resource=Entity(type="model", id="small") if spoken else Entity(type="tool", id="search"),
        context={} if spoken else {"tool": {"arguments": {"query": text}}},
        segments=(Segment(path=(0,), role=origin.value, origin=origin, text=text),) if spoken else (),
        supports=frozenset({"redact", "route"}),
    )


# Three that are refused for three kinds of reasons, and two that are permitted, one of them with an obligation.
_PLAIN: Final = (
    *(_request(stage, _STRANGER, "Hello") for stage in _STAGES),
    _request(Stage.PRE_PROMPT, _SUSPENDED, "Hello"),
    _request(Stage.PRE_PROMPT, _MEMBER, _SSN),
    _request(Stage.TOOL_CALL, _MEMBER, "horses"),
    _request(Stage.PRE_PROMPT, _MEMBER, _EMAIL),
)


def _asked(request: AccessRequest) -> EvaluationRequest:
    evaluation = evaluation_of(request)
    assert evaluation is not None
    return evaluation


def _evaluations(scenarios: Sequence[Scenario]) -> list[EvaluationRequest]:
    return [_asked(one.request()) for one in scenarios]


def _permits(answer: Verdict | EngineFailure) -> bool:
    return isinstance(answer, Verdict) and answer.effect is Effect.PERMIT


def _no_more(odd: Any, plain: Any, place: str) -> bool:
    """Whether an odd request's answer lets no more pass than its plain twin's; None is a failure."""
    if odd is None or odd == plain:
        return True
    permitted, reasons, _ = odd
    # An action, a type or an id can be what the policy asks for: then nothing matches any more.
    named = place in {"actions", "types", "resource ids"}
    return named and not permitted and set(reasons) <= set(plain[1])


def _answer_and_exit(engine: PolicyEngine, asked: Sequence[EvaluationRequest], right: Sequence[Any]) -> None:
    """In the child: answer by the status with which it ends, in bounded time and without a word."""
    status = _RAISED
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(_FORK_SECONDS)
        answers = [summary_of(ask(engine, one)) for one in asked]
        wrong = any(one not in (None, other) for one, other in zip(answers, right, strict=True))
        status = _WRONG if wrong else _FAILED if None in answers else _RIGHT
    finally:
        os._exit(status)
