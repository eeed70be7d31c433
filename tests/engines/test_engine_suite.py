"""The published suite itself: an engine in plain Python passes it, and no kind of bad engine does."""

import asyncio
import contextlib
import logging
import os
import threading

import pytest

import checkrein.testing
from checkrein import Effect, EngineFailure, Obligation, Reason, Stage, Verdict
from checkrein.testing import EngineSuite

STAGES = frozenset({Stage.MODEL_SELECTION, Stage.PRE_PROMPT, Stage.POST_COMPLETION, Stage.TOOL_CALL})


class PlainEngine:
    """The suite's policy in Python, as a third party would bring an engine."""

    name = "plain"
    remote = False
    stages = STAGES
    revision = None
    everywhere = False

    def __init__(self):
        self.closed = False

    def evaluate(self, request):
        if self.closed:
            raise EngineFailure("engine_error", "the engine is closed")
        if request.stage not in STAGES and not self.everywhere:
            raise EngineFailure("engine_error", "no rule answers this stage")
        return self.judge(request.document)

    def close(self):
        self.closed = True

    def judge(self, document):
        subject, stage = document["subject"], document["stage"]
        tier = self.tier(subject)
        denials = [code for code, holds in self.denials(document, tier) if holds]
        if denials:
            return Verdict(effect=Effect.DENY, reasons=tuple(Reason(code=code) for code in denials))
        member = subject["type"] == "user" and tier in ("free", "pro")
        owner = stage == "model_selection" and (subject["type"], subject["id"]) == ("user", "owner")
        if stage == "tool_call":
            member = member and tier == "pro" and document["resource"]["id"] == "search"
        if not (member or owner):
            return Verdict(effect=Effect.NOT_APPLICABLE)
        return Verdict(effect=Effect.PERMIT, obligations=tuple(self.obligations(document, tier)))

    def tier(self, subject):
        tier = subject["properties"].get("tier")
        return tier if isinstance(tier, str) else None

    def denials(self, document, tier):
        subject, resource, context = document["subject"], document["resource"], document["context"]
        stage, usage = document["stage"], context.get("usage")
        spent, limit = (
            usage.get(key) if isinstance(usage, dict) else None for key in ("spent_micros", "limit_micros")
        )
        yield "access.suspended", subject["properties"].get("suspended") is True
        if stage == "model_selection":
            large = resource["properties"].get("size") == "large"
            yield "tier.model", subject["type"] == "user" and tier == "free" and large
            yield "model.retired", (resource["type"], resource["id"]) == ("model", "retired")
        if stage == "pre_prompt":
            found = [one for one in context["findings"] if one["type"] == "us_ssn" and one["current"]]
            yield "pii.us_ssn", bool(found)
            yield "budget.exceeded", type(spent) is type(limit) is int and self.exceeds(spent, limit)

    def exceeds(self, spent, limit):
        return spent > limit

    def obligations(self, document, tier):
        properties, found = document["subject"]["properties"], document["context"]["findings"]
        types = {one["type"] for one in found}
        if document["stage"] == "post_completion" and types & {"email", "us_ssn"}:
            yield Obligation(type="redact", properties={"types": ["email", "us_ssn"]})
        if document["stage"] == "pre_prompt":
            if "email" in types:
                yield Obligation(type="redact", properties={"types": ["email"]})
            if tier == "pro" and properties.get("private") is True and document["resource"]["id"] != "local":
                yield Obligation(type="route", properties={"model": "local"})


class AwaitedEngine(PlainEngine):
    """The same, as if it were remote."""

    remote = True

    async def aevaluate(self, request):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return self.evaluate(request)

    async def aclose(self):
        self.close()


@pytest.mark.parametrize("kind", [PlainEngine, AwaitedEngine])
class TestPlainEngine(EngineSuite):
    @pytest.fixture
    def engine(self, kind):
        return kind()


class TestEngineWithoutRoutes(EngineSuite):
    unsaid = frozenset({"route"})

    @pytest.fixture
    def engine(self):
        return PlainEngine()

    def test_it_is_asked_no_scenario_that_needs_one(self):
        names = {one.name for one in self.scenarios()}
        assert "a private prompt goes to the local model" not in names
        assert len(names) == len(EngineSuite.scenarios()) - 1


class KeepsTheFirstTier(PlainEngine):
    kept = None

    def tier(self, subject):
        self.kept = self.kept or super().tier(subject)
        return self.kept


class ForgetsWhoAsks(PlainEngine):
    def __init__(self):
        super().__init__()
        self.threads = threading.local()

    def tier(self, subject):
        if not hasattr(self.threads, "tier"):
            self.threads.tier = super().tier(subject)
        return self.threads.tier


class AnswersWhenClosed(PlainEngine):
    def close(self):
        pass


class FailsWhenClosedTwice(PlainEngine):
    def close(self):
        if self.closed:
            raise EngineFailure("engine_error", "closed already")
        super().close()


class ChangesTheQuestion(PlainEngine):
    def judge(self, document):
        document["context"]["environment"].clear()
        return super().judge(document)


class SharesObligations(PlainEngine):
    shared = Obligation(type="redact", properties={"types": ["email"]})

    def obligations(self, document, tier):
        for one in super().obligations(document, tier):
            yield self.shared if one.properties == {"types": ["email"]} else one


class TrimsIds(PlainEngine):
    def judge(self, document):
        subject = document["subject"]
        return super().judge({**document, "subject": {**subject, "id": subject["id"].strip()}})


class FoldsTiers(PlainEngine):
    def tier(self, subject):
        tier = super().tier(subject)
        return tier and tier.lower()


