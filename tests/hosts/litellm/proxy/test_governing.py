"""The guard in this process, driven by LiteLLM's own dispatch: what a running proxy shows too seldom."""

from __future__ import annotations

import gc
import logging
from datetime import UTC, datetime

import litellm
import pytest
from litellm.litellm_core_utils.litellm_logging import Logging
from litellm.proxy._types import UserAPIKeyAuth
from litellm.types.utils import CallTypes, Delta, ModelResponse, ModelResponseStream, StreamingChoices

from checkrein import EnforcementPoint, Settings, Stage
from checkrein.testing import FailingEngine, StaticEngine, capture_decisions, deny, obligation, permit
from checkrein_litellm import AnswerWithheldError, CallDenied, PolicyGuard
from checkrein_litellm.proxy.identity import authenticated, identity_of

pytestmark = pytest.mark.filterwarnings("ignore:.*ReadOnly.*:UserWarning")

KEY = UserAPIKeyAuth(user_id="alice", metadata={"tier": "pro"}, request_route="/chat/completions")
MONITOR = Settings.model_validate({"enforcement": {"default": "monitor"}})


@pytest.fixture
def made(monkeypatch):
    def make(engine, settings=None):
        pep = EnforcementPoint(engine, settings, record=lambda _: None)
        monkeypatch.setattr("checkrein_litellm.proxy.guard.enforcement_point", lambda *_, **__: pep)
        return PolicyGuard(guardrail_name="checkrein"), pep

    return make


def request(text="hello", **more):
    messages = [{"role": "user", "content": text}]
    log = Logging(
        model="m",
        messages=messages,
        stream=False,
        call_type="acompletion",
        start_time=datetime.now(UTC),
        litellm_call_id="id",
        function_id="f",
    )
    return {"model": "m", "messages": messages, "metadata": {}, "litellm_logging_obj": log, **more}


def attempt_of(data, group="m", **more):
    metadata = {"user_api_key_auth": KEY, "deployment": "x/m", "deployment_model_name": group}
    return {**data, "model": "x/m", "metadata": metadata, **more}


async def admit(guard, data, call_type="acompletion"):
    return await guard.async_pre_call_hook(KEY, None, data, call_type)


async def collected(guard, data, chunks):
    async def stream():
        for one in chunks:
            yield one

    return [one async for one in guard.async_post_call_streaming_iterator_hook(KEY, stream(), data)]


def chunks_of(*pieces):
    return [
        ModelResponseStream(choices=[StreamingChoices(index=0, delta=Delta(content=piece))])
        for piece in pieces
    ]


def asked(engine):
    return [(one["stage"], one["resource"]["id"]) for one in engine.asked]


async def test_an_attempt_just_as_it_was_permitted_is_not_asked_again(made):
    engine = StaticEngine(permit())
    guard, _ = made(engine)
    data = await admit(guard, request())
    for _ in range(3):
        await guard.async_pre_call_deployment_hook(attempt_of(data), CallTypes.acompletion)
    assert asked(engine) == [("model_selection", "m"), ("pre_prompt", "m")]


async def test_a_call_type_may_be_litellms_own_enumeration(made):
    guard, _ = made(StaticEngine(permit()))
    assert await admit(guard, request(), CallTypes.acompletion)


async def test_an_attempt_with_other_messages_is_asked_about_its_prompt(made):
    engine = StaticEngine(permit())
    guard, _ = made(engine)
    data = await admit(guard, request())
    other = attempt_of(data, messages=[{"role": "user", "content": "else"}])
    await guard.async_pre_call_deployment_hook(other, CallTypes.acompletion)
    assert asked(engine)[2:] == [("pre_prompt", "m")]
    assert engine.asked[-1]["context"]["prompt"]["text"] == "else"


async def test_an_attempt_that_nobody_admitted_is_judged_from_its_authentication(made):
    engine = StaticEngine(permit())
    guard, _ = made(engine)
    await guard.async_pre_call_deployment_hook(attempt_of(request()), CallTypes.acompletion)
    assert asked(engine) == [("model_selection", "m"), ("pre_prompt", "m")]
    assert engine.asked[0]["subject"]["id"] == "alice"


