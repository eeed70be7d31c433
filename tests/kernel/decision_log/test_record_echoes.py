"""A record hides what repeats the text of a call: messages, details, replacements, properties."""

import pytest
from recorded import SECRET, ask

from checkrein.testing import FailingEngine, deny, obligation, permit
from checkrein.vocabulary import Stage

ECHOES = {
    "a finding": f"card {SECRET} seen",
    "a whole segment": "you said: tell me about the weather today!",
    "a piece of a segment": "you said ...rs, and in the mountains as well, i",
}
TEXT = f"{SECRET} and then the weather of all the years, and in the mountains as well, if you please"


@pytest.mark.parametrize("content", ["facts", "masked"])
@pytest.mark.parametrize("message", ECHOES.values(), ids=ECHOES)
def test_a_message_that_repeats_the_call_is_hidden_and_marked(record, content, message):
    decision = ask("tell me about the weather today", TEXT, verdict=deny("no", message))
    assert record(decision, content)["reasons"] == [{"code": "no", "message": "", "message_masked": True}]


@pytest.mark.parametrize("content", ["facts", "masked", "full"])
def test_a_message_in_the_policys_own_words_is_shown(record, content):
    decision = ask(
        "tell me about the weather today", TEXT, verdict=deny("no", "the prompt holds a card number")
    )
    assert record(decision, content)["reasons"] == [
        {"code": "no", "message": "the prompt holds a card number"}
    ]


def test_full_shows_what_a_message_repeats(record):
    decision = ask(TEXT, verdict=deny("no", f"card {SECRET} seen"))
    assert record(decision, "full")["reasons"] == [{"code": "no", "message": f"card {SECRET} seen"}]


def test_a_finding_that_the_cut_of_a_message_runs_through_is_hidden(record):
    decision = ask(SECRET, verdict=deny("no", "m" * 505 + SECRET))
    assert record(decision)["reasons"][0]["message"] == ""


def test_the_detail_of_a_failure_that_repeats_the_call_is_hidden(record):
    decision = ask(SECRET, engine=FailingEngine("engine_error", detail=f"cannot parse {SECRET}"))
    (answer,) = record(decision)["answers"]
    assert (answer["detail"], answer["detail_masked"]) == ("", True)


def test_a_message_that_repeats_the_arguments_of_a_tool_is_hidden(record):
    query = "all the salaries of the whole department"
    context = {"tool": {"arguments": {"query": query}}}
    decision = ask(stage=Stage.TOOL_CALL, context=context, verdict=deny("no", f"refused: {query}"))
    assert record(decision)["reasons"][0]["message"] == ""


def test_a_replacement_that_repeats_the_call_is_hidden_and_another_is_cut(record):
    hidden = ask(TEXT, verdict=permit(obligation("replace", text=f"[{TEXT}]")))
    assert record(hidden)["obligations"][0]["properties"] == {"text": "", "text_masked": True}
    shown = ask(TEXT, verdict=permit(obligation("replace", text="no. " * 100)))
    assert record(shown)["obligations"][0]["properties"] == {"text": ("no. " * 100)[:256]}
    assert record(shown, "full")["obligations"][0]["properties"] == {"text": "no. " * 100}


def test_properties_below_a_list_are_looked_through_too(record):
    decision = ask(SECRET, verdict=permit(obligation("redact", types=["card", f"is {SECRET}"])))
    assert record(decision)["obligations"][0]["properties"] == {"types": "", "types_masked": True}


def test_with_very_many_findings_no_message_is_shown(record):
    decision = ask(f"{SECRET} " * 1001, verdict=deny("no", "harmless"))
    assert record(decision)["reasons"] == [{"code": "no", "message": "", "message_masked": True}]
