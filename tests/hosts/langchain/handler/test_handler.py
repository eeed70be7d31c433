"""The callback handler: blocks before anything is sent, judges answers, denies what only `guard` can do."""

import pytest
from langchain_core.callbacks import BaseCallbackHandler

from checkrein.errors import SettingsError
from checkrein.testing import FailingEngine, StaticEngine, deny, obligation, permit
from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyCallbackHandler, PolicyDenied, guard
from checkrein_langchain.handler import stream_detection

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")

BEFORE = (Stage.MODEL_SELECTION, Stage.PRE_PROMPT)
GUARD_NEEDED = {
    "redact": obligation("redact", types=["secret"]),
    "route": obligation("route", model="gpt-4o-mini"),
    "limit": obligation("limit_tokens", max_tokens=5),
    "no store": obligation("no_store"),
    "unknown": obligation("sing"),
}


def bare(model):
    return model


def handled(lab, way, point, text="hello", **options):
    return lab.call(way, bare, text, callbacks=[PolicyCallbackHandler(point.pep, **options)])


@pytest.mark.parametrize("asked_at", BEFORE)
def test_a_denied_prompt_is_never_sent(lab, way, asked_at):
    point = lab.govern({asked_at: deny("no")})

    done = handled(lab, way, point)

    assert isinstance(done.error, PolicyDenied)
    assert done.error.code == "no"
    assert lab.upstream.requests == []
    assert done.text == ""
    assert [one.request.stage for one in point.records] == list(BEFORE[: BEFORE.index(asked_at) + 1])


@pytest.mark.parametrize("asked_at", BEFORE)
@pytest.mark.parametrize(
    "failing",
    [FailingEngine("timeout"), FailingEngine(error=ZeroDivisionError("oops")), FailingEngine(answer=True)],
    ids=["timeout", "bug", "nonsense"],
)
def test_an_engine_without_an_answer_denies(lab, way, asked_at, failing):
    answers = {one: failing._answer if one is asked_at else permit() for one in Stage}
    point = lab.govern(engine=StaticEngine(answers))

    done = handled(lab, way, point)

    assert isinstance(done.error, PolicyDenied)
    assert lab.upstream.requests == []


@pytest.mark.parametrize("asked_at", BEFORE)
@pytest.mark.parametrize("needed", GUARD_NEEDED)
def test_what_a_callback_cannot_do_is_denied_with_a_pointer_to_guard(lab, way, asked_at, needed):
    point = lab.govern({asked_at: permit(GUARD_NEEDED[needed])})

    done = handled(lab, way, point, lab.secret)

    assert isinstance(done.error, PolicyDenied)
    assert "guard(model, pep)" in str(done.error)
    assert lab.upstream.requests == []
    assert not point.records[-1].permitted


@pytest.mark.parametrize("verdict", ["deny", "redact", "no store"])
def test_a_denied_answer_does_not_reach_the_caller_and_a_stream_of_it_is_not_even_asked_for(
    lab, way, verdict
):
    answer = deny("no") if verdict == "deny" else permit(GUARD_NEEDED[verdict])
    lab.upstream.reply = f"the key is {lab.secret}"
    point = lab.govern({Stage.POST_COMPLETION: answer})

    done = handled(lab, way, point)

    assert isinstance(done.error, PolicyDenied)
    assert lab.raw(*map(repr, done.got), done.error) == 0
    assert done.text == ""
    if "stream" in way or "events" in way or way == "transform":
        assert lab.upstream.requests == []
        assert lab.raw(*done.seen) == 0
        assert done.error.code == "stream_not_held"
        assert "guard(model, pep)" in str(done.error)
    else:
        assert len(lab.upstream.requests) == 1
    assert [one.request.stage for one in point.records][:3] == list(lab.stages)


def test_a_stream_that_policy_would_permit_is_denied_too_because_nobody_knows_before(lab, streaming_way):
    point = lab.govern()

    done = handled(lab, streaming_way, point)

    assert done.error.code == "stream_not_held"
    assert lab.upstream.requests == []


def test_streams_pass_where_no_policy_judges_answers(lab, streaming_way):
    engine = StaticEngine({Stage.MODEL_SELECTION: permit(), Stage.PRE_PROMPT: permit()})
    point = lab.govern(engine=engine, unchecked=["post_completion"])

    done = handled(lab, streaming_way, point)

    assert done.error is None
    assert "hello there" in done.text
    assert [one.request.stage for one in point.records] == list(lab.stages)


def test_streams_pass_under_monitor_and_are_judged_for_the_record(lab, way):
    point = lab.govern({Stage.POST_COMPLETION: deny("no")}, enforcement={"default": "monitor"})

    done = handled(lab, way, point)

    assert done.error is None
    assert "hello there" in done.text
    assert [one.request.stage for one in point.records] == list(lab.stages)
    assert [one.permitted for one in point.records] == [True, True, False]


def test_a_stream_is_denied_if_some_reason_could_still_be_enforced(lab):
    rules = [{"reasons": ["pii.*"], "mode": "enforce"}]
    point = lab.govern(enforcement={"default": "monitor", "rules": rules})

    done = handled(lab, "astream", point)

    assert isinstance(done.error, PolicyDenied)
    assert lab.upstream.requests == []
    assert point.records[-1].enforced


