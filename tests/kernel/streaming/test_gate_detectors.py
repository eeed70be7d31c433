"""The gate of a stream over engines that fail and detectors that break, find too much or have no bound."""

import pytest
from gated import PROSE, STAGE, delta, detectors, find_marks, make, question

from checkrein.detection import Detectors, Span
from checkrein.enforcement import EnforcementPoint
from checkrein.errors import PolicyDenied
from checkrein.settings import Settings
from checkrein.testing import FailingEngine, StaticEngine, obligation, permit
from checkrein.vocabulary import Stage


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
