"""What the tests of the kernel share: a question, and both drivers."""

import asyncio
import dataclasses

import pytest

from checkrein.detection import Detectors, Span
from checkrein.enforcement import EnforcementPoint
from checkrein.settings import Settings
from checkrein.testing import StaticEngine
from checkrein.vocabulary import AccessRequest, Entity, Origin, Segment, Stage

SUPPORTS = frozenset({"redact", "route", "limit_tokens", "replace", "remove_tools", "set_parameters"})


def make_question(text="hello", **changes):
    segment = Segment(path=(0,), role="user", origin=Origin.USER, text=text)
    request = AccessRequest(
        stage=Stage.PRE_PROMPT,
        subject=Entity(type="user", id="alice"),
        resource=Entity(type="model", id="small"),
        segments=(segment,),
        supports=SUPPORTS,
    )
    return dataclasses.replace(request, **changes)


def find_digits(text):
    return [Span("digit", place, place + 1) for place, char in enumerate(text) if char.isdigit()]


@pytest.fixture
def question():
    return make_question


@pytest.fixture(params=["sync", "async"])
def drive(request):
    """Decide with either driver: `drive(pep, request)`."""

    def decide(pep, asked, describe=None):
        if request.param == "sync":
            return pep.decide(asked, describe)
        return asyncio.run(pep.adecide(asked, describe))

    return decide


@pytest.fixture
def ask(drive):
    """Ask an answer or an engine one question: gives the decision and all records; digits are found."""

    def decide(answer, asked=None, *, remote=False, describe=None, **settings):
        engine = answer if hasattr(answer, "evaluate") else StaticEngine(answer, remote=remote)
        records = []
        pep = EnforcementPoint(engine, Settings.model_validate(settings), record=records.append)
        pep._concluder.detectors = Detectors(
            dict.fromkeys(Stage, frozenset({"digit"})), dict.fromkeys(Stage, (find_digits,))
        )
        decision = drive(pep, asked or make_question(), describe)
        assert records[-1] is decision
        return decision, records

    return decide