async def test_a_model_that_was_swapped_after_routing_is_judged_by_its_own_name(made):
    engine = StaticEngine(permit())
    guard, _ = made(engine)
    data = await admit(guard, request())
    swapped = {**attempt_of(data), "model": "x/other"}
    await guard.async_pre_call_deployment_hook(swapped, CallTypes.acompletion)
    assert asked(engine)[2:] == [("model_selection", "x/other"), ("pre_prompt", "x/other")]


async def test_no_attempt_follows_a_denial(made):
    engine = StaticEngine({Stage.MODEL_SELECTION: permit(), Stage.PRE_PROMPT: deny("no")})
    guard, pep = made(engine)
    data = request()
    with capture_decisions(pep) as decisions:
        for _ in range(2):
            with pytest.raises(CallDenied) as denied:
                await admit(guard, data) if not decisions else await guard.async_pre_call_deployment_hook(
                    attempt_of(data), CallTypes.acompletion
                )
            assert denied.value.decision_id == decisions[-1].decision_id
    assert len(decisions) == 2


async def test_a_route_at_an_attempt_cannot_be_carried_out(made):
    engine = StaticEngine(lambda asked: permit(*([] if asked.request.resource.id == "m" else [ROUTE])))
    guard, _ = made(engine)
    data = await admit(guard, request())
    with pytest.raises(CallDenied) as denied:
        await guard.async_pre_call_deployment_hook(attempt_of(data, "other"), CallTypes.acompletion)
    assert denied.value.code == "unsupported_obligation"


ROUTE = obligation("route", model="m")


async def test_changes_for_a_fallback_are_written_into_the_attempt(made):
    limit = permit(obligation("limit_tokens", max_tokens=3))
    engine = StaticEngine(lambda asked: limit if asked.request.resource.id == "other" else permit())
    guard, _ = made(engine)
    data = await admit(guard, request())
    kwargs = await guard.async_pre_call_deployment_hook(attempt_of(data, "other"), CallTypes.acompletion)
    assert kwargs["max_tokens"] == 3


@pytest.mark.parametrize("call_type", [CallTypes.aocr, None])
async def test_an_attempt_that_nobody_governs_is_denied_unless_it_serves_a_judged_call(made, call_type):
    guard, _ = made(StaticEngine(permit()))
    with pytest.raises(CallDenied) as denied:
        await guard.async_pre_call_deployment_hook(attempt_of(request()), call_type)
    assert denied.value.code == "unsupported_endpoint"
    data = await admit(guard, request())
    assert await guard.async_pre_call_deployment_hook(attempt_of(data), call_type)


async def test_a_bridge_to_another_endpoint_is_asked_about_only_what_is_new(made):
    engine = StaticEngine(permit())
    guard, _ = made(engine)
    data = await admit(guard, request("hello"))
    bridged = attempt_of(data, model="m", input="hello")
    del bridged["messages"]
    await guard.async_pre_call_deployment_hook(bridged, CallTypes.aresponses)
    assert len(engine.asked) == 2
    bridged["input"] = [{"type": "function_call_output", "output": "found by LiteLLM itself"}]
    await guard.async_pre_call_deployment_hook(bridged, CallTypes.aresponses)
    assert asked(engine)[2:] == [("pre_prompt", "m")]
    assert engine.asked[-1]["context"]["prompt"]["segments"][0]["origin"] == "tool"


async def test_an_answer_that_nobody_asked_for_is_denied(made):
    guard, pep = made(StaticEngine(permit()))
    with capture_decisions(pep) as decisions, pytest.raises(CallDenied):
        await guard.async_post_call_success_hook({"model": "m"}, KEY, ModelResponse())
    assert [one.reasons[0].code for one in decisions] == ["unsupported_endpoint"]
    with pytest.raises(CallDenied):
        await collected(guard, {"model": "m"}, chunks_of("x"))


@pytest.mark.parametrize("answer", [[ModelResponse()], "text", None])
async def test_an_answer_of_another_shape_is_denied(made, answer):
    guard, _ = made(StaticEngine(permit()))
    data = await admit(guard, request())
    with pytest.raises(CallDenied) as denied:
        await guard.async_post_call_success_hook(data, KEY, answer)
    assert denied.value.code == "unsupported_answer"