@pytest.mark.parametrize("pieces", [1, 1000])
def test_a_stream_that_nothing_announces_is_stopped_at_its_first_token(
    lab, streaming_way, pieces, monkeypatch
):
    monkeypatch.setattr(stream_detection, "_look", lambda frame: None)
    lab.upstream.reply = f"{lab.secret} " * pieces
    lab.upstream.pause_after(3)
    point = lab.govern()

    done = handled(lab, streaming_way, point)
    lab.upstream.wait()

    assert done.error.code == "stream_not_held"
    assert lab.raw(*map(repr, done.got)) == 0
    assert lab.upstream.aborted == 1
    assert lab.upstream.chunks <= 3


def test_a_model_that_streams_by_itself_is_denied(lab):
    point = lab.govern()

    with pytest.raises(PolicyDenied) as denied:
        lab.chat(streaming=True).invoke("hi", {"callbacks": [PolicyCallbackHandler(point.pep)]})

    assert denied.value.code == "stream_not_held"
    assert lab.upstream.requests == []


def test_other_handlers_hear_what_they_heard_before(lab, way):
    plain = lab.call(way, bare)
    engine = StaticEngine({Stage.MODEL_SELECTION: permit(), Stage.PRE_PROMPT: permit()})
    point = lab.govern(engine=engine, unchecked=["post_completion"])

    done = handled(lab, way, point)

    assert sorted(done.events) == sorted(plain.events)


def test_a_guarded_call_is_not_judged_twice(lab, way):
    point = lab.govern()
    handler = PolicyCallbackHandler(point.pep)

    done = lab.call(way, lambda model: guard(model, point.pep), callbacks=[handler])

    assert done.error is None
    assert "hello there" in done.text
    assert [one.request.stage for one in point.records] == list(lab.stages)
    assert not handler._runs


def test_a_call_that_another_policy_guards_is_judged_by_this_one_too(lab):
    theirs, ours = lab.govern(), lab.govern({Stage.PRE_PROMPT: deny("ours")})

    done = lab.call(
        "invoke", lambda model: guard(model, theirs.pep), callbacks=[PolicyCallbackHandler(ours.pep)]
    )

    assert done.error.code == "ours"
    assert lab.upstream.requests == []


def test_no_metadata_makes_a_call_look_guarded(lab):
    point = lab.govern({Stage.PRE_PROMPT: deny("no")})
    config = {
        "callbacks": [PolicyCallbackHandler(point.pep)],
        "metadata": {"guarded": True, "name": "GuardedChatModel", "ls_model_name": "harmless"},
        "tags": ["guarded"],
        "run_name": "GuardedChatModel",
    }

    with pytest.raises(PolicyDenied):
        lab.chat().invoke("hi", config)

    assert point.records[0].request.resource.id == "gpt-4o"
    assert lab.upstream.requests == []


def test_the_model_asked_for_by_the_call_is_the_one_that_is_judged(lab):
    point = lab.govern()
    config = {"callbacks": [PolicyCallbackHandler(point.pep)]}

    lab.chat().bind(model="gpt-4o-mini", max_tokens=7).invoke("hi", config)

    first = point.records[0]
    assert first.request.resource.id == "gpt-4o-mini"
    assert first.request.resource.properties == {"provider": "openai"}
    assert first.document["context"]["estimated"]["max_tokens"] == 7
    tokens = point.records[-1].document["context"]["tokens"]
    assert tokens == {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4}


def test_the_subject_can_be_bound_to_the_handler(lab):
    point = lab.govern()

    handled(lab, "ainvoke", point, subject="alice")

    assert {one.request.subject.id for one in point.records} == {"alice"}
    assert {one.request.identity["source"] for one in point.records} == {"bound"}


def test_ends_of_runs_are_forgotten(lab, way):
    engine = StaticEngine({Stage.MODEL_SELECTION: permit(), Stage.PRE_PROMPT: permit()})
    point = lab.govern(engine=engine, unchecked=["post_completion"])
    handler = PolicyCallbackHandler(point.pep)

    lab.call(way, bare, callbacks=[handler])
    lab.upstream.fail()
    failed = lab.call(way, bare, callbacks=[handler])

    assert failed.error is not None
    assert not handler._runs


def test_an_answer_whose_start_was_forgotten_is_judged_all_the_same(lab):
    point = lab.govern({Stage.POST_COMPLETION: deny("no")})
    handler = PolicyCallbackHandler(point.pep)

    class Forgetful(BaseCallbackHandler):
        def on_chat_model_start(self, *args, **kwargs):
            handler._runs.clear()

    with pytest.raises(PolicyDenied):
        lab.chat().invoke("hi", {"callbacks": [handler, Forgetful()]})

    assert point.records[-1].request.resource.id == "gpt-4o"


def test_a_handler_needs_every_stage_covered_or_listed(lab):
    point = lab.govern(engine=StaticEngine({Stage.PRE_PROMPT: permit()}))

    with pytest.raises(SettingsError, match="model_selection"):
        PolicyCallbackHandler(point.pep)
