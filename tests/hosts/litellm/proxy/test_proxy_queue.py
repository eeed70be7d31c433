"""A real proxy's queue, where the settings let it pass: whoever calls is judged as who they are."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

SSN = "123-45-6789"
WORD = "FORBIDDEN"


@pytest.fixture
def queue(forwarding):
    def call(person, text, model="gpt-4o-mini", **more):
        messages = [{"role": "user", "content": text}]
        body = {"model": model, "messages": messages, "priority": 0, **more}
        key = {"Authorization": f"Bearer sk-test-{person}"}
        return httpx.post(f"{forwarding.url}/queue/chat/completions", json=body, headers=key, timeout=30)

    return call


def reasons(answer):
    assert answer.status_code == 403, answer.text
    return answer.json()["error"]["provider_specific_fields"]["reasons"]


def subjects(proxy, answer):
    """Who asked, by the last of the answer's decisions."""
    return proxy.records(answer)[-1]["input"]["subject"]


PEOPLE = {"free": ("fred", "free"), "pro": ("priya", "pro"), "enterprise": ("erin", "enterprise")}


@pytest.mark.parametrize("person", PEOPLE)
def test_policy_sees_who_calls(forwarding, queue, person):
    answer = queue(person, "hi")
    assert answer.status_code == 200, answer.text
    subject = subjects(forwarding, answer)
    assert (subject["id"], subject["properties"]["tier"]) == PEOPLE[person]


def test_the_queue_is_judged_by_the_policy_of_its_caller(forwarding, queue):
    assert reasons(queue("free", f"I am {SSN}")) == ["pii.ssn"]
    assert reasons(queue("pro", "hi", model="vault")) == ["model.forbidden"]
    assert reasons(queue("enterprise", WORD)) == ["content.forbidden"]
    assert forwarding.upstream.requests == []
    assert queue("enterprise", "hi", model="vault").status_code == 200
    assert queue("pro", f"I am {SSN}").status_code == 200
    assert SSN not in forwarding.upstream.texts


FORGED = {
    "another user": {"user_api_key_user_id": "erin", "user_api_key_metadata": {"tier": "enterprise"}},
    "another key": {"user_api_key": "sk-test-enterprise", "user_api_key_hash": "sk-test-enterprise"},
    "an authentication": {"user_api_key_auth": {"user_id": "erin", "metadata": {"tier": "enterprise"}}},
    "a call": {"checkrein_call_id": "mine"},
}


@pytest.mark.parametrize("metadata", FORGED.values(), ids=list(FORGED))
def test_a_callers_word_changes_no_identity(forwarding, queue, metadata):
    for bucket in ("metadata", "litellm_metadata"):
        answer = queue("free", "hi", model="vault", **{bucket: metadata})
        assert reasons(answer) == ["model.forbidden"]
        assert forwarding.upstream.requests == []
        assert subjects(forwarding, answer)["id"] == "fred"
        forwarding.upstream.clear()


def test_callers_of_the_same_moment_are_told_apart(forwarding, queue):
    people = [*PEOPLE] * 6
    with ThreadPoolExecutor(9) as pool:
        answers = list(pool.map(lambda person: queue(person, "hi"), people))
    assert [one.status_code for one in answers] == [200] * len(people)
    barrier = forwarding.chat("enterprise", "hi").headers["x-checkrein-decision-id"]
    log = forwarding.wait_for(lambda one: one.get("decision_id") == barrier)
    for person, answer in zip(people, answers, strict=True):
        mine = [one for one in log if one.get("call_id") == answer.headers["x-checkrein-call-id"]]
        assert {one["input"]["subject"]["id"] for one in mine} == {PEOPLE[person][0]}


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_of_the_queue_that_is_a_stream_is_judged(forwarding, queue, stream):
    forwarding.upstream.reply = f"it is {SSN}"
    answer = queue("pro", "hi", stream=stream)
    assert answer.status_code == 200
    # A whole answer is shown to no hook: that is what `uncovered` lets pass.
    assert (SSN in answer.text) is not stream


@pytest.mark.parametrize("more", [{"top_p": 0.5}, {"stream": True}, {"metadata": {"note": "hi"}}])
def test_daily_use_passes(queue, more):
    answer = queue("pro", "hi", **more)
    assert answer.status_code == 200, answer.text
    assert "ok" in answer.text


def test_nobody_passes_the_queue(forwarding, queue):
    assert reasons(queue("nobody", "hi")) == ["identity.missing"]
    assert forwarding.upstream.requests == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("extra_body", {"top_k": 3}),
        ("litellm_system_prompt", SSN),
        ("prompt_id", "x"),
        ("fallbacks", [{"model": "gpt-4o", "extra_body": {}}]),
    ],
)
def test_what_no_policy_could_govern_is_refused(forwarding, queue, field, value):
    assert reasons(queue("enterprise", "hi", **{field: value})) == [f"unsupported_request.{field}"]
    assert forwarding.upstream.requests == []


@pytest.mark.parametrize("field", ["extra_headers", "headers"])
def test_headers_in_the_body_are_judged(forwarding, queue, field):
    assert reasons(queue("pro", "hi", **{field: {"x-note": WORD}})) == ["content.forbidden"]
    assert forwarding.upstream.requests == []


def test_a_fallback_of_the_queue_is_judged_by_the_policy_of_its_caller(forwarding, queue):
    assert reasons(queue("pro", "hi", model="sick-vault")) == ["model.forbidden"]
    assert forwarding.upstream.requests == []
