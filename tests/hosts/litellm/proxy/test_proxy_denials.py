"""How clients of a real proxy learn of decisions: the error's shape, the headers, their own exceptions."""

from __future__ import annotations

import anthropic
import httpx
import openai
import pytest

from checkrein import denial_from

SSN = "123-45-6789"
HI = [{"role": "user", "content": "hi"}]
FORBIDDEN = [{"role": "user", "content": "FORBIDDEN"}]
PICTURE = ("a.png", b"\x89PNG" + b"x" * 80, "image/png")


def google(text):
    return {"contents": [{"role": "user", "parts": [{"text": text}]}]}


BODIES = {
    "/v1/chat/completions": {"messages": FORBIDDEN},
    "/v1/completions": {"prompt": "FORBIDDEN"},
    "/v1/responses": {"input": "FORBIDDEN"},
    "/v1/embeddings": {"input": "FORBIDDEN"},
    "/v1/images/generations": {"prompt": "FORBIDDEN"},
    "/v1/moderations": {"input": "FORBIDDEN"},
    "/v1/audio/speech": {"input": "FORBIDDEN", "voice": "alloy"},
    "/v1/rerank": {"query": "FORBIDDEN", "documents": ["x"]},
    "/v1beta/models/gpt-4o:generateContent": google("FORBIDDEN"),
    "/v1beta/models/gpt-4o:streamGenerateContent": google("FORBIDDEN"),
    "/pass/chat/completions": {"messages": FORBIDDEN},
    "/v1/videos": {"prompt": "FORBIDDEN"},
}


@pytest.mark.parametrize("path", BODIES)
def test_a_denial_has_one_shape_on_every_endpoint(proxy, path):
    answer = proxy.post(path, "pro", model="gpt-4o", **BODIES[path])
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == {"error"}
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code", "provider_specific_fields"}
    told = error["provider_specific_fields"]
    assert (error["type"], error["param"], error["code"]) == ("policy_denied", None, "403")
    assert set(told) == {"decision_id", "stage", "reasons"}
    assert told["stage"] == "pre_prompt"
    record = proxy.records(answer)[-1]
    assert told["decision_id"] == record["decision_id"] == answer.headers["x-checkrein-decision-id"]
    assert told["reasons"] == [one["code"] for one in record["reasons"]]
    found = denial_from(httpx.HTTPStatusError("403", request=answer.request, response=answer))
    assert (found.decision_id, list(found.reasons)) == (told["decision_id"], told["reasons"])


def test_a_denial_of_messages_has_anthropics_shape(proxy):
    answer = proxy.post("/v1/messages", "pro", model="claude", max_tokens=5, messages=FORBIDDEN)
    assert answer.status_code == 403
    error = answer.json()["error"]
    record = proxy.records(answer)[-1]
    assert answer.json() == {
        "type": "error",
        "error": {"type": "permission_error", "message": error["message"]},
    }
    assert record["decision_id"] in error["message"]


@pytest.mark.parametrize("denied", ["the prompt", "the answer"])
def test_every_client_library_tells_the_denial(proxy, denied):
    proxy.upstream.reply = "FORBIDDEN"
    said = FORBIDDEN if denied == "the prompt" else HI
    text = said[0]["content"]
    headers = {"Authorization": "Bearer sk-test-pro"}
    with (
        proxy.client("pro") as client,
        anthropic.Anthropic(
            base_url=proxy.url, api_key="x", default_headers=headers, max_retries=0, timeout=30
        ) as claude,
    ):
        calls = [
            lambda: client.chat.completions.create(model="gpt-4o", messages=said),
            lambda: client.completions.create(model="gpt-4o", prompt=text),
            lambda: client.responses.create(model="gpt-4o", input=text),
            lambda: client.images.generate(model="gpt-4o", prompt=text),
            lambda: client.images.edit(model="gpt-4o", prompt=text, image=PICTURE),
            lambda: claude.messages.create(model="claude", max_tokens=9, messages=said),
        ]
        for call in calls:
            with pytest.raises((openai.PermissionDeniedError, anthropic.PermissionDeniedError)) as error:
                call()
            found = denial_from(error.value)
            assert found is not None
            assert found.code == "content.forbidden"
            assert found.decision_id == proxy.records(error.value.response)[-1]["decision_id"]


def test_an_error_of_the_provider_is_no_denial(proxy):
    with proxy.client("enterprise") as client, pytest.raises(openai.APIStatusError) as error:
        client.chat.completions.create(model="sick", messages=HI, extra_body={"fallbacks": []})
    assert denial_from(error.value) is None


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": HI}),
        ("/v1/messages", {"max_tokens": 5, "messages": HI}),
        ("/v1/moderations", {"input": "hi"}),
        ("/v1/rerank", {"model": "ranker", "query": "hi", "documents": ["x"]}),
        ("/v1/audio/speech", {"input": "hi", "voice": "alloy"}),
        ("/pass/chat/completions", {"messages": HI}),
    ],
)
def test_every_answer_names_its_last_decision(proxy, path, body):
    answer = proxy.post(path, "enterprise", **{"model": "gpt-4o", **body})
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-checkrein-decision-id"] == proxy.records(answer)[-1]["decision_id"]
    assert answer.headers.get_list("x-checkrein-decision-id") == [answer.headers["x-checkrein-decision-id"]]
    assert "x-checkrein-would-deny" not in answer.headers
    assert "x-checkrein-failed-open" not in answer.headers


def test_a_held_stream_names_the_decision_on_its_answer(proxy):
    answer = proxy.chat("enterprise", "hi", stream=True)
    last = proxy.records(answer)[-1]
    assert (last["stage"], last["decision_id"]) == (
        "post_completion",
        answer.headers["x-checkrein-decision-id"],
    )


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/moderations", "/v1/videos"])
def test_under_monitor_the_headers_say_what_would_have_been_denied(proxy, path):
    answer = proxy.post(path, "watched", model="gpt-4o", **BODIES.get(path, {}))
    expected = "uncovered.videos" if path == "/v1/videos" else "content.forbidden"
    assert answer.headers["x-checkrein-would-deny"] == expected


def test_a_denied_caller_cools_no_deployment_down_on_any_endpoint(proxy):
    proxy.upstream.reply = "FORBIDDEN"
    for _ in range(4):
        for path, body in BODIES.items():
            assert proxy.post(path, "pro", model="vault", **body).status_code == 403
        for path, body in (
            ("/v1/responses", {"input": "hi"}),
            ("/v1/messages", {"max_tokens": 5, "messages": HI}),
            ("/v1beta/models/gpt-4o:generateContent", google("hi")),
            ("/v1/images/generations", {"prompt": "hi"}),
        ):
            assert proxy.post(path, "pro", model="gpt-4o", **body).status_code == 403
    proxy.upstream.reply = "fine"
    for model in ("vault", "gpt-4o"):
        assert proxy.chat("enterprise", "hi", model=model).status_code == 200
