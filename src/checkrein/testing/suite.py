"""What every policy engine must hold, as a class of tests that a plug-in's author subclasses."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from checkrein.decision import Decision
from checkrein.enforcement import EnforcementPoint
from checkrein.engine import LocatingEngine, PolicyEngine
from checkrein.scenarios import Scenario, arun_scenario, run_scenario
from checkrein.vocabulary import AccessRequest, Entity, Stage, Verdict

from .checking import (
    MEMBER,
    PLAIN,
    SETTINGS,
    STAGES,
    STRANGER,
    ask,
    asked,
    evaluation_of,
    no_more,
    permits,
    request_of,
    spoil,
    summary_of,
)
from .endurance import Endurance
from .oddities import CANARY, NOT_THE_OWNER, NOT_THE_TIER, PLACES, odd_requests

__all__ = ["EngineSuite"]


class EngineSuite(Endurance):
    """Holds an engine to the contract of `PolicyEngine`, and to the same answers as every other engine.

        class TestMyEngine(EngineSuite):
            @pytest.fixture
            def engine(self):
                return MyEngine(policies="suite.mine")

    The engine answers the stages `model_selection`, `pre_prompt`, `post_completion` and `tool_call` from this
    policy, in its own language. A *member* is a subject of type `user` whose property `tier` is `free` or
    `pro`; where nothing below matches, nothing is permitted, and no reason is given.

    =================  ============================================================  ====================
    stage              if                                                            then
    =================  ============================================================  ====================
    `model_selection`  a member                                                      permit
    `model_selection`  the user with the id `owner`, whatever the tier               permit
    `model_selection`  a user of tier `free`, and the resource's `size` is `large`   `tier.model`
    `model_selection`  the model with the id `retired`                               `model.retired`
    `pre_prompt`       a member                                                      permit
    `pre_prompt`       a finding `us_ssn` in the current turn                        `pii.us_ssn`
    `pre_prompt`       `context.usage` has `spent_micros` and `limit_micros`, and    `budget.exceeded`
                       the first is greater
    `pre_prompt`       a finding `email` anywhere                                    redact 1
    `pre_prompt`       a user of tier `pro` whose property `private` is true, and    route
                       the resource's id is not `local`
    `post_completion`  a member                                                      permit
    `post_completion`  a finding `email` or `us_ssn`                                 redact 2
    `tool_call`        a user of tier `pro`, and the tool with the id `search`       permit
    each of the four   the subject's property `suspended` is true, whoever it is     `access.suspended`
    =================  ============================================================  ====================

    A code is a denial with that reason. `redact 1` is the obligation `redact` with the `types` `[email]`,
    `redact 2` one with `[email, us_ssn]`; `route` has the `model` `local`.

    A deny beats every permit, and every deny that matches gives its code as a reason. A permit carries every
    obligation that matches, and no reason. A property or a fact that is absent matches nothing.

    A remote engine needs a deadline that a thousand questions at once do not reach. The tests need pytest and
    the extra `detectors`; they make threads and a child process, and no connection of their own.

    Attributes:
        unsaid: obligation types that the engine's language cannot say: scenarios about them are left out.
    """

    @pytest.fixture
    def engine(self) -> PolicyEngine:
        """The engine under test, new for each test, with the policy above; the suite closes it.

        Raises:
            NotImplementedError: a subclass must override this.
        """
        raise NotImplementedError("override the fixture `engine`: return your engine with the suite's policy")

    @pytest.fixture(autouse=True)
    def close(self, engine: PolicyEngine) -> Iterator[None]:
        """Closes the engine after each test, whatever became of it."""
        yield
        engine.close()

    @pytest.fixture
    def pep(self, engine: PolicyEngine) -> EnforcementPoint:
        """An enforcement point over the engine."""
        return EnforcementPoint(engine, SETTINGS, record=lambda _: None)

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
        assert engine.stages >= set(STAGES)
        assert engine.stages <= set(Stage)
        assert engine.revision is None or type(engine.revision) is str
        if engine.remote:
            assert inspect.iscoroutinefunction(getattr(engine, "aevaluate", None))
            assert inspect.iscoroutinefunction(getattr(engine, "aclose", None))

    def test_a_scenario_comes_to_what_the_policy_says(
        self, pep: EnforcementPoint, scenario: Scenario
    ) -> None:
        """Permitted, reasons, obligations, text and model are those of the table."""
        result = run_scenario(pep, scenario)
        assert not result.failures

    def test_awaited_it_comes_to_the_same(self, pep: EnforcementPoint, scenario: Scenario) -> None:
        """The asynchronous driver, the same table."""

        async def decided() -> tuple[str, ...]:
            result = await arun_scenario(pep, scenario)
            await pep.aclose()
            return result.failures

        assert not asyncio.run(decided())

    @pytest.mark.parametrize("driver", ["sync", "async"])
    def test_of_several_models_those_are_permitted_that_are_permitted_alone(
        self, pep: EnforcementPoint, driver: str
    ) -> None:
        """Candidates are judged together as each of them is alone, whoever asks and in whatever order."""
        asking = [
            one for one in self.scenarios() if one.stage is Stage.MODEL_SELECTION and not one.candidates
        ]
        models = tuple({one.model.id: one.model for one in asking}.values())
        questions = [(one.request(), order) for one in asking for order in (models, models[::-1])]
        alone = [
            [pep.decide(replace(request, resource=model)) for model in order] for request, order in questions
        ]
        for wanted, came in zip(alone, _filtered(pep, questions, driver), strict=True):
            assert [(one.resource, one.permitted, one.reasons) for one in came.candidates] == [
                (one.request.resource, one.permitted, one.reasons) for one in wanted
            ]
            assert came.permitted is any(one.permitted for one in wanted)

    def test_asked_again_it_answers_the_same(self, engine: PolicyEngine, pep: EnforcementPoint) -> None:
        """Answers are well-formed, leave questions alone, and do not depend on what was asked before."""
        scenarios = self.scenarios()
        questions = [asked(one.request()) for one in scenarios]
        first = [summary_of(ask(engine, one)) for one in questions]
        assert [summary_of(ask(engine, one)) for one in reversed(questions)] == first[::-1]
        assert not [failure for one in scenarios for failure in run_scenario(pep, one).failures]

    def test_what_a_host_does_to_an_answer_changes_no_policy(self, engine: PolicyEngine) -> None:
        """The properties of an obligation belong to whoever asked."""
        for one in [asked(one.request()) for one in self.scenarios()]:
            answer = ask(engine, one)
            before = summary_of(answer)
            if isinstance(answer, Verdict):
                for obligation in answer.obligations:
                    spoil(obligation.properties)
            assert summary_of(ask(engine, one)) == before

    def test_a_policy_stands_in_a_file_at_a_line_or_nobody_says_where(self, engine: PolicyEngine) -> None:
        """An engine that locates its policies does so for those that its verdicts name, and for no other."""
        if not isinstance(engine, LocatingEngine):
            return
        for scenario in self.scenarios():
            answer = ask(engine, asked(scenario.request()))
            for policy in answer.policy_ids if isinstance(answer, Verdict) else ():
                place = engine.locate(policy)
                assert place is None or (type(place[0]) is str and place[0] and place[1] >= 1)
        assert engine.locate("no policy is called like this") is None

    def test_a_stage_that_it_does_not_answer_is_not_permitted(self, engine: PolicyEngine) -> None:
        """A combination skips it there; whoever asks it all the same gets no permit."""
        for stage in set(Stage) - engine.stages:
            assert not permits(ask(engine, asked(request_of(stage, MEMBER, "Hello"))))

    @pytest.mark.parametrize("place", PLACES)
    def test_odd_requests_permit_no_more_than_plain_ones(
        self, engine: PolicyEngine, place: str, capfd: pytest.CaptureFixture[str], caplog: Any
    ) -> None:
        """Whatever stands there: the plain twin's answer or a failure, and no secret is shown anywhere."""
        caplog.set_level(0)
        problems = []
        for plain in PLAIN:
            evaluated = asked(plain)
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
                if not no_more(summary_of(answer), right, place):
                    problems.append(f"{odd!r}: {answer!r}")
                elif summary_of(answer) != right and summary_of(ask(engine, evaluated)) != right:
                    problems.append(f"after {odd!r}: the plain twin is answered otherwise")
            if summary_of(ask(engine, evaluated)) != right:
                problems.append(f"after all of them: {plain!r} is answered otherwise")
        shown = f"{capfd.readouterr()} {caplog.text}"
        assert not problems
        assert CANARY not in shown

    def test_who_is_not_the_owner_is_not_taken_for_it(self, engine: PolicyEngine) -> None:
        """Ids are compared as they are: no trimming, no folding, no syntax."""
        for odd in NOT_THE_OWNER:
            request = request_of(Stage.MODEL_SELECTION, replace(STRANGER, id=odd), "")
            assert not permits(ask(engine, asked(request))), odd
        for odd in ("", "User", "users", "user ", "user:", "user:owner", "group", "anonymous", "model"):
            request = request_of(Stage.MODEL_SELECTION, Entity(type=odd, id="owner"), "")
            assert not permits(ask(engine, asked(request))), odd

    def test_what_is_no_tier_is_not_taken_for_one(self, engine: PolicyEngine) -> None:
        """Values are compared as they are, types included."""
        for odd in NOT_THE_TIER:
            for stage in STAGES:
                request = request_of(stage, replace(MEMBER, properties={"tier": odd}), "Hello")
                assert not permits(ask(engine, asked(request))), odd

    def test_a_long_text_is_judged_to_its_end(self, pep: EnforcementPoint) -> None:
        """100 kB, with what matters at the end; and a thousand findings."""
        long = "All work and no play. " * 4_700
        assert pep.decide(request_of(Stage.PRE_PROMPT, MEMBER, long)).permitted
        refused = pep.decide(request_of(Stage.PRE_PROMPT, MEMBER, long + "My SSN is 536-22-8145"))
        assert [one.code for one in refused.reasons] == ["pii.us_ssn"]
        redacted = pep.decide(request_of(Stage.PRE_PROMPT, MEMBER, long + "Write to eve@example.com"))
        assert redacted.permitted
        assert "eve@example.com" not in redacted.changes.texts[0,]
        many = pep.decide(request_of(Stage.PRE_PROMPT, MEMBER, "Write to eve@example.com. " * 1_000))
        assert many.permitted
        assert len(many.findings) == 1_000  # noqa: PLR2004 -- as many as there are


def _filtered(
    pep: EnforcementPoint, questions: Sequence[tuple[AccessRequest, Sequence[Entity]]], driver: str
) -> list[Decision]:
    if driver == "sync":
        return [pep.filter_candidates(request, models) for request, models in questions]

    async def filtered() -> list[Decision]:
        decisions = [await pep.afilter_candidates(request, models) for request, models in questions]
        await pep.aclose()
        return decisions

    return asyncio.run(filtered())
