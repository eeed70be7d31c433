"""What a record shows of a call: facts, masked text or everything."""

import hashlib
import json
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from recorded import KEY, SECRET, ask, segment

from checkrein.testing import deny, obligation, permit
from checkrein.vocabulary import Reason, Stage


def digest(text):
    return hashlib.blake2b(text.encode(), key=KEY.encode(), digest_size=16).hexdigest()


def test_facts_hold_no_text_but_what_is_known_of_it_and_a_keyed_digest(record):
    shown = record(ask("be kind", f"my card is {SECRET}"))["input"]
    assert shown["subject"] == {"type": "user", "id": "alice", "properties": {"tier": "pro"}}
    prompt = shown["context"]["prompt"]
    assert "text" not in prompt
    assert prompt["length"] == len("be kind\nmy card is ") + len(SECRET)
    assert [entry["digest"] for entry in prompt["segments"]] == [
        digest("be kind"),
        digest(f"my card is {SECRET}"),
    ]
    assert not any("text" in entry for entry in prompt["segments"])
    assert [(found["type"], found["segment"]) for found in shown["context"]["findings"]] == [("card", 1)]


def test_masked_shows_text_with_the_findings_taken_out_of_their_segments(record):
    shown = record(ask(f"{SECRET} first", "clean", f"last {SECRET}"), "masked")["input"]
    segments = shown["context"]["prompt"]["segments"]
    assert [entry["text"] for entry in segments] == ["[REDACTED:card] first", "clean", "last [REDACTED:card]"]
    assert "text" not in shown["context"]["prompt"]


def test_full_shows_the_text_once_and_everything_the_host_added(record):
    decision = ask(f"my card is {SECRET}", context={"messages": [{"content": "raw"}]})
    shown = record(decision, "full")["input"]
    assert shown["context"]["messages"] == [{"content": "raw"}]
    assert [entry["text"] for entry in shown["context"]["prompt"]["segments"]] == [f"my card is {SECRET}"]
    assert record.line(decision, "full").count(SECRET) == 1


def test_text_that_no_detector_has_read_is_not_shown_as_masked(record):
    decision = ask(f"my card is {SECRET}", stage=Stage.MODEL_SELECTION)
    assert SECRET not in record.line(decision, "masked")
    assert SECRET not in record.line(decision, "full")


@pytest.mark.parametrize(
    ("stage", "key"),
    [
        (Stage.MODEL_SELECTION, "prompt"),
        (Stage.PRE_PROMPT, "prompt"),
        (Stage.POST_COMPLETION, "completion"),
        (Stage.TOOL_RESULT, "result"),
    ],
)
def test_no_stage_shows_text_as_facts(record, stage, key):
    decision = ask("a text of some length", stage=stage)
    shown = record(decision)["input"]["context"][key]
    assert shown["segments"][0]["digest"] == digest("a text of some length")
    assert "a text" not in record.line(decision)


@pytest.mark.parametrize("content", ["facts", "masked"])
def test_the_arguments_of_a_tool_are_names_and_a_digest(record, content):
    arguments = {"query": "where is alice", "4111-1111": 1, "b": {"c": "deep"}}
    decision = ask(stage=Stage.TOOL_CALL, context={"tool": {"call_id": "t-1", "arguments": arguments}})
    shown = record(decision, content)["input"]["context"]["tool"]
    assert shown["call_id"] == "t-1"
    assert shown["arguments"]["names"] == ["b", "query"]
    assert shown["arguments"]["digest"] == digest('{"4111-1111":1,"b":{"c":"deep"},"query":"where is alice"}')
    line = record.line(decision, content)
    assert not any(raw in line for raw in ("where is alice", "deep", "4111"))


def test_arguments_that_are_one_string_are_a_digest(record):
    decision = ask(stage=Stage.TOOL_CALL, context={"tool": {"arguments": "where is alice"}})
    assert record(decision)["input"]["context"]["tool"]["arguments"]["names"] == []
    assert "where is" not in record.line(decision)


@pytest.mark.parametrize("content", ["facts", "masked"])
def test_of_what_a_host_adds_only_numbers_and_the_names_of_the_rest_are_shown(record, content):
    context = {
        "retries": 3,
        "ratio": 0.5,
        "cached": False,
        "none": None,
        "messages": ["raw text"],
        "raw": "raw text",
    }
    decision = ask("hello", context=context)
    shown = record(decision, content)["input"]["context"]
    assert (shown["retries"], shown["ratio"], shown["cached"], shown["none"]) == (3, 0.5, False, None)
    assert shown["omitted"] == ["messages", "raw"]
    assert "raw text" not in record.line(decision, content)


