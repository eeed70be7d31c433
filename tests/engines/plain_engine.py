"""The policy of the published suite in plain Python, as a third party would bring an engine."""

import asyncio

from checkrein import Effect, EngineFailure, Obligation, Reason, Stage, Verdict

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
