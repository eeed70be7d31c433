"""The gate of a stream: what an ask obliges to, before and after something has left."""

import pytest
from gated import PROSE, asked, delta, detectors, joined, make, question

from checkrein.combining import All, EngineNode
from checkrein.errors import PolicyDenied
from checkrein.testing import FailingEngine, StaticEngine, deny, obligation, permit
from checkrein.vocabulary import Origin, Segment


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
