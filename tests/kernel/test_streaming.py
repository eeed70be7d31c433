"""The gate of a stream, in both drivers: when it asks, what leaves, and what a denial leaves behind."""

import asyncio

import pytest

from checkrein.combining import All, EngineNode
from checkrein.decision_log import DecisionLog, DecisionLogSettings
from checkrein.detection import Detectors, Span
from checkrein.enforcement import EnforcementPoint
from checkrein.errors import PolicyDenied
from checkrein.modes import can_stand
from checkrein.settings import Enforcement, Settings
from checkrein.testing import FailingEngine, StaticEngine, deny, obligation, permit
from checkrein.vocabulary import AccessRequest, Entity, Origin, Segment, Stage

STAGE = Stage.POST_COMPLETION
PROSE = "and so on and so forth "
MONITOR = {"default": "monitor"}


class HostDenied(PolicyDenied):
    """A host's own."""


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


@pytest.fixture(params=["sync", "async"])
def play(request):
    """`play(gate, deltas, **finish)`: what left at every step; without `finish=False`, the end too."""

    def through(gate, deltas, *, finish=True, **end):
        if request.param == "sync":
            left = [dict(gate.feed(one)) for one in deltas]
            return [*left, dict(gate.finish(**end))] if finish else left
        return asyncio.run(awaited(gate, deltas, finish, end))

    async def awaited(gate, deltas, finish, end):
        left = [dict(await gate.afeed(one)) for one in deltas]
        return [*left, dict(await gate.afinish(**end))] if finish else left

    return through


def joined(steps, path=0):
    return "".join(step.get((path,), "") for step in steps)


def asked(engine):
    """What each ask said of itself."""
    return [(one["context"]["partial"], one["context"]["released"]) for one in engine.asked]


def test_hold_gives_nothing_out_before_the_end_and_asks_once(play):
    pep, engine, records = make(permit(obligation("redact", types=["hash"])), mode="hold", found=detectors())
    gate = pep.stream(question())
    assert gate.mode == "hold"
    steps = play(gate, [delta("a#"), delta("x", 1), delta("b")], context={"tokens": {"completion": 2}})
    assert steps == [{}, {}, {}, {(0,): "a[REDACTED:hash]b", (1,): "x"}]
    assert asked(engine) == [(False, 0)]
    assert engine.asked[0]["context"]["tokens"] == {"completion": 2}
    assert engine.asked[0]["context"]["completion"]["text"] == "a#b\nx"
    assert records == [gate.decision]


def test_without_detectors_a_window_asks_before_the_first_release_and_at_the_end(play):
    pep, engine, records = make(permit())
    gate = pep.stream(question())
    assert gate.mode == "window"
    steps = play(gate, [delta(""), delta("a"), delta("bc"), delta("d")], context={"finish_reason": "stop"})
    assert steps == [{}, {(0,): "a"}, {(0,): "bc"}, {(0,): "d"}, {}]
    assert asked(engine) == [(True, 0), (False, 4)]
    assert [one.request.call_id for one in records] == [records[0].call_id] * 2
    assert records[0].call_id
    assert gate.decision is records[-1]


def test_a_window_asks_again_only_when_a_new_type_is_about_to_leave(play):
    pep, engine, _ = make(permit(), found=detectors())
    deltas = [delta(char) for char in PROSE * 4 + "# # $ " + PROSE * 4 + "# $ % " + PROSE * 4]
    steps = play(pep.stream(question()), deltas)
    assert joined(steps) == "".join(one.text for one in deltas)
    assert len(engine.asked) == 4
    assert [partial for partial, _ in asked(engine)] == [True, True, True, False]
    found = [{one["type"] for one in ask["context"]["findings"]} for ask in engine.asked]
    assert found == [set(), {"hash", "money"}, {"hash", "money", "rate"}, {"hash", "money", "rate"}]


def test_what_one_ask_obliges_to_holds_for_the_rest_of_the_stream(play):
    once = iter([permit(), permit(obligation("redact", types=["hash"]))])
    pep, _, records = make(lambda _: next(once, permit()), found=detectors())
    steps = play(
        pep.stream(question()), [delta(PROSE * 3), delta("# " + PROSE * 3), delta("# $ " + PROSE * 3)]
    )
    assert joined(steps).count("[REDACTED:hash]") == 2
    assert "#" not in joined(steps)
    assert all(one.permitted for one in records)
    assert "[REDACTED:hash]" in records[-1].changes.texts[(0,)]


