"""The functions that applications import instead of LiteLLM's, and every kind of call that they make."""

from __future__ import annotations

import inspect
import threading
from typing import Any

import litellm
import pytest
import yaml
from governed_calls import CALLING, REDACT, REDACTED, SSN, point, said

import checkrein_litellm
from checkrein import EnforcementPoint, PolicyDenied, SettingsError, Stage
from checkrein.testing import Upstream, capture_decisions, deny, obligation, permit
from checkrein_litellm import CallDenied, PolicyClient
from checkrein_litellm.sdk import functions as sdk

pytestmark = [*CALLING, pytest.mark.usefixtures("swept")]

FUNCTIONS = sorted(name for name in sdk.__all__ if name != "install")
SAID = said(f"it is {SSN}")
# What each takes, by the part of its name that its two forms share.
GIVEN: dict[str, dict[str, Any]] = {
    "completion": {"model": "openai/m", "messages": SAID},
    "text_completion": {"model": "text-completion-openai/m", "prompt": f"it is {SSN}"},
    "embedding": {"model": "openai/m", "input": [f"it is {SSN}"]},
    "responses": {"model": "openai/m", "input": f"it is {SSN}"},
    "anthropic_messages": {"model": "anthropic/m", "messages": SAID, "max_tokens": 9},
    "generate_content": {
        "model": "gemini/m",
        "contents": [{"role": "user", "parts": [{"text": f"it is {SSN}"}]}],
    },
    "image_generation": {"model": "openai/m", "prompt": f"it is {SSN}"},
    "image_edit": {"model": "openai/gpt-image-1", "prompt": f"it is {SSN}", "image": b"\x89PNG\r\n\x1a\n"},
    "moderation": {"model": "openai/m", "input": f"it is {SSN}"},
    "rerank": {"model": "hosted_vllm/m", "query": f"it is {SSN}", "documents": ["a b", "c d"]},
    "speech": {"model": "openai/m", "input": f"it is {SSN}", "voice": "alloy"},
    "transcription": {"model": "openai/whisper-1", "prompt": f"it is {SSN}", "file": ("a.wav", b"RIFF")},
}
ANSWERED = {
    "completion",
    "text_completion",
    "responses",
    "anthropic_messages",
    "image_generation",
    "image_edit",
    "transcription",
}


def kind(name: str) -> str:
    return name if name in GIVEN else name[1:]


@pytest.fixture
def upstream():
    with Upstream(f"it was {SSN}") as server:
        yield server


@pytest.fixture(autouse=True)
def _installed_by_nobody():
    sdk.install(None)
    yield
    sdk.install(None)


async def called(name: str, upstream: Upstream, **more: Any) -> Any:
    given = {**GIVEN[kind(name)], "api_base": upstream.url, "api_key": "k", **more}
    if kind(name) == "anthropic_messages":
        given["api_base"] = upstream.url.removesuffix("/v1")
    answer = getattr(checkrein_litellm, name)(**given)
    return await answer if inspect.isawaitable(answer) else answer


@pytest.mark.parametrize("name", FUNCTIONS)
async def test_every_function_sends_what_policy_lets_be_sent(name, upstream):
    sdk.install(point(lambda request: REDACT if request.stage is Stage.PRE_PROMPT else permit()))
    with capture_decisions(sdk._client().pep) as decisions:
        await called(name, upstream)
    assert len(upstream.requests) == 1
    raw = upstream.requests[0].raw.decode(errors="replace")
    assert SSN not in raw
    assert REDACTED in raw
    stages = [one.request.stage.value for one in decisions]
    assert stages[:2] == ["model_selection", "pre_prompt"]
    assert ("post_completion" in stages) == (kind(name) in ANSWERED or kind(name) == "generate_content")


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("stage", ["model_selection", "pre_prompt"])
async def test_every_function_raises_the_same_denial_and_sends_nothing(name, stage, upstream):
    sdk.install(point(lambda request: deny("no") if request.stage == stage else permit()))
    with pytest.raises(CallDenied) as denied:
        await called(name, upstream)
    assert isinstance(denied.value, PolicyDenied)
    assert denied.value.code == "no"
    assert upstream.requests == []


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if kind(name) in ANSWERED])
async def test_every_function_gives_out_what_policy_lets_be_given_out(name, upstream):
    sdk.install(point(lambda request: REDACT if request.stage is Stage.POST_COMPLETION else permit()))
    answer = await called(name, upstream)
    told = answer.model_dump_json() if hasattr(answer, "model_dump_json") else str(answer)
    assert SSN not in told
    assert REDACTED in told


