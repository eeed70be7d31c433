"""The records of a batch file, each judged as LiteLLM reads it when it is uploaded."""

from __future__ import annotations

import io
import json
from importlib import import_module

import litellm
import pytest
from litellm.proxy._types import UserAPIKeyAuth

from checkrein import EnforcementPoint, Settings, Stage
from checkrein.testing import FailingEngine, StaticEngine, deny, obligation, permit
from checkrein_litellm import CallDenied, PolicyGuard

pytestmark = pytest.mark.filterwarnings("ignore:.*ReadOnly.*:UserWarning")

KEY = UserAPIKeyAuth(user_id="alice", request_route="/v1/files")
SSN = "536-90-4399"
SETTINGS = {"detectors": {"pre_prompt": ["us_ssn"]}}


def record(number, url, **body):
    return {"custom_id": f"r{number}", "method": "POST", "url": url, "body": {"model": "m", **body}}


RECORDS = [
    record(1, "/v1/chat/completions", messages=[{"role": "user", "content": "hello"}]),
    record(2, "/v1/chat/completions", messages=[{"role": "user", "content": f"I am {SSN}"}]),
    record(3, "/v1/chat/completions", messages=[{"role": "user", "content": "FORBIDDEN"}]),
    record(4, "/v1/embeddings", input=f"I am {SSN}"),
    record(5, "/v1/responses", input=f"I am {SSN}"),
]


def judged(asked):
    if asked.request.stage is Stage.MODEL_SELECTION:
        return permit()
    if "FORBIDDEN" in asked.document["context"]["prompt"]["text"]:
        return deny("content.forbidden")
    return permit(obligation("redact", types=["us_ssn"]))


@pytest.fixture
def upload(monkeypatch, proxy_server):
    """Scan a file of records just as an upload does, with the guard as the proxy's only one."""
    utils = import_module("litellm.proxy.utils")
    caches = import_module("litellm.proxy.common_utils.user_api_key_cache")
    batches = import_module("litellm.proxy.openai_files_endpoints.batch_guardrails")

    async def scan(engine, records, settings=SETTINGS, key=KEY):
        pep = EnforcementPoint(engine, Settings.model_validate(settings), record=lambda _: None)
        monkeypatch.setattr("checkrein_litellm.proxy.guard.enforcement_point", lambda *_, **__: pep)
        monkeypatch.setattr("checkrein_litellm.proxy.guard.stand_in_front", lambda _: None)
        monkeypatch.setattr(litellm, "callbacks", [PolicyGuard(guardrail_name="checkrein")])
        source = io.BytesIO("\n".join(json.dumps(one) for one in records).encode())
        result = await batches.scan_batch_input_file(
            file_source=source,
            request_metadata={},
            user_api_key_dict=key,
            proxy_logging_obj=utils.ProxyLogging(user_api_key_cache=caches.UserApiKeyCache()),
        )
        source.seek(0)
        changed = batches.rewrite_batch_input_file(source, result) if result.changes else source
        changed.seek(0)
        lines = changed.read().splitlines()
        for file in (changed, result.redactions):
            file.close()
        return [json.loads(line) for line in lines if line.strip()]

    return scan


async def test_each_record_is_redacted_and_a_denied_one_is_left_out(upload):
    engine = StaticEngine(judged)
    sent = await upload(engine, RECORDS)
    assert [one["custom_id"] for one in sent] == ["r1", "r2", "r4", "r5"]
    assert SSN not in json.dumps(sent)
    assert sent[0] == RECORDS[0]
    assert sent[1]["body"]["messages"][0]["content"] == "I am [REDACTED:us_ssn]"
    assert sent[2]["body"]["input"] == "I am [REDACTED:us_ssn]"
    assert {one["subject"]["id"] for one in engine.asked} == {"alice"}
    operations = [one["context"]["operation"] for one in engine.asked if one["stage"] == "pre_prompt"]
    assert sorted(operations) == ["chat", "chat", "chat", "embeddings", "responses"]


@pytest.mark.parametrize(
    "body", [{"prompt": "hello", "knowledge_bases": ["x"]}, {"prompt": "hello", "extra_body": {"x": 1}}]
)
async def test_a_record_that_nothing_can_judge_stops_the_upload(upload, body):
    with pytest.raises(CallDenied):
        await upload(StaticEngine(permit()), [RECORDS[0], record(1, "/v1/completions", **body)])


async def test_an_engine_without_an_answer_stops_the_upload(upload):
    with pytest.raises(CallDenied):
        await upload(FailingEngine(), RECORDS)


async def test_nothing_of_ours_is_written_into_a_record(upload):
    sent = await upload(StaticEngine(permit()), [RECORDS[0]])
    assert sent == [RECORDS[0]]


async def test_no_record_is_routed_to_a_model_that_its_key_may_not_call(upload):
    engine = StaticEngine(
        lambda asked: (
            permit(obligation("route", model="vault"))
            if asked.request.stage is Stage.MODEL_SELECTION
            else permit()
        )
    )
    bound = UserAPIKeyAuth(user_id="alice", request_route="/v1/files", models=["m"])
    with pytest.raises(CallDenied, match=r"route\.unauthorized"):
        await upload(engine, [RECORDS[0]], key=bound)
    assert [one["body"]["model"] for one in await upload(engine, [RECORDS[0]])] == ["vault"]


async def test_what_must_not_be_kept_is_left_out(upload):
    engine = StaticEngine(permit(obligation("no_store")))
    sent = await upload(engine, [RECORDS[0]])
    assert sent == []
