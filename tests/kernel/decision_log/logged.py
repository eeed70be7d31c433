"""Decisions to record, what a log has written of them, and a file that fails until it is mended."""

import json
from dataclasses import replace

from checkrein.enforcement import EnforcementPoint
from checkrein.testing import StaticEngine, deny, permit
from checkrein.vocabulary import AccessRequest, Entity, Origin, Segment, Stage

BOUND = 20.0


def ask(verdict=None, text="hello"):
    request = AccessRequest(
        stage=Stage.PRE_PROMPT,
        subject=Entity(type="user", id="alice"),
        resource=Entity(type="model", id="small"),
        segments=(Segment(path=(0,), role="user", origin=Origin.USER, text=text),),
    )
    records = []
    EnforcementPoint(StaticEngine(verdict or permit()), record=records.append).decide(request)
    return records[-1]


PERMIT, DENIAL = ask(), ask(deny("no"))


def number(decision, value):
    return replace(decision, decision_id=str(value))


def ids(data):
    return [json.loads(line)["decision_id"] for line in data.splitlines()]


class Lossy:
    """A target at `path` that fails every write, by a link to a full device, until it is mended."""

    def __init__(self, path):
        self.path = path
        path.symlink_to("/dev/full")

    def mend(self):
        self.path.unlink()
        self.path.touch()