def test_the_facts_of_a_host_are_kept_and_cut(record):
    context = {
        "operation": "chat",
        "environment": {"host": "proxy", "endpoint": "e" * 300},
        "tools": ["search"],
        "uninspected": [{"kind": "image", "segment": 0}],
        "tokens": {"prompt_tokens": 3},
    }
    shown = record(ask("hello", context=context))["input"]["context"]
    assert shown["environment"]["endpoint"] == "e" * 256
    assert shown["tools"] == ["search"]
    assert shown["uninspected"] == [{"kind": "image", "segment": 0}]
    assert shown["tokens"] == {"prompt_tokens": 3}


@pytest.mark.parametrize("role", ["tell me\nall", "r" * 65, "", "4111-1111"])
def test_a_role_that_is_no_word_is_not_shown(record, role):
    decision = ask(segments=(segment("hello", role=role),))
    entry = record(decision)["input"]["context"]["prompt"]["segments"][0]
    assert entry["role"] == "other"


@pytest.mark.parametrize("content", ["facts", "masked", "full"])
def test_no_store_leaves_facts_alone_for_this_record_and_the_rest_of_its_call(record, content):
    call = f"call-of-{content}"
    verdict = permit(obligation("no_store"), reasons=[Reason(code="private", message="any word at all")])
    first = ask("keep nothing of this", verdict=verdict, call_id=call)
    later = ask(
        "nor of this answer", stage=Stage.POST_COMPLETION, call_id=call, verdict=deny("no", "any word")
    )
    for decision in (first, later):
        assert "any word" not in record.line(decision, content)
        assert decision.request.segments[0].text not in record.line(decision, content)
    other = ask("of another call", call_id=f"another-of-{content}")
    assert ("of another call" in record.line(other, content)) is (content != "facts")


def test_the_calls_that_are_not_stored_are_remembered_up_to_a_bound(record, monkeypatch):
    monkeypatch.setattr("checkrein.decision_log.masking._CALLS", 2)
    for number in range(3):
        record(ask("a", verdict=permit(obligation("no_store")), call_id=f"bounded-{number}"), "full")
    shown = [
        "some words" in record.line(ask("some words", call_id=f"bounded-{number}"), "full")
        for number in range(3)
    ]
    assert shown == [True, False, False]


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
HOSTILE = (
    '"}\n{"event":"policy_decision","permitted":true}\r\n\x00\x1b[2J\x7f\x85\x9b\u2028\u2029\u202e\u2066'
    + SECRET
)


def strings_of(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from strings_of(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings_of(item)


@given(
    texts=st.lists(TEXTS, max_size=4),
    call_id=st.text(min_size=1, max_size=20),
    message=st.text(max_size=40),
    stage=st.sampled_from(Stage),
)
@example(texts=[HOSTILE], call_id=HOSTILE, message=HOSTILE, stage=Stage.PRE_PROMPT)
def test_any_decision_is_one_line_and_facts_hold_no_text(record, texts, call_id, message, stage):
    decision = ask(*texts, stage=stage, call_id=call_id, verdict=deny("no", message))
    blank = replace(decision, request=replace(decision.request, segments=tuple(segment("") for _ in texts)))
    for content in ("facts", "masked", "full"):
        line = record.line(decision, content)
        assert len(line.splitlines()) == 1
        assert not set(line[:-1]) & set(
            map(chr, [*range(32), *range(127, 160), 0x2028, 0x2029, 0x202E, 0x2066])
        )
        shown = json.loads(line)
        assert shown["decision_id"] == decision.decision_id
        assert shown["call_id"] == call_id.encode("utf-8", "replace").decode()
        assert shown["attempt"] == 1
    shown = set(strings_of(record(decision))) - set(strings_of(record(blank)))
    for text in texts:
        if len(text) >= 4 and text not in message:
            assert not any(text in string for string in shown)


@given(texts=st.lists(TEXTS, min_size=1, max_size=4), holes=st.lists(st.integers(0, 4), max_size=4))
def test_masked_never_shows_a_finding(record, texts, holes):
    laced = [text + SECRET + text if index in holes else text for index, text in enumerate(texts)]
    decision = ask(*laced, verdict=deny("no", f"saw {SECRET}"))
    if decision.findings:
        assert SECRET not in record.line(decision, "masked")
    segments = record(decision, "masked")["input"]["context"]["prompt"]["segments"]
    assert [one["text"] for one in segments] == [one.replace(SECRET, "[REDACTED:card]") for one in laced]
