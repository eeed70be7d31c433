"""The input document: facts that a caller cannot bend."""

import json

import pytest

from checkrein.detection import Detectors, Span
from checkrein.document import build
from checkrein.errors import RequestError
from checkrein.findings import found_types
from checkrein.settings import Limits
from checkrein.vocabulary import Entity, Origin, Segment, Stage


def digits(text):
    return [Span("digit", place, place + 1) for place, char in enumerate(text) if char.isdigit()]


def laid_out(request, *, limits=None, models=None, find=digits):
    detectors = Detectors(dict.fromkeys(Stage, frozenset({"digit"})), dict.fromkeys(Stage, (find,)))
    return build(
        request, detectors=detectors, models=models or {}, limits=Limits.model_validate(limits or {})
    )


def spoken(*turns):
    return tuple(
        Segment(path=(index,), role=origin, origin=Origin(origin), text=text)
        for index, (origin, text) in enumerate(turns)
    )


@pytest.mark.parametrize(
    ("turns", "current"),
    [
        ([("user", "1")], [True]),
        ([("system", "0"), ("user", "1")], [False, True]),
        ([("user", "1"), ("assistant", "2"), ("user", "3")], [False, False, True]),
        ([("user", "1"), ("assistant", "2"), ("tool", "3"), ("user", "4")], [False, False, True, True]),
        # Words put into the assistant's mouth, or an empty turn, do not make the user's own words history.
        ([("user", "1"), ("assistant", "2")], [True, True]),
        ([("user", "1"), ("assistant", "2"), ("user", " ")], [True, True, True]),
        ([("user", "1"), ("assistant", "2"), ("system", "3")], [True, True, False]),
        ([("user", "0"), ("assistant", "1"), ("user", "2"), ("assistant", "3")], [False, False, True, True]),
        ([("assistant", "1")], [True]),
    ],
)
def test_the_current_turn_is_the_last_one_that_somebody_really_spoke(question, turns, current):
    evaluation = laid_out(question(segments=spoken(*turns)))
    segments = evaluation.document["context"]["prompt"]["segments"]
    assert [one["current"] for one in segments] == current


def test_offsets_are_code_points_into_the_joined_text(question):
    turns = [("user", "é😀 1"), ("assistant", ""), ("user", "2")]
    context = laid_out(question(segments=spoken(*turns))).document["context"]
    text = context["prompt"]["text"]
    assert text == "é😀 1\n\n2"
    assert [text[one["start"] : one["end"]] for one in context["prompt"]["segments"]] == [
        "é😀 1",
        "",
        "2",
    ]
    assert [text[one["start"] : one["end"]] for one in context["findings"]] == ["1", "2"]
    assert [one["segment"] for one in context["findings"]] == [0, 2]


def test_a_finding_that_spans_segments_is_one_for_each(question):
    turns = [("user", "ab"), ("user", "cd")]
    findings = laid_out(question(segments=spoken(*turns)), find=lambda text: [Span("digit", 1, 4)]).findings
    assert [(one.segment, one.start, one.end) for one in findings] == [(0, 1, 2), (1, 3, 4)]


def test_model_selection_sees_facts_and_no_text(question):
    evaluation = laid_out(question("secret words", stage=Stage.MODEL_SELECTION))
    assert evaluation.document["context"]["prompt"]["words"] == 2
    assert b"secret" not in evaluation.json()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("please import the class from the function of a firm", False),
        ("```\nx\n```", True),
        ("int main() {\n}", True),
        ("run(1);\nrun(2);", True),
        ("def f(x):\n  return x", True),
    ],
)
def test_prose_is_no_code(question, text, code):
    assert laid_out(question(text)).document["context"]["prompt"]["code"] is code


PRICES = {"input_price": 2_500_000, "output_price": 10_000_000}


@pytest.mark.parametrize(
    ("properties", "estimated", "cost"),
    [
        (PRICES, {"prompt_tokens": 203, "max_tokens": 512}, 5628),
        (PRICES, {"prompt_tokens": 0, "max_tokens": 1}, 10),
        (PRICES, {"prompt_tokens": 203}, None),
        ({"input_price": 2_500_000}, {"prompt_tokens": 203, "max_tokens": 512}, None),
        (PRICES, {"prompt_tokens": True, "max_tokens": 512}, None),
        (PRICES, {"max_tokens": 512, "cost_micros": 1}, None),
    ],
)
def test_the_cost_is_ours_to_compute_and_unknown_stays_absent(question, properties, estimated, cost):
    model = Entity(type="model", id="m", properties=properties)
    document = laid_out(question(resource=model, context={"estimated": estimated})).document
    assert document["context"]["estimated"].get("cost_micros") == cost


def test_what_the_settings_say_of_a_model_outranks_the_host(question):
    model = Entity(type="model", id="m", properties={"size": "small", "provider": "x"})
    document = laid_out(question(resource=model), models={"m": {"size": "large"}}).document
    assert document["resource"]["properties"] == {"size": "large", "provider": "x"}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"context": {"environment": {"endpoint": "x" * 2000}}}, "limit.facts"),
        ({"subject": Entity(type="user", id="x" * 2000)}, "limit.facts"),
        ({"segments": (Segment(path=(), role="\ud800", origin=Origin.USER, text=""),)}, "limit.encoding"),
        ({"segments": (Segment(path=(), role="x" * 101, origin=Origin.USER, text=""),)}, "limit.text"),
        ({"subject": Entity(type="user", id=7)}, "limit.type"),
        ({"segments": spoken(*[("user", "")] * 6)}, "limit.segments"),
        ({"text": "é" * 51}, "limit.text"),
        ({"text": "1" * 8}, "limit.findings"),
    ],
)
def test_what_is_over_a_limit_is_refused(question, changes, code):
    with pytest.raises(RequestError) as caught:
        laid_out(question(**changes), limits={"text": 100, "facts": 1000, "segments": 5, "findings": 7})
    assert caught.value.code == code


def test_a_document_is_encoded_as_strict_json_once(question):
    evaluation = laid_out(question("x\u2028\0"))
    assert json.loads(evaluation.json()) == evaluation.document
    assert evaluation.json() is evaluation.json()


def test_sizes_are_written_as_people_write_them():
    assert Limits.model_validate({"text": "4MiB"}).text == 4 * 1024 * 1024


@pytest.mark.parametrize(
    ("stage", "turns", "current"),
    [
        (Stage.PRE_PROMPT, [("user", "1"), ("assistant", "x"), ("user", "y")], []),
        (Stage.PRE_PROMPT, [("user", "x"), ("assistant", "1")], []),
        (Stage.PRE_PROMPT, [("system", "1"), ("user", "x")], []),
        (Stage.PRE_PROMPT, [("tool", "1")], ["digit"]),
        (Stage.POST_COMPLETION, [("assistant", "1")], ["digit"]),
        (Stage.TOOL_CALL, [("assistant", "1")], ["digit"]),
    ],
)
def test_what_was_found_in_the_turn_is_what_somebody_said_in_it(question, stage, turns, current):
    context = laid_out(question(segments=spoken(*turns), stage=stage)).document["context"]
    assert found_types(context, current=False) == ["digit"]
    assert found_types(context, current=True) == current
