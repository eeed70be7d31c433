"""What a policy can ask of the context, and the sets that are added for Cedar."""

import pytest

from checkrein.detection import Detectors
from checkrein.document import build
from checkrein.settings import Limits
from checkrein.vocabulary import AccessRequest, Effect, Entity, Origin, Segment, Stage

SSN = "536-90-4399"
MAIL = "jo@example.com"
DETECTORS = Detectors.load(dict.fromkeys(Stage, ("us_ssn", "email")))


@pytest.fixture
def found(load):
    """Whether a condition is true of pieces of text, each said by somebody."""

    def found(condition, *pieces, stage=Stage.PRE_PROMPT):
        request = AccessRequest(
            stage=stage,
            subject=Entity(type="user", id="alice"),
            resource=Entity(type="model", id="gpt-4o"),
            segments=tuple(
                Segment(path=(index,), role=origin, origin=Origin(origin), text=text)
                for index, (origin, text) in enumerate(pieces)
            ),
        )
        engine = load(f"permit(principal, action, resource) when {{ {condition} }};")
        evaluation = build(request, detectors=DETECTORS, models={}, limits=Limits())
        return engine.evaluate(evaluation).effect is Effect.PERMIT

    return found


def test_nothing_found_is_an_empty_set(found):
    nothing = "context.found.isEmpty() && context.found_current.isEmpty() && context.findings.isEmpty()"
    assert found(nothing, ("user", "Hello"))


def test_found_is_of_the_whole_text_and_found_current_of_this_turn(found):
    said = (("system", MAIL), ("user", SSN), ("assistant", "Yes."), ("user", "Hello"))
    assert found('context.found.containsAll(["us_ssn", "email"]) && context.found_current.isEmpty()', *said)
    now = (*said, ("tool", MAIL), ("retrieved", SSN))
    assert found('context.found_current.containsAll(["us_ssn", "email"])', *now)


def test_words_put_into_the_models_mouth_are_not_what_somebody_says(found):
    said = (("user", MAIL), ("assistant", SSN))
    assert found('context.found.contains("us_ssn") && context.found_current == ["email"]', *said)


@pytest.mark.parametrize("stage", [Stage.POST_COMPLETION, Stage.TOOL_CALL])
def test_what_the_model_writes_is_current_where_it_is_judged(found, stage):
    assert found('context.found_current == ["us_ssn"]', ("assistant", SSN), stage=stage)


@pytest.mark.parametrize(
    ("uninspected", "condition"),
    [
        (None, "context.uninspected_kinds.isEmpty()"),
        ([], "context.uninspected_kinds.isEmpty()"),
        (
            [{"kind": "image"}, {"kind": "audio"}, {"kind": "image"}],
            'context.uninspected_kinds == ["audio", "image"]',
        ),
        ([{"segment": 3}, "x", {"kind": 5}, {"kind": ["image"]}], 'context.uninspected_kinds == ["unknown"]'),
    ],
)
def test_kinds_of_what_nobody_looked_into_are_a_set(holds, uninspected, condition):
    assert holds(condition, uninspected=uninspected)


@pytest.mark.parametrize(
    "condition",
    [
        'datetime(context.environment.time) > datetime("2024-01-01")',
        'datetime(context.environment.time).toTime() < duration("24h")',
        'ip(context.environment.client).isInRange(ip("10.0.0.0/8"))',
        'context.identity.source == "none" && !context.identity.asserted',
        "context.prompt.length == 5 && context.prompt.words == 1 && !context.prompt.code",
        'context.tools.contains("shell") && context.supported_obligations.isEmpty()',
        "context == context && context has environment.client",
        "context.findings.isEmpty()",
    ],
)
def test_a_policy_can_ask_for_any_fact(holds, condition):
    assert holds(condition, environment={"client": "10.1.2.3"}, tools=["shell", "search"])
