"""`no_store` once there is an answer: a real proxy keeps nothing of it, or it is not given out."""

from __future__ import annotations

import time

import httpx
import pytest
from proxy_endpoints import send, told

ANSWER = "NOSTORE tangerine"
LOGGER = """
import json
from pathlib import Path

from litellm.integrations.custom_logger import CustomLogger


class Logger(CustomLogger):
    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
        self.write(kwargs, response_obj)

    async def async_log_failure_event(self, kwargs, response_obj, start_time, end_time):
        self.write(kwargs, response_obj)

    def write(self, kwargs, answer):
        payload = kwargs["standard_logging_object"]
        heard = json.dumps([payload, kwargs.get("messages"), str(answer)], default=str)
        with Path(__file__).with_name("heard.jsonl").open("a") as file:
            file.write(json.dumps(heard) + "\\n")


logger = Logger()
"""


def with_logger(configure, **parts):
    config = configure(litellm_settings={"callbacks": ["own_logger.logger"]}, **parts)
    config.with_name("own_logger.py").write_text(LOGGER)
    return config


def heard_until(proxy, word):
    """What the logger has heard, once it has heard this word."""
    path = proxy.folder / "heard.jsonl"
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        heard = path.read_text() if path.exists() else ""
        if word in heard:
            return heard
        time.sleep(0.01)
    raise AssertionError("the logger was not told")


ASKED = {
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]}),
    "completions": ("/v1/completions", {"prompt": "hi"}),
    "messages": ("/v1/messages", {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 20}),
    "responses": ("/v1/responses", {"input": "hi", "store": False}),
}


def test_litellms_logs_hear_nothing_of_an_answer_that_must_not_be_kept(serve, configure):
    with serve(lambda **parts: with_logger(configure, **parts)) as proxy:
        proxy.upstream.reply = ANSWER
        given = {
            (name, stream): proxy.post(path, "enterprise", model="gpt-4o", stream=stream, **body)
            for name, (path, body) in ASKED.items()
            for stream in (False, True)
        }
        kept = {asked for asked, answer in given.items() if denied(answer)}
        # LiteLLM logs this stream before it gives out its last chunk.
        assert kept == {("completions", True)}
        assert "tangerine" not in given["completions", True].text
        proxy.upstream.reply = "a barrier"
        assert proxy.chat("enterprise", "hi").status_code == 200
        assert "tangerine" not in heard_until(proxy, "a barrier")


def denied(answer):
    return "policy_denied" in answer.text or "permission_error" in answer.text


def test_an_answer_that_may_be_kept_is_logged(serve, configure):
    with serve(lambda **parts: with_logger(configure, **parts)) as proxy:
        for stream in (False, True):
            proxy.upstream.reply = f"tangerine {stream}"
            assert proxy.chat("enterprise", "hi", stream=stream).status_code == 200
            assert heard_until(proxy, f"tangerine {stream}")


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_is_in_the_cache_already_is_not_given_out(proxy, stream):
    proxy.upstream.reply = ANSWER
    text = f"cache this, {stream}"
    for _ in range(2):
        answer = proxy.chat("enterprise", text, stream=stream, cache={"use-cache": True})
        assert "obligation_failed" in answer.text
        assert "tangerine" not in answer.text
    answer = proxy.chat(
        "enterprise", f"not {text}", stream=stream, cache={"use-cache": True, "no-store": True}
    )
    assert not denied(answer)


def test_what_was_not_to_be_kept_from_the_beginning_is_given_out(proxy):
    proxy.upstream.reply = ANSWER
    answer = proxy.chat("enterprise", "NOSTORE please", cache={"use-cache": True}, store=True)
    assert answer.status_code == 200, answer.text
    assert proxy.upstream.requests[0].body["store"] is False


@pytest.mark.parametrize(("name", "more"), [("chat", {"store": True}), ("responses", {})])
def test_an_answer_that_the_provider_has_kept_is_not_given_out(proxy, name, more):
    proxy.upstream.reply = ANSWER
    path, body = ASKED[name]
    answer = proxy.post(path, "enterprise", model="gpt-4o", **{**body, "store": None, **more})
    assert "obligation_failed" in told(answer)["message"]
    assert "tangerine" not in answer.text


def test_what_must_not_be_kept_is_not_kept_by_a_provider_that_keeps_answers_of_itself(proxy):
    for more in ({}, {"store": None}, {"store": True}):
        answer = send(proxy, "responses", "enterprise", "NOSTORE please", **more)
        assert answer.status_code == 200, answer.text
    assert [one.body["store"] for one in proxy.upstream.requests] == [False] * 3


def test_a_picture_that_litellm_has_logged_is_not_given_out(proxy):
    proxy.upstream.reply = ANSWER
    answer = send(proxy, "images", "enterprise", "a fruit")
    assert "obligation_failed" in told(answer)["message"]
    assert "tangerine" not in answer.text


def test_under_monitor_an_answer_is_given_out_and_kept(proxy):
    proxy.upstream.reply = ANSWER
    answer = proxy.chat("watched", "hi", cache={"use-cache": True})
    assert "tangerine" in answer.text


def test_the_denial_is_on_record_with_what_could_not_be_done(proxy):
    proxy.upstream.reply = ANSWER
    answer = proxy.chat("enterprise", "hi", store=True)
    record = proxy.records(answer)[-1]
    assert (record["stage"], record["permitted"]) == ("post_completion", False)
    assert [one["code"] for one in record["reasons"]] == ["obligation_failed"]


def test_what_a_tool_gives_back_and_litellm_logs_is_not_given_out(proxy):
    proxy.tools.answer = ANSWER
    headers = {
        "Authorization": "Bearer sk-test-enterprise",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2025-06-18",
    }
    params = {"name": "desk-look_up", "arguments": {"who": "x"}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    answer = httpx.post(f"{proxy.url}/mcp/", json=body, headers=headers, timeout=30)
    assert len(proxy.tools.calls) == 1
    assert "obligation_failed" in answer.text
    assert "tangerine" not in answer.text
