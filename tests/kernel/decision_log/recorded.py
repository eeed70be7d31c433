"""Calls with a secret in them, and the decisions that are to be recorded."""

from dataclasses import replace

from checkrein.detection import Detectors, Span
from checkrein.enforcement import EnforcementPoint
from checkrein.settings import Settings
from checkrein.testing import StaticEngine, permit
from checkrein.vocabulary import AccessRequest, Entity, Origin, Segment, Stage

KEY = "the key of the digests, kept safe"
SECRET = "4111-SECRET"


def find_secrets(text):
    spans, start = [], text.find(SECRET)
    while start >= 0:
        spans.append(Span("card", start, start + len(SECRET)))
        start = text.find(SECRET, start + 1)
    return spans


def segment(text, index=0, role="user"):
    return Segment(path=(index,), role=role, origin=Origin.USER, text=text)


def ask(*texts, verdict=None, stage=Stage.PRE_PROMPT, engine=None, settings=None, **changes):
    request = AccessRequest(
        stage=stage,
        subject=Entity(type="user", id="alice", properties={"tier": "pro"}),
        resource=Entity(type="model", id="small"),
        segments=tuple(segment(text, index) for index, text in enumerate(texts)),
        supports=frozenset({"redact", "replace"}),
        call_id="call-1",
    )
    records = []
    pep = EnforcementPoint(
        engine or StaticEngine(verdict or permit()),
        Settings.model_validate(settings or {}),
        record=records.append,
    )
    every = frozenset(Stage) - {Stage.MODEL_SELECTION}
    pep._concluder.detectors = Detectors(
        dict.fromkeys(every, frozenset({"card"})), dict.fromkeys(every, (find_secrets,))
    )
    pep.decide(replace(request, **changes))
    return records[-1]