@pytest.mark.parametrize("when", [0, 1, 2])
def test_a_denial_shuts_the_gate_for_good(play, when):
    answers = [permit(), permit(), permit()]
    answers[when] = deny("tone.rude")
    sequence = iter(answers)
    pep, _, records = make(lambda _: next(sequence), found=detectors())
    gate = pep.stream(question(), exception=HostDenied)
    with pytest.raises(HostDenied, match=r"tone\.rude") as denied:
        play(gate, [delta(PROSE * 3), delta("# " + PROSE * 3), delta(PROSE)])
    assert denied.value.decision is gate.decision is records[-1]
    assert len(records) == when + 1
    gate.close()
    for call in (lambda: gate.feed(delta("more")), gate.finish, lambda: gate.end((0,))):
        with pytest.raises(HostDenied) as again:
            call()
        assert again.value.decision is denied.value.decision
    assert len(records) == when + 1


def test_a_replacement_at_the_first_ask_leaves_once_and_stands_for_everything(play):
    pep, engine, records = make(permit(obligation("replace", text="withheld")))
    steps = play(
        pep.stream(question()),
        [delta("a"), delta("b"), delta("c", 1)],
        segments=(Segment(path=("tool",), role="assistant", origin=Origin.ASSISTANT, text="{}"),),
    )
    assert steps == [{(0,): "withheld"}, {}, {}, {("tool",): ""}]
    assert asked(engine) == [(True, 0), (False, 0)]
    assert engine.asked[1]["context"]["completion"]["text"] == "ab\nc\n{}"
    assert records[-1].permitted


def test_a_replaced_stream_is_judged_at_the_end_all_the_same(play):
    pep, _, _ = make(
        lambda ask: (
            permit(obligation("replace", text="withheld"))
            if ask.document["context"]["partial"]
            else deny("too.late")
        )
    )
    with pytest.raises(PolicyDenied, match=r"too\.late"):
        play(pep.stream(question()), [delta("a"), delta("b")])


def test_a_replacement_after_something_has_left_is_a_denial(play):
    answers = iter([permit(), permit(obligation("replace", text="withheld"))])
    pep, engine, _ = make(lambda _: next(answers))
    with pytest.raises(PolicyDenied, match="unsupported_obligation"):
        play(pep.stream(question()), [delta("a")])
    assert engine.asked[0]["context"]["supported_obligations"] == ["redact", "replace"]
    assert engine.asked[1]["context"]["supported_obligations"] == ["redact"]


@pytest.mark.parametrize("last", [False, True])
def test_an_obligation_about_what_has_left_raw_is_a_denial_in_one_record(play, last):
    answers = iter([permit(), permit(), permit(obligation("redact", types=["hash"]))])
    pep, _, records = make(lambda _: next(answers), found=detectors())
    gate = pep.stream(question())
    deltas = [delta(PROSE * 3), delta("# " + PROSE * 3), *([] if last else [delta("$ " + PROSE * 3)])]
    with pytest.raises(PolicyDenied, match="obligation_failed"):
        play(gate, deltas)
    assert [one.permitted for one in records] == [True, True, False]
    assert [one.state for one in gate.decision.obligations] == ["failed"]
    assert not gate.decision.changes
    assert gate.decision.request.context["released"] > len(PROSE) * 3


def test_what_the_host_held_back_itself_is_judged_at_the_end(play):
    pep, engine, _ = make(permit(obligation("redact", types=["hash"])), found=detectors())
    gate = pep.stream(question())
    arguments = Segment(path=("call", 0), role="assistant", origin=Origin.ASSISTANT, text='{"a": "#"}')
    plain = Segment(path=("call", 1), role="assistant", origin=Origin.ASSISTANT, text="{}")
    steps = play(gate, [delta("hello")], segments=(arguments, plain))
    assert steps[-1] == {(0,): "hello", ("call", 0): '{"a": "[REDACTED:hash]"}', ("call", 1): "{}"}
    assert gate.decision.changes.texts[("call", 0)] == '{"a": "[REDACTED:hash]"}'
    assert asked(engine) == [(False, 0)]


def test_a_stream_without_text_is_judged_too(play):
    pep, engine, _ = make(permit())
    assert play(pep.stream(question()), [delta("")]) == [{}, {}]
    assert asked(engine) == [(False, 0)]