@pytest.mark.parametrize("piece", [b"data: x", "data: x"])
async def test_a_stream_of_another_shape_is_denied(made, piece):
    guard, _ = made(StaticEngine(permit()))
    data = await admit(guard, request())
    with pytest.raises(CallDenied) as denied:
        await collected(guard, data, [*chunks_of("x"), piece])
    assert denied.value.code == "unsupported_answer"


async def test_under_monitor_a_stream_of_another_shape_passes_as_it_comes(made):
    guard, _ = made(StaticEngine(permit()), MONITOR)
    data = await admit(guard, request())
    pieces = [*chunks_of("x"), b"data: x", b"data: y"]
    assert await collected(guard, data, pieces) == pieces


async def test_a_failure_of_the_provider_in_a_stream_stays_one(made):
    guard, pep = made(StaticEngine(permit()))
    data = await admit(guard, request())

    async def stream():
        yield chunks_of("x")[0]
        raise litellm.InternalServerError("gone", "p", "m")

    with capture_decisions(pep) as decisions, pytest.raises(AnswerWithheldError, match="InternalServerError"):
        [one async for one in guard.async_post_call_streaming_iterator_hook(KEY, stream(), data)]
    assert decisions == []


async def test_an_endless_stream_of_nothing_ends(made, monkeypatch):
    monkeypatch.setattr("checkrein_litellm.streams.holder._MAX_EVENTS", 50)
    guard, _ = made(StaticEngine(permit()))
    data = await admit(guard, request())
    with pytest.raises(CallDenied) as denied:
        await collected(guard, data, chunks_of(*[""] * 60))
    assert denied.value.code == "limit.text"


async def test_an_engine_that_fails_denies(made):
    guard, _ = made(FailingEngine())
    with pytest.raises(CallDenied) as denied:
        await admit(guard, request())
    assert denied.value.code == "failure.engine_error"


async def test_what_breaks_in_the_guard_denies_without_a_word_of_the_prompt(made, monkeypatch, caplog):
    def broken(*_, **__):
        raise KeyError("a secret of the prompt")

    guard, pep = made(StaticEngine(permit()))
    monkeypatch.setattr("checkrein_litellm.proxy.requests.request_surfaces", broken)
    with (
        caplog.at_level(logging.DEBUG),
        capture_decisions(pep) as decisions,
        pytest.raises(CallDenied) as denied,
    ):
        await admit(guard, request())
    assert denied.value.code == "failure.host_error"
    assert denied.value.__context__ is None
    assert "secret" not in caplog.text + str(decisions) + str(denied.value)
    assert "KeyError" in caplog.text
    assert len(decisions) == 1


async def test_what_breaks_in_the_guard_lets_pass_under_monitor(made, monkeypatch):
    guard, _ = made(StaticEngine(permit()), MONITOR)
    monkeypatch.setattr("checkrein_litellm.proxy.governor.problem_of", lambda *_: 1 / 0)
    assert await admit(guard, request())


async def test_monitoring_writes_nothing(made):
    verdict = permit(obligation("limit_tokens", max_tokens=3), obligation("no_store"))
    guard, _ = made(StaticEngine(verdict), MONITOR)
    data = await admit(guard, request())
    assert "max_tokens" not in data
    assert "cache" not in data


async def test_a_call_is_forgotten_with_litellms_own_object(made):
    guard, _ = made(StaticEngine(permit()))
    data = await admit(guard, request())
    assert len(guard.governor.asker.calls) == 1
    del data
    gc.collect()
    assert len(guard.governor.asker.calls) == 0


async def test_the_id_of_somebody_elses_call_tells_nothing(made):
    guard, _ = made(StaticEngine(deny("no")))
    data = request()
    with pytest.raises(CallDenied):
        await admit(guard, data)
    metadata = dict(data["metadata"])
    error = RuntimeError("of the provider")
    told = await guard.async_post_call_failure_hook({"metadata": metadata}, error, KEY)
    assert told.status_code == 403
    stranger = UserAPIKeyAuth(user_id="mallory")
    assert await guard.async_post_call_failure_hook({"metadata": metadata}, error, stranger) is None
    assert await guard.async_post_call_failure_hook({}, error, KEY) is None


