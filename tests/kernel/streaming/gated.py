"""Enforcement points whose detectors have a bound, questions of a stream, and what came out of a gate."""

from checkrein.detection import Detectors, Span
from checkrein.enforcement import EnforcementPoint
from checkrein.settings import Settings
from checkrein.testing import StaticEngine
from checkrein.vocabulary import AccessRequest, Entity, Origin, Segment, Stage

STAGE = Stage.POST_COMPLETION
PROSE = "and so on and so forth "


def question(**changes):
    told = {
        "stage": STAGE,
        "subject": Entity(type="user", id="alice", properties={"team": "hr"}),
        "resource": Entity(type="model", id="small"),
        "supports": frozenset({"redact", "replace"}),
        "context": {"operation": "chat"},
    }
    return AccessRequest(**told | changes)


def delta(text, path=0):
    return Segment(path=(path,), role="assistant", origin=Origin.ASSISTANT, text=text)


def find_marks(text):
    kinds = {"#": "hash", "$": "money", "%": "rate"}
    return [Span(kinds[char], place, place + 1) for place, char in enumerate(text) if char in kinds]


def detectors(find=find_marks, longest=4, types=("hash", "money", "rate")):
    return Detectors({STAGE: frozenset(types)}, {STAGE: (find,)}, {STAGE: longest})


def make(answer, *, mode="window", found=None, record=None, **settings):
    """An enforcement point, its engine and its records."""
    engine = answer if hasattr(answer, "evaluate") or hasattr(answer, "judge") else StaticEngine(answer)
    records = []
    told = Settings.model_validate({"stream": {"mode": mode}, **settings})
    pep = EnforcementPoint(engine, told, record=record or records.append)
    pep._concluder.detectors = found or Detectors({}, {})
    return pep, engine, records


def joined(steps, path=0):
    return "".join(step.get((path,), "") for step in steps)


def asked(engine):
    """What each ask said of itself."""
    return [(one["context"]["partial"], one["context"]["released"]) for one in engine.asked]