@pytest.mark.parametrize("mode", ["hold", "window"])
@pytest.mark.parametrize(
    ("deltas", "code"),
    [
        ([delta("hello"), delta("x" * 20)], "limit.text"),
        ([delta("hello"), delta("\ud83d")], "limit.encoding"),
        ([delta("a", path) for path in range(4)], "limit.segments"),
    ],
)
def test_what_is_over_the_limits_is_denied_at_once_and_reaches_no_engine(play, mode, deltas, code):
    pep, engine, records = make(permit(), mode=mode, limits={"text": 30, "segments": 3}, found=detectors())
    gate = pep.stream(question())
    with pytest.raises(PolicyDenied, match=code):
        play(gate, deltas, finish=False)
    assert engine.asked == []
    assert [one.reasons[0].code for one in records] == [code]


def test_more_findings_than_the_limit_are_denied_before_they_leave(play):
    pep, _, records = make(permit(), limits={"findings": 20}, found=detectors())
    gate = pep.stream(question())
    with pytest.raises(PolicyDenied, match=r"limit\.findings"):
        play(gate, [delta("# ") for _ in range(100)], finish=False)
    assert len(records) == 2


def test_where_no_denial_could_stand_everything_passes_along_and_is_judged_at_the_end(play):
    pep, engine, records = make(deny("pii.us_ssn"), mode="hold", enforcement=MONITOR, found=detectors())
    gate = pep.stream(question())
    assert gate.mode == "open"
    assert play(gate, [delta("a#"), delta("b", 1)]) == [{(0,): "a#"}, {(1,): "b"}, {}]
    assert asked(engine) == [(False, 3)]
    assert [(one.permitted, one.enforced) for one in records] == [(False, False)]


def test_an_open_stream_over_the_limit_passes_and_no_more_of_it_is_kept(play):
    pep, engine, records = make(permit(), enforcement=MONITOR, limits={"text": 20})
    gate = pep.stream(question())
    steps = play(gate, [delta("x" * 8)] * 50)
    assert joined(steps) == "x" * 400
    assert engine.asked == []
    assert [one.reasons[0].code for one in records] == ["limit.text"]
    assert sum(len(one.text) for one in records[0].request.segments) == 16


@pytest.mark.parametrize("mode", ["hold", "window"])
def test_a_judgement_that_does_not_stand_changes_nothing(play, mode):
    rules = [{"reasons": ["pii.*"], "mode": "monitor"}]
    pep, _, records = make(deny("pii.hash"), mode=mode, enforcement={"rules": rules}, found=detectors())
    gate = pep.stream(question())
    assert gate.mode == mode
    deltas = [delta(char) for char in PROSE * 3 + "# " + PROSE * 3]
    assert joined(play(gate, deltas)) == "".join(one.text for one in deltas)
    assert not any(one.enforced for one in records)


@pytest.mark.parametrize("mode", ["hold", "window"])
def test_a_limit_that_does_not_stand_lets_the_stream_pass_along(play, mode):
    rules = [{"reasons": ["limit.*"], "mode": "monitor"}]
    pep, _, records = make(permit(), mode=mode, enforcement={"rules": rules}, limits={"text": 60})
    steps = play(pep.stream(question()), [delta(PROSE) for _ in range(10)])
    assert joined(steps) == PROSE * 10
    assert records[-1].reasons[0].code == "limit.text"
    assert len(records) <= 3


@pytest.mark.parametrize("mode", ["hold", "window"])
def test_a_limit_at_the_last_ask_that_does_not_stand_loses_no_text(play, mode):
    rules = {"enforcement": {"rules": [{"reasons": ["limit.*"], "mode": "monitor"}]}}
    pep, _, _ = make(permit(), mode=mode, found=detectors(), limits={"text": 20}, **rules)
    gate = pep.stream(question())
    steps = play(gate, [delta("abcdefgh"), delta("i", 1)], segments=(delta("x" * 20, 2),))
    assert not gate.decision.permitted
    assert [joined(steps, path) for path in range(3)] == ["abcdefgh", "i", "x" * 20]


def test_what_an_enforced_ask_bound_the_stream_to_outlives_a_limit_that_does_not_stand(play):
    rules = [{"reasons": ["limit.*"], "mode": "monitor"}]
    pep, _, records = make(
        permit(obligation("redact", types=["hash"])),
        enforcement={"rules": rules},
        limits={"text": 150},
        found=detectors(),
    )
    with pytest.raises(PolicyDenied, match="obligation_failed"):
        play(pep.stream(question()), [delta("# " + PROSE) for _ in range(10)])
    assert records[0].permitted
    assert records[-1].denied


