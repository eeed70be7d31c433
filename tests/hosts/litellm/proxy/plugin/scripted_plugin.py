"""A plug-in such as a third party would bring: the policy of these tests, and a detector of US SSNs.

The proxy's process finds it by its entry points, for its folder is on that process's path.
"""

from __future__ import annotations

import re
from typing import ClassVar

from checkrein import Effect, Obligation, Reason, Stage, Verdict
from checkrein.detection import Span
from checkrein.engine import EngineOptions

SSN = re.compile(r"\b\d{3}-\d{2}-\d{4}\b")


class Pack:
    max_spans: ClassVar = {"ssn": 11}

    def scanner(self, types):
        return lambda text: [Span("ssn", hit.start(), hit.end()) for hit in SSN.finditer(text)]


pack = Pack()


class Options(EngineOptions):
    pass


def permit(*obligations):
    return Verdict(effect=Effect.PERMIT, obligations=obligations)


def deny(code, message=""):
    return Verdict(effect=Effect.DENY, reasons=(Reason(code=code, message=message),))


REDACT = Obligation(type="redact", properties={"types": ["ssn"]})
FREE = permit(
    Obligation(type="limit_tokens", properties={"max_tokens": 50}),
    Obligation(type="set_parameters", properties={"temperature": 0}),
    Obligation(type="remove_tools", properties={"names": ["shell"]}),
)
WORDS = {
    "nonsense": "yes",
    "FORBIDDEN": deny("content.forbidden", "not allowed: FORBIDDEN thing"),
    "REPLACE": permit(Obligation(type="replace", properties={"text": "replaced"})),
    "LIMIT": permit(Obligation(type="limit_tokens", properties={"max_tokens": 20})),
    "DISARM": permit(Obligation(type="remove_tools", properties={"names": ["shell"]})),
    "NOWHERE": permit(Obligation(type="route", properties={"model": "no-such-model"})),
    "NOSTORE": permit(Obligation(type="no_store")),
    "SECRETIVE": permit(Obligation(type="set_parameters", properties={"metadata": {}})),
}


class Engine:
    """Free callers: the small model, no SSNs. Pro: SSNs are redacted. Enterprise: everything."""

    Options = Options
    remote = False
    revision = "1"

    def __init__(self, options):
        self.name = options.name or "scripted"
        self.stages = frozenset(options.stages or Stage)

    @classmethod
    def from_options(cls, options):
        return cls(options)

    def close(self):
        pass

    def evaluate(self, request):
        context = request.document["context"]
        tier = request.document["subject"]["properties"].get("tier", "none")
        model = request.document["resource"]["id"]
        if request.document["subject"]["type"] == "anonymous":
            return deny("identity.missing")
        if request.stage is Stage.MODEL_SELECTION:
            return select(tier, model)
        text = text_of(context)
        for word, verdict in WORDS.items():
            if word in text:
                return verdict
        if "ROUTE" in text and model != "gpt-4o-mini":
            return permit(Obligation(type="route", properties={"model": "gpt-4o-mini"}))
        if context["findings"] and tier != "enterprise":
            refused = tier == "free" and request.stage in (Stage.PRE_PROMPT, Stage.TOOL_CALL)
            return deny("pii.ssn") if refused else permit(REDACT)
        return FREE if request.stage is Stage.PRE_PROMPT and tier == "free" else permit()


def text_of(context):
    for key in ("prompt", "completion", "result"):
        if key in context:
            return context[key]["text"]
    return str(context["tool"]["arguments"])


def select(tier, model):
    if model.startswith("vault") and tier != "enterprise":
        return deny("model.forbidden")
    if model == "gpt-4o" and tier == "free":
        return permit(Obligation(type="route", properties={"model": "gpt-4o-mini"}))
    return permit()