class UnpacksTiers(PlainEngine):
    def tier(self, subject):
        tier = subject["properties"].get("tier")
        return tier[0] if isinstance(tier, list) and tier else super().tier(subject)


class CalculatesInFloats(PlainEngine):
    def exceeds(self, spent, limit):
        return float(spent) > float(limit)


class TrustsTheHostsFindings(PlainEngine):
    def judge(self, document):
        context = document["context"]
        if context.get("found_current") == []:
            context = {**context, "findings": []}
        return super().judge({**document, "context": context})


class LetsOtherErrorsOut(PlainEngine):
    def judge(self, document):
        document["subject"]["id"].encode("ascii")
        return super().judge(document)


class ShowsWhatWasAsked(PlainEngine):
    def judge(self, document):
        if not document["subject"]["id"].isalnum():
            raise EngineFailure("request_rejected", f"`{document['subject']['id']}` is no id")
        return super().judge(document)


class ShowsItAsTheCause(PlainEngine):
    def judge(self, document):
        subject = document["subject"]["id"]
        if not subject.isalnum():
            raise EngineFailure("request_rejected", "the id is odd") from ValueError(subject)
        return super().judge(document)


class LogsWhatIsAsked(PlainEngine):
    def judge(self, document):
        logging.getLogger(__name__).debug("asked: %s", document["subject"])
        return super().judge(document)


class PrintsWhatIsAsked(PlainEngine):
    def judge(self, document):
        os.write(2, str(document["subject"]["id"]).encode())
        return super().judge(document)


class TakesOddIdsForOutages(PlainEngine):
    def judge(self, document):
        if not document["subject"]["id"].isalnum():
            raise EngineFailure("unreachable", "the id is odd")
        return super().judge(document)


class DropsObligations(PlainEngine):
    def obligations(self, document, tier):
        if document["subject"]["id"].isalnum():
            yield from super().obligations(document, tier)


class AnswersEveryStage(PlainEngine):
    everywhere = True


class PermitsInAChild(PlainEngine):
    def __init__(self):
        super().__init__()
        self.process = os.getpid()

    def judge(self, document):
        return Verdict(effect=Effect.PERMIT) if os.getpid() != self.process else super().judge(document)


class ReadsTheStart(PlainEngine):
    def judge(self, document):
        context = document["context"]
        findings = [one for one in context["findings"] if one["end"] < 65_536]
        return super().judge({**document, "context": {**context, "findings": findings}})


class AnswersNonsense(PlainEngine):
    def judge(self, document):
        verdict = super().judge(document)
        return Verdict(effect=verdict.effect, reasons=[*verdict.reasons], obligations=verdict.obligations)


class IsNotTheSameTwice(PlainEngine):
    def judge(self, document):
        verdict, self.last = super().judge(document), document["subject"]["id"]
        return verdict

    def denials(self, document, tier):
        yield "access.again", getattr(self, "last", "") == document["subject"]["id"] == "owner"
        yield from super().denials(document, tier)


class Blocks(AwaitedEngine):
    async def aevaluate(self, request):
        return self.evaluate(request)


class SwallowsCancellations(AwaitedEngine):
    async def aevaluate(self, request):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        return self.evaluate(request)


class IsWornOutByCancellations(AwaitedEngine):
    places = 64

    async def aevaluate(self, request):
        self.places -= 1
        if self.places <= 0:
            raise EngineFailure("engine_error", "no place is free")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.places += 1
        return self.evaluate(request)


FAULTS = {
    AnswersEveryStage: "does_not_answer",
    AnswersNonsense: "asked_again",
    AnswersWhenClosed: "once_closed",
    Blocks: "lets_the_event_loop_run",
    CalculatesInFloats: "scenario",
    ChangesTheQuestion: "asked_again",
    DropsObligations: "odd:subject ids",
    FailsWhenClosedTwice: "once_closed",
    FoldsTiers: "no_tier",
    ForgetsWhoAsks: "sixteen_threads",
    IsNotTheSameTwice: "what_a_host_does",
    IsWornOutByCancellations: "can_be_cancelled",
    KeepsTheFirstTier: "asked_again",
    LetsOtherErrorsOut: "odd:subject ids",
    LogsWhatIsAsked: "odd:subject ids",
    PermitsInAChild: "forked_child",
    PrintsWhatIsAsked: "odd:subject ids",
    ReadsTheStart: "long_text",
    SharesObligations: "what_a_host_does",
    ShowsItAsTheCause: "odd:subject ids",
    ShowsWhatWasAsked: "odd:subject ids",
    SwallowsCancellations: "can_be_cancelled",
    TakesOddIdsForOutages: "odd:subject ids",
    TrimsIds: "not_the_owner",
    TrustsTheHostsFindings: "odd:context",
    UnpacksTiers: "no_tier",
}


@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.__name__)
def test_a_bad_engine_is_found(kind, capfd, caplog):
    part, _, place = FAULTS[kind].partition(":")
    suite, engine = EngineSuite(), kind()
    (name,) = [one for one in dir(suite) if one.startswith("test_") and part in one]
    test = getattr(suite, name)
    pep = checkrein.EnforcementPoint(engine, checkrein.testing.checking.SETTINGS, record=lambda _: None)
    with pytest.raises((AssertionError, EngineFailure, pytest.fail.Exception)):  # noqa: PT012 -- one of the calls
        if part == "asked_again":
            test(engine, pep)
        elif part == "scenario":
            for scenario in suite.scenarios():
                test(checkrein.EnforcementPoint(kind(), pep.settings, record=lambda _: None), scenario)
        elif part == "odd":
            test(engine, place, capfd, caplog)
        else:
            test(pep if part in ("sixteen_threads", "long_text") else engine)
