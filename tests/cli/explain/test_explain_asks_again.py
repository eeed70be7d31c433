"""`checkrein explain`: a recorded question is asked again if the record holds all of it."""

import json

import pytest
from explained import CEDAR, SECRET, asked, asked_of_a_tool, words

from checkrein.vocabulary import Stage


def test_facts_that_are_whole_are_asked_again_and_the_difference_is_shown(run, cedar, tmp_path):
    path, log, _ = cedar(asked(Stage.MODEL_SELECTION, "hi", properties={"size": "large"}))
    options = ("explain", "--log", log, "--id", "call-1", "-c", path)
    assert "they answer the same" in words(run(*options))
    (tmp_path / "policies.cedar").write_text(CEDAR.replace('"large"', '"huge"').replace('"small"', '"large"'))
    said = words(run(*options))
    assert "answer: deny then, permit now" in said
    assert "reason tier.model_size: only then" in said
    told = json.loads(run(*options, "--json").stdout)["decisions"][0]["again"]
    assert told["asked"] is True
    assert told["permitted"] is True
    assert len(told["differences"]) == 2
    assert len(log.read_text().splitlines()) == 3  # nothing was recorded by looking


def test_a_full_record_is_asked_again_with_its_text_and_a_change_of_policy_shows(run, logged, monkeypatch):
    from desk_plugin import Desk  # noqa: PLC0415 -- on the path only now

    path, log, _ = logged(
        asked(Stage.PRE_PROMPT, SECRET), **{"{to: decisions.jsonl}": "{to: decisions.jsonl, content: full}"}
    )
    options = ("explain", "--log", log, "--id", "call-1", "-c", path)
    assert "they answer the same" in words(run(*options))
    seen = []

    def lenient(self, document):
        seen.append(document["context"]["prompt"])
        return Desk.at_model_selection(self, document)

    monkeypatch.setattr(Desk, "at_pre_prompt", lenient)
    assert "answer: deny then, permit now" in words(run(*options))
    ((prompt),) = seen
    assert prompt["text"] == SECRET
    assert prompt["length"] == len(SECRET)
    assert "digest" not in prompt["segments"][0]
    assert "text" not in prompt["segments"][0]


def test_the_document_that_is_asked_again_is_the_one_that_was_asked(run, logged, monkeypatch):
    from desk_plugin import Desk  # noqa: PLC0415 -- on the path only now

    seen = []
    evaluate = Desk.evaluate
    monkeypatch.setattr(Desk, "evaluate", lambda self, it: seen.append(it.document) or evaluate(self, it))
    request = asked(
        Stage.PRE_PROMPT, "call 55\nor 66", context={"usage": {"requests": 3}, "notes": ["of the host"]}
    )
    path, log, _ = logged(request, **{"{to: decisions.jsonl}": "{to: decisions.jsonl, content: full}"})
    run("explain", "--log", log, "--id", "call-1", "-c", path)
    then, now = seen
    assert now == then


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (asked(Stage.PRE_PROMPT, SECRET), "the record holds no text of the call"),
        (asked(Stage.MODEL_SELECTION, "hi", context={"notes": "text"}), "the record leaves out `notes`"),
        (asked(Stage.MODEL_SELECTION, "hi", context={"operation": "x" * 300}), "may have cut a long fact"),
        (
            asked(Stage.MODEL_SELECTION, "hi", context={"bad": object()}),
            "refused before any engine was asked",
        ),
    ],
)
def test_facts_that_are_not_whole_are_not_asked_and_it_says_why(run, logged, request_, why):
    path, log, _ = logged(request_)
    said = words(run("explain", "--log", log, "--id", "call-1", "-c", path))
    assert "not asked: " in said
    assert why in said


def test_arguments_that_a_record_only_names_are_not_asked_about(run, logged):
    request = asked_of_a_tool(to="bob")
    path, log, _ = logged(request)
    options = ("explain", "--log", log, "--id", "call-1", "-c", path)
    assert "not asked: the record holds no arguments of the tool" in words(run(*options))
    log.unlink()
    path, log, _ = logged(request, **{"{to: decisions.jsonl}": "{to: decisions.jsonl, content: full}"})
    assert "they answer the same" in words(run(*options))


def test_masked_text_is_not_asked_about_as_if_it_were_the_text(run, logged):
    path, log, _ = logged(
        asked(Stage.PRE_PROMPT, "call 55"),
        text="""
version: 1
engine: {desk: {stages: [pre_prompt]}}
detectors: {pre_prompt: [digit]}
decision_log: {to: decisions.jsonl, content: masked}
""",
    )
    said = words(run("explain", "--log", log, "--id", "call-1", "-c", path))
    assert "not asked: the record holds masked text" in said
