"""Engines that are bad in one way each, and the part of the published suite that finds them."""

import asyncio
import contextlib
import logging
import os
import threading

from plain_engine import AwaitedEngine, PlainEngine

from checkrein import Effect, EngineFailure, Obligation, Verdict


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
