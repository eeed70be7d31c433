"""Every way of calling a guarded model, with every way of being denied or redacted, counted at both ends."""

import pytest

from checkrein.testing import FailingEngine, StaticEngine, deny, not_applicable, obligation, permit
from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyDenied, guard

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


def failing_at(stage, failing):
    return StaticEngine({one: failing._answer if one is stage else permit() for one in Stage})


DENIALS = {
    "deny": lambda stage: StaticEngine(dict.fromkeys(Stage, permit()) | {stage: deny("no")}),
    "not applicable": lambda stage: StaticEngine(dict.fromkeys(Stage, permit()) | {stage: not_applicable()}),
    "failure": lambda stage: failing_at(stage, FailingEngine("engine_error")),
    "timeout": lambda stage: failing_at(stage, FailingEngine("timeout")),
    "bug": lambda stage: failing_at(stage, FailingEngine(error=ZeroDivisionError("oops"))),
    "nonsense": lambda stage: failing_at(stage, FailingEngine(answer={"allow": True})),
    "unknown obligation": lambda stage: StaticEngine(
        dict.fromkeys(Stage, permit()) | {stage: permit(obligation("sing", song="la"))}
    ),
}


@pytest.mark.parametrize("denial", DENIALS)
def test_a_denied_call_sends_nothing_and_gives_nothing_out(lab, way, stage, denial):
    lab.upstream.reply = f"the answer is {lab.secret}"
    point = lab.govern(engine=DENIALS[denial](stage))
    prompt = "hello" if stage is Stage.POST_COMPLETION else lab.secret

    done = lab.call(way, lambda model: guard(model, point.pep), prompt)

    assert isinstance(done.error, PolicyDenied)
    assert done.error.decision is point.records[-1]
    assert lab.raw(done.error, repr(done.error), *map(repr, done.got)) == 0
    lab.upstream.wait()
    assert len(lab.upstream.requests) == (stage is Stage.POST_COMPLETION)
    asked = lab.stages[: lab.stages.index(stage) + 1]
    assert [one.request.stage for one in point.records] == list(asked)
    assert [one.permitted for one in point.records] == [True] * (len(asked) - 1) + [False]
    assert len({one.call_id for one in point.records}) == 1
    assert lab.raw(*done.seen) == 0
    assert "the answer" not in "".join([*map(repr, done.got), *done.seen])
    if stage is not Stage.POST_COMPLETION:
        assert done.events == []


def test_a_redacted_prompt_is_redacted_everywhere_below_the_caller(lab, way):
    point = lab.govern({Stage.PRE_PROMPT: permit(obligation("redact", types=["secret"]))})

    done = lab.call(way, lambda model: guard(model, point.pep), f"my key is {lab.secret}, keep it")

    assert done.error is None
    assert lab.raw(lab.upstream.texts) == 0
    assert "my key is [REDACTED:secret], keep it" in lab.upstream.texts
    assert lab.raw(*done.seen) == 0
    assert "my key is [REDACTED:secret], keep it" in "".join(done.seen)
    assert [one.request.stage for one in point.records] == list(lab.stages)


def test_a_redacted_answer_is_redacted_for_callers_callbacks_events_and_traces(lab, way):
    lab.upstream.reply = f"the key is {lab.secret}, keep it"
    point = lab.govern({Stage.POST_COMPLETION: permit(obligation("redact", types=["secret"]))})

    done = lab.call(way, lambda model: guard(model, point.pep))

    assert done.error is None
    assert lab.raw(*map(repr, done.got), *done.seen) == 0
    assert "the key is [REDACTED:secret], keep it" in done.text
    assert "the key is [REDACTED:secret], keep it" in "".join(done.seen)
    assert [one.request.stage for one in point.records] == list(lab.stages)
    assert all(one.permitted for one in point.records)


def test_a_routed_call_reaches_the_other_model(lab, way):
    def answer(question):
        small = question.document["resource"]["id"] == "gpt-4o-mini"
        return permit() if small else permit(obligation("route", model="gpt-4o-mini"))

    point = lab.govern({Stage.MODEL_SELECTION: answer})

    done = lab.call(way, lambda model: guard(model, point.pep))

    assert done.error is None
    assert [request.body["model"] for request in lab.upstream.requests] == ["gpt-4o-mini"]
    asked = [(one.request.stage, one.request.resource.id) for one in point.records]
    assert asked == [
        (Stage.MODEL_SELECTION, "gpt-4o"),
        (Stage.MODEL_SELECTION, "gpt-4o-mini"),
        (Stage.PRE_PROMPT, "gpt-4o-mini"),
        (Stage.POST_COMPLETION, "gpt-4o-mini"),
    ]


def test_monitoring_changes_and_blocks_nothing(lab, way, stage):
    lab.upstream.reply = "plain"
    point = lab.govern({stage: deny("no")}, enforcement={"default": "monitor"})

    done = lab.call(way, lambda model: guard(model, point.pep), "as it is")

    assert done.error is None
    assert "as it is" in lab.upstream.texts
    assert "plain" in done.text
    assert [one.permitted for one in point.records] == [one is not stage for one in lab.stages]