@pytest.mark.parametrize(
    ("told", "stands"),
    [
        ({}, True),
        (MONITOR, False),
        ({"rules": [{"mode": "monitor"}]}, False),
        ({"rules": [{"mode": "monitor", "reasons": ["*"]}]}, False),
        ({"rules": [{"mode": "monitor", "reasons": ["pii.*"]}]}, True),
        ({"default": "monitor", "rules": [{"mode": "monitor", "reasons": ["pii.*"]}]}, False),
        ({"default": "monitor", "rules": [{"mode": "enforce", "reasons": ["pii.*"]}]}, True),
        ({"default": "monitor", "rules": [{"mode": "enforce", "stages": ["pre_prompt"]}]}, False),
        ({"rules": [{"mode": "monitor", "subject": {"team": "hr"}}]}, False),
        ({"rules": [{"mode": "monitor", "subject": {"team": "it"}}]}, True),
        ({"rules": [{"mode": "monitor"}, {"mode": "enforce"}]}, False),
        ({"rules": [{"mode": "enforce", "reasons": ["x"]}, {"mode": "monitor"}]}, True),
    ],
)
def test_a_denial_can_stand_where_any_rule_that_comes_first_enforces(told, stands):
    subject = Entity(type="user", id="alice", properties={"team": "hr"})
    assert can_stand(Enforcement.model_validate(told), STAGE, subject) is stands


def test_a_required_log_without_room_denies_under_monitor_too(play, tmp_path):
    told = DecisionLogSettings.model_validate({"to": tmp_path / "log", "required": True, "queue": 1})
    log = DecisionLog(told)
    assert log.reserve()
    pep, engine, _ = make(permit(), enforcement=MONITOR, record=log)
    gate = pep.stream(question())
    assert gate.mode == "window"
    with pytest.raises(PolicyDenied, match="log_unavailable"):
        play(gate, [delta("a")], finish=False)
    assert engine.asked == []
    log.release()
    log.close()


def test_an_outage_that_opens_still_binds_to_what_the_other_engines_said(play):
    both = All(
        (
            EngineNode(FailingEngine("timeout", remote=True)),
            EngineNode(StaticEngine(permit(obligation("redact", types=["hash"])))),
        )
    )
    pep, _, records = make(both, found=detectors(), failure={"open_on": {"post_completion": ["timeout"]}})
    steps = play(pep.stream(question()), [delta(PROSE * 3), delta("# " + PROSE * 3)])
    assert "#" not in joined(steps)
    assert all(one.failed_open for one in records)


@pytest.mark.parametrize(
    "engine", [FailingEngine("timeout", remote=True), FailingEngine(error=ValueError("raw"))]
)
def test_an_engine_without_an_answer_denies(play, engine):
    pep, _, records = make(engine)
    with pytest.raises(PolicyDenied, match="failure"):
        play(pep.stream(question()), [delta("a")])
    assert len(records) == 1


def test_a_detector_that_breaks_denies(play):
    def broken(text):
        raise ValueError(text)

    pep, _, records = make(permit(), found=detectors(broken))
    with pytest.raises(PolicyDenied, match=r"failure\.engine_error"):
        play(pep.stream(question()), [delta("secret " * 20)], finish=False)
    assert len(records) == 1
    assert "secret" not in repr(records)


def test_a_detector_that_breaks_now_and_then_denies_as_well(play):
    calls = []

    def flaky(text):
        calls.append(text)
        if len(calls) == 1:
            raise ValueError
        return find_marks(text)

    pep, _, _ = make(permit(), found=detectors(flaky))
    with pytest.raises(PolicyDenied, match="obligation_failed"):
        play(pep.stream(question()), [delta("secret " * 20)], finish=False)


def test_a_detector_that_finds_more_than_its_bound_is_caught_when_a_finding_grows_into_what_has_left(play):
    def grows(text):
        end = text.find("!")
        return [Span("hash", max(0, end - 60), end + 1)] if end >= 0 else find_marks(text)

    pep, _, records = make(permit(obligation("redact", types=["hash"])), found=detectors(grows))
    with pytest.raises(PolicyDenied, match="obligation_failed"):
        play(pep.stream(question()), [delta(char) for char in PROSE * 4 + "!" + PROSE * 4], finish=False)
    assert records[-1].request.context["partial"]


def test_a_finding_that_redaction_makes_is_caught_across_the_seam(play):
    def find(text):
        seam = text.find("so [R")
        made = [Span("hash", seam, seam + 3)] if seam >= 0 else []
        return [*find_marks(text), *made]

    answers = iter([permit(obligation("redact", types=["hash"]))])
    pep, _, records = make(lambda _: next(answers, permit()), found=detectors(find))
    gate = pep.stream(question())
    with pytest.raises(PolicyDenied, match="obligation_failed"):
        play(
            gate, [delta("# " + PROSE * 4), delta("so # "), delta(PROSE * 4), delta(PROSE * 4)], finish=False
        )
    assert len(records) == 2


