"""The bounds of a record: what was refused unread, what is counted instead of shown, how long a line is."""

import json

import pytest
from recorded import SECRET, ask, segment

from checkrein.decision_log.encoding import MAX_RECORD
from checkrein.vocabulary import Entity, Stage

REFUSED = {
    "text over the limit": {"segments": (segment("secret words " * 10),)},
    "a lone surrogate": {"segments": (segment("secret words \ud800"),)},
    "a number that is not finite": {"context": {"environment": {"secret words": float("nan")}}},
    "a number over 64 bits": {"context": {"usage": {"secret words": 1 << 80}}},
    "a host's own type": {"context": {"request": object()}},
    "a lone surrogate in a name": {"subject": Entity(type="user", id="al\ud800ice")},
    "a lone surrogate in a role": {"segments": (segment("secret words", role="\ud800"),)},
    "a huge name": {
        "subject": Entity(type="user", id="a" * 100_000, properties={"x": "secret words" * 20_000})
    },
    "no string for a name": {"subject": Entity(type="user", id=object())},
    "no subject at all": {"subject": None},
    "no string for a text": {"segments": (segment(None),)},
}


@pytest.mark.parametrize("content", ["facts", "masked", "full"])
@pytest.mark.parametrize("changes", REFUSED.values(), ids=REFUSED)
def test_what_is_refused_unread_is_one_record_of_names_and_sizes(record, content, changes):
    decision = ask("hello", settings={"limits": {"text": 100, "facts": 10_000}}, **changes)
    assert decision.document == {}
    line = record.line(decision, content)
    shown = json.loads(line)
    assert shown["failure"] in {"request_rejected", "engine_error"}
    assert "replaced" not in shown
    assert shown["input"]["resource"] == {"type": "model", "id": "small"}
    assert shown["input"]["segments"] == 1
    assert "secret words" not in line
    assert len(shown["input"]["subject"]["id"]) <= 256


def test_the_sizes_of_a_refused_request_are_told(record):
    decision = ask("ab", "cde", settings={"limits": {"text": 3}})
    assert record(decision)["input"]["segments"] == 2
    assert record(decision)["input"]["length"] == 5


def test_segments_and_findings_beyond_a_thousand_are_counted(record):
    decision = ask(*[SECRET] * 1003)
    context = record(decision)["input"]["context"]
    assert len(context["prompt"]["segments"]) == 1000
    assert context["prompt"]["segments_omitted"] == 3
    assert len(context["findings"]) == 1000
    assert context["findings_omitted"] == 3


def test_a_record_without_text_has_a_bound_and_keeps_what_comes_first(record):
    subject = Entity(type="user", id="alice", properties={f"p{n}": "\x00" * 100 for n in range(5000)})
    decision = ask("hello", subject=subject, settings={"limits": {"facts": "16MiB"}})
    line = record.line(decision)
    assert len(line) <= MAX_RECORD
    shown = json.loads(line)
    assert shown["truncated"] is True
    assert shown["decision_id"] == decision.decision_id
    assert shown["permitted"] is True


def test_a_long_text_in_full_is_shown_to_its_end(record):
    text = "\x00" * 200_000 + "end"
    shown = record(ask(text), "full")
    assert shown["input"]["context"]["prompt"]["segments"][0]["text"] == text
    assert "truncated" not in shown


def test_long_arguments_in_full_are_shown_to_their_end(record):
    context = {"tool": {"arguments": {"q": "x" * 900_000}}}
    shown = record(ask(stage=Stage.TOOL_CALL, context=context), "full")
    assert shown["input"]["context"]["tool"]["arguments"]["q"] == "x" * 900_000