@pytest.mark.parametrize("name", ["agenerate_content", "aembedding", "speech"])
async def test_a_stream_that_cannot_be_held_is_denied(name, upstream):
    sdk.install(point(permit()))
    with pytest.raises(CallDenied) as denied:
        await called(name, upstream, stream=True)
    assert denied.value.code == "unsupported_request.stream"
    assert upstream.requests == []


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_is_litellms_by_name_and_by_kind(name):
    ways = getattr(litellm, name), getattr(PolicyClient(point(permit())), name)
    assert len({inspect.iscoroutinefunction(one) for one in ways}) == 1
    assert getattr(checkrein_litellm, name).__doc__


def test_the_names_of_the_package_are_sorted_and_there():
    names = checkrein_litellm.__all__
    assert names == sorted(names)
    for name in names:
        assert getattr(checkrein_litellm, name) is not None
    with pytest.raises(AttributeError, match="no attribute"):
        _ = checkrein_litellm.batch_completion


def test_the_settings_are_those_that_the_environment_names(upstream, tmp_path, monkeypatch):
    policy = tmp_path / "policy.rego"
    policy.write_text(
        "package checkrein.model_selection\n"
        'decision := {"allow": false, "reasons": [{"code": "from.file", "message": ""}]}\n'
    )
    unchecked = ["pre_prompt", "post_completion"]
    written = {
        "version": 1,
        "engine": {"rego": {"bundle": str(tmp_path), "stages": ["model_selection"]}},
        "unchecked": unchecked,
        "decision_log": {"to": "decisions.jsonl"},
    }
    settings = tmp_path / "checkrein.yaml"
    settings.write_text(yaml.safe_dump(written))
    monkeypatch.setenv("CHECKREIN_CONFIG", str(settings))
    with pytest.raises(CallDenied) as denied:
        checkrein_litellm.completion(model="openai/m", messages=SAID, api_base=upstream.url, api_key="k")
    assert denied.value.code == "from.file"
    assert upstream.requests == []
    sdk._client().pep.close()


def test_without_settings_nothing_is_called(upstream, monkeypatch):
    monkeypatch.delenv("CHECKREIN_CONFIG", raising=False)
    for _ in range(2):
        with pytest.raises(SettingsError, match="CHECKREIN_CONFIG"):
            checkrein_litellm.completion(model="openai/m", messages=SAID, api_base=upstream.url, api_key="k")
    assert upstream.requests == []


def test_what_governs_can_be_a_client_or_what_decides():
    client = PolicyClient(point(permit()))
    sdk.install(client)
    assert sdk._client() is client
    with pytest.raises(TypeError, match="governs nothing"):
        sdk.install("checkrein.yaml")
    assert sdk._client() is client


def test_the_settings_are_read_once_by_however_many_threads(monkeypatch):
    built = []

    def from_settings() -> EnforcementPoint:
        built.append(1)
        return point(permit())

    monkeypatch.setattr(EnforcementPoint, "from_settings", from_settings)
    threads = [threading.Thread(target=sdk._client) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(built) == 1


async def test_an_answer_that_is_to_be_kept_nowhere_is_denied_where_a_cache_has_it(upstream, monkeypatch):
    monkeypatch.setattr(litellm, "cache", litellm.Cache(type="local"))
    keep = permit(obligation("no_store"))
    sdk.install(point(lambda request: keep if request.stage is Stage.POST_COMPLETION else permit()))
    for stream in (False, True):
        with pytest.raises(CallDenied) as denied:
            list(await called("completion", upstream, stream=stream))
        assert denied.value.code == "obligation_failed"
    assert await called("completion", upstream, cache={"no-store": True})
    sdk.install(point(keep))
    assert await called("completion", upstream)


async def test_somebody_elses_guardrail_is_not_gone_around(upstream, monkeypatch):
    class Guardrail(litellm.integrations.custom_logger.CustomLogger):
        async def async_pre_call_deployment_hook(self, kwargs: Any, call_type: Any) -> Any:
            raise litellm.exceptions.GuardrailRaisedException("other", "no")

    monkeypatch.setattr(litellm, "callbacks", [Guardrail()])
    sdk.install(point(permit()))
    with pytest.raises(litellm.exceptions.GuardrailRaisedException):
        await called("acompletion", upstream, fallbacks=["openai/b"])
    assert upstream.requests == []


async def test_the_name_of_a_file_is_read_and_cannot_be_changed(upstream):
    named = (f"about {SSN}.wav", b"RIFF", "audio/wav")
    sdk.install(point(permit()))
    await called("atranscription", upstream, file=named)
    sdk.install(point(lambda request: REDACT if request.stage is Stage.PRE_PROMPT else permit()))
    with pytest.raises(CallDenied) as denied:
        await called("atranscription", upstream, file=named)
    assert denied.value.code == "obligation_failed"
    assert len(upstream.requests) == 1