def test_a_detector_without_a_bound_makes_a_window_hold(play):
    for found in (detectors(longest=None), Detectors({STAGE: frozenset({"hash"})}, {STAGE: (find_marks,)})):
        pep, _, _ = make(permit(), found=found)
        gate = pep.stream(question())
        assert gate.mode == "hold"
        assert play(gate, [delta("a" * 500)]) == [{}, {(0,): "a" * 500}]


def test_settings_give_each_stage_the_bound_of_its_detectors():
    names = {
        "post_completion": ["us_ssn", "email"],
        "tool_result": ["us_ssn", "private_key"],
        "pre_prompt": [],
    }
    told = Settings.model_validate({"detectors": names})
    loaded = EnforcementPoint(StaticEngine(permit()), told, record=print)._concluder.detectors
    assert loaded.max_span(Stage.POST_COMPLETION) == 640
    assert loaded.max_span(Stage.TOOL_RESULT) is None
    assert loaded.max_span(Stage.PRE_PROMPT) == loaded.max_span(Stage.TOOL_CALL) == 0


def test_the_results_of_tools_stream_as_well(play):
    pep, engine, _ = make(permit())
    steps = play(pep.stream(question(stage=Stage.TOOL_RESULT)), [delta("a"), delta("b")])
    assert joined(steps) == "ab"
    assert engine.asked[0]["context"]["result"]["text"] == "a"


def test_a_gate_that_is_used_wrongly_says_so():
    pep, _, _ = make(permit())
    with pytest.raises(ValueError, match="no stage of a stream"):
        pep.stream(question(stage=Stage.PRE_PROMPT))
    with pytest.raises(ValueError, match="feed them"):
        pep.stream(question(segments=(delta("a"),)))
    gate = pep.stream(question())
    with pytest.raises(TypeError, match="`bytes`"):
        gate.feed(delta(b"a"))
    gate.feed(delta("a"))
    gate.end((0,))
    gate.end((7,))
    with pytest.raises(ValueError, match="was ended"):
        gate.feed(delta("b"))
    with pytest.raises(ValueError, match="twice"):
        gate.finish(segments=(delta("b"),))
    gate.finish()
    for call in (lambda: gate.feed(delta("b")), gate.finish, lambda: gate.end((0,))):
        with pytest.raises(RuntimeError, match="finished"):
            call()


def test_a_gate_can_be_closed_again_and_again_and_keeps_nothing():
    pep, _, records = make(permit(), mode="hold")
    gate = pep.stream(question())
    gate.feed(delta("secret"))
    gate.close()
    gate.close()
    assert records == []
    with pytest.raises(RuntimeError, match="closed"):
        gate.feed(delta("b"))
    assert "secret" not in repr(gate)


class WaitingEngine:
    """A remote engine that answers when it is told to."""

    name, remote, stages, revision = "waiting", True, frozenset(Stage), None

    def __init__(self):
        self.answered = asyncio.Event()
        self.asked = asyncio.Event()

    async def aevaluate(self, request):
        self.asked.set()
        await self.answered.wait()
        return permit()

    def evaluate(self, request):
        raise NotImplementedError


def test_a_cancellation_passes_and_loses_nothing_of_the_text():
    async def main():
        engine = WaitingEngine()
        pep, _, records = make(engine)
        gate = pep.stream(question())
        task = asyncio.create_task(gate.afeed(delta("a")))
        await engine.asked.wait()
        with pytest.raises(RuntimeError, match="another call"):
            await gate.afeed(delta("b"))
        with pytest.raises(RuntimeError, match="another call"):
            await gate.afinish()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert records == []
        engine.answered.set()
        assert await gate.afeed(delta("b")) == {(0,): "ab"}
        assert await gate.afinish() == {}
        assert [one.request.context["partial"] for one in records] == [True, False]

    asyncio.run(main())


def test_the_record_tells_what_was_asked_when_and_how_much_had_left(play, tmp_path):
    path = tmp_path / "log.jsonl"
    log = DecisionLog(DecisionLogSettings.model_validate({"to": path}))
    pep, _, _ = make(permit(), record=log)
    play(pep.stream(question()), [delta("secret"), delta("words")], context={"finish_reason": "stop"})
    log.close()
    lines = path.read_text().splitlines()
    assert '"partial":true' in lines[0]
    assert '"released":0' in lines[0]
    assert '"partial":false' in lines[1]
    assert '"released":11' in lines[1]
    assert '"finish_reason":"stop"' in lines[1]
    assert "secret" not in path.read_text()
