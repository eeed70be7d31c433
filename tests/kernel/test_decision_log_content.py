"""What a record shows of a call: facts, masked text or everything; and one line whatever the text."""

import hashlib
import json
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from checkrein.decision_log import DecisionLog, DecisionLogSettings
from checkrein.decision_log.encoding import MAX_RECORD, encode
from checkrein.detection import Detectors, Span
from checkrein.enforcement import EnforcementPoint
from checkrein.settings import Settings
from checkrein.testing import FailingEngine, StaticEngine, deny, obligation, permit
from checkrein.vocabulary import AccessRequest, Entity, Origin, Reason, Segment, Stage

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


class Recorder:
    def __init__(self, path):
        self.path = path
        self.logs = {}

    def __call__(self, decision, content="facts"):
        return json.loads(self.line(decision, content))

    def line(self, decision, content="facts"):
        if content not in self.logs:
            settings = {"to": self.path / f"{content}.jsonl", "content": content, "digest_key": KEY}
            self.logs[content] = DecisionLog(DecisionLogSettings.model_validate(settings))
        log, file = self.logs[content], self.path / f"{content}.jsonl"
        size = file.stat().st_size
        log.record(decision)
        assert log.flush()
        assert not any(log.dropped.values())
        data = file.read_bytes()[size:]
        assert data.count(b"\n") == 1
        assert data.endswith(b"\n")
        return data.decode()


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    recorder = Recorder(tmp_path_factory.mktemp("logs"))
    yield recorder
    for log in recorder.logs.values():
        log.close()


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


JSONISH = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters())),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(st.characters()), inner, max_size=4)
    ),
)


@given(st.dictionaries(st.text(st.characters(), max_size=5), JSONISH, max_size=5))
def test_any_event_encodes_to_one_line_of_strict_json(event):
    line = encode(event)
    assert line.endswith(b"\n")
    assert line.decode().splitlines() == [line[:-1].decode()]

    def refuse(constant):
        raise AssertionError(constant)

    json.loads(line, parse_constant=refuse)


def test_what_json_has_no_place_for_is_replaced_and_marked():
    looped: list = []
    looped.append(looped)
    odd = {
        "id": "kept",
        "set": {"a"},
        "loop": looped,
        "big": 1 << 70,
        "odd": object(),
        5: "five",
        "half": "\ud800",
    }
    shown = json.loads(encode(odd))
    assert shown["id"] == "kept"
    assert shown["set"] == ["a"]
    assert (shown["big"], shown["odd"], shown["5"], shown["half"]) == ("<int>", "<object>", "five", "?")
    assert shown["replaced"] is True


@pytest.mark.parametrize("char", ["a", "\x00", "é", "\U0001f600", "\u2028", "\ud800"])
def test_the_bound_holds_whatever_the_characters(char):
    event = {"id": "kept", "texts": [char * 1000] * 1000, "names": {f"{n}{char * 50}": n for n in range(900)}}
    line = encode(event)
    assert len(line) <= MAX_RECORD
    assert json.loads(line)["id"] == "kept"


@pytest.mark.parametrize("value", [-(2**63), -1.2345678901234567e-300, True, [], {}, object()])
def test_the_bound_holds_whatever_the_values(value):
    line = encode({"id": "kept", "values": [value] * 200_000})
    assert len(line) <= MAX_RECORD
    assert json.loads(line)["id"] == "kept"