async def test_a_large_prompt_is_not_counted_on_the_event_loop_and_a_huge_one_not_at_all(made):
    settings = Settings.model_validate({"limits": {"text": 10_000_000}})
    engine = StaticEngine(permit())
    guard, _ = made(engine, settings)
    await admit(guard, request("word " * 20_000))
    await admit(guard, request("word " * 300_000))
    large, huge = engine.asked[0], engine.asked[2]
    assert large["context"]["estimated"]["prompt_tokens"] > 19_000
    assert "prompt_tokens" not in huge["context"]["estimated"]


async def test_text_that_is_no_strict_utf_8_is_over_a_limit(made):
    guard, _ = made(StaticEngine(permit()))
    with pytest.raises(CallDenied) as denied:
        await admit(guard, request("lone \ud800 surrogate"))
    assert denied.value.code == "limit.encoding"


def identity(key, data=None, mapping=None):
    parsed = mapping and Settings.model_validate({"identity": {"litellm": mapping}}).identity["litellm"]
    return identity_of(key, data or {}, parsed)


def test_a_team_outranks_a_key_and_a_mapping_outranks_both():
    key = UserAPIKeyAuth(
        user_id="alice",
        key_alias="alias",
        team_id="t",
        metadata={"tier": "enterprise", "groups": ["x"]},
        team_metadata={"tier": "free", "plan": {"name": "gold"}},
        jwt_claims={"sub": "a1", "https://x.y/role": "admin"},
    )
    found = identity(key)
    assert (found.subject.type, found.subject.id) == ("user", "alice")
    assert found.subject.properties == {"tier": "free", "groups": ["x"], "team": "t"}
    assert found.facts == {"source": "key", "asserted": False}
    mapping = {
        "id": ["jwt_claims.sub", "user_id"],
        "type": "person",
        "properties": {"plan": "team_metadata.plan.name", "role": "jwt_claims.https://x.y/role"},
    }
    mapped = identity(key, None, mapping)
    assert (mapped.subject.type, mapped.subject.id) == ("person", "a1")
    assert mapped.subject.properties == {"plan": "gold", "role": "admin"}


def test_a_role_is_its_plain_name():
    key = UserAPIKeyAuth(user_id="a", user_role="proxy_admin")
    found = identity(key, None, {"properties": {"role": "user_role"}})
    assert found.subject.properties == {"role": "proxy_admin"}


@pytest.mark.parametrize("path", ["end_user_id", "api_key", "model_fields", "__class__", "agent_caller"])
def test_no_mapping_reaches_what_a_caller_says_or_a_secret(path):
    key = UserAPIKeyAuth(api_key="sk-secret-1234567890", end_user_id="bob")
    assert identity(key, None, {"id": path}).subject.type == "anonymous"


def test_a_callers_word_counts_only_when_trusted_and_only_without_a_key():
    said = {"metadata": {"requester_metadata": {"user_id": "bob"}, "user_id": "forged"}, "user": "carol"}
    mapping = {"metadata": {"id": ["user_id", "user"]}}
    nameless = UserAPIKeyAuth()
    assert identity(nameless, said, mapping).subject.type == "anonymous"
    trusted = identity(nameless, said, {**mapping, "trusted": True})
    assert (trusted.subject.id, trusted.source, trusted.asserted) == ("bob", "metadata", True)
    assert identity(UserAPIKeyAuth(user_id="alice"), said, {**mapping, "trusted": True}).subject.id == "alice"
    assert identity(None, said, {**mapping, "trusted": True}).subject.type == "anonymous"


def test_an_authentication_is_an_object_and_never_json():
    assert authenticated({"metadata": {"user_api_key_auth": KEY}}) is KEY
    assert authenticated({"litellm_metadata": {"user_api_key_auth": KEY}}) is KEY
    assert authenticated({"metadata": {"user_api_key_auth": {"user_id": "erin"}}}) is None
