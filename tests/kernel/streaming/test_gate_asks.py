"""The gate of a stream, in both drivers: when it asks, what leaves, and what a denial leaves behind."""

import pytest
from gated import PROSE, asked, delta, detectors, joined, make, question

from checkrein.decision_log import DecisionLog, DecisionLogSettings
from checkrein.errors import PolicyDenied
from checkrein.testing import deny, obligation, permit
from checkrein.vocabulary import Origin, Segment, Stage


class HostDenied(PolicyDenied):
    """A host's own."""


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


def test_the_results_of_tools_stream_as_well(play):
    pep, engine, _ = make(permit())
    steps = play(pep.stream(question(stage=Stage.TOOL_RESULT)), [delta("a"), delta("b")])
    assert joined(steps) == "ab"
    assert engine.asked[0]["context"]["result"]["text"] == "a"


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
