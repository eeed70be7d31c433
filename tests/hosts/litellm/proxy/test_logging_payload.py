"""What a logger of LiteLLM's own is told of decisions, in a real proxy."""

from __future__ import annotations

import json
import time

from checkrein.testing import Failure

SSN = "123-45-6789"
LOGGER = """
import json
from pathlib import Path

from litellm.integrations.custom_logger import CustomLogger


class Logger(CustomLogger):
    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
        self.write(kwargs)

    async def async_log_failure_event(self, kwargs, response_obj, start_time, end_time):
        self.write(kwargs)

    def write(self, kwargs):
        payload = kwargs["standard_logging_object"]
        told = {name: payload.get(name) for name in ("status", "status_fields", "guardrail_information")}
        told["heard"] = json.dumps([payload, kwargs.get("messages"), kwargs.get("input")], default=str)
        with Path(__file__).with_name("payloads.jsonl").open("a") as file:
            file.write(json.dumps(told, default=str) + "\\n")


logger = Logger()
"""


def with_logger(configure, **parts):
    config = configure(litellm_settings={"callbacks": ["own_logger.logger"]}, **parts)
    config.with_name("own_logger.py").write_text(LOGGER)
    return config


def payload_of(proxy, answer):
    """What the logger was told of an answer's call, once it was."""
    call_id = answer.headers["x-checkrein-call-id"]
    path = proxy.folder / "payloads.jsonl"
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        payloads = [json.loads(line) for line in lines if line.endswith("\n")]
        for one in payloads:
            entries = one["guardrail_information"] or []
            if any(entry["guardrail_response"]["call_id"] == call_id for entry in entries):
                return one
        time.sleep(0.01)
    raise AssertionError(f"nothing was logged of the call; the log is {lines}")


def told(payload):
    entries = payload["guardrail_information"]
    return [(one["guardrail_response"]["stage"], one["guardrail_status"]) for one in entries]


def test_each_decision_is_told_once_with_what_became_of_it(serve, configure):
    selected = ("model_selection", "success")
    asked = ("pre_prompt", "success")
    with serve(lambda **parts: with_logger(configure, **parts)) as proxy:
        plain = proxy.chat("enterprise", "hello")
        payload = payload_of(proxy, plain)
        assert told(payload) == [selected, asked, ("post_completion", "success")]
        assert payload["status_fields"]["guardrail_status"] == "success"
        assert [one["guardrail_response"]["decision_id"] for one in payload["guardrail_information"]] == [
            one["decision_id"] for one in proxy.records(plain)
        ]

        streamed = proxy.chat("enterprise", "hello", stream=True)
        assert told(payload_of(proxy, streamed)) == [selected, asked, ("post_completion", "success")]

        redacted = proxy.chat("pro", f"I am {SSN}")
        payload = payload_of(proxy, redacted)
        assert told(payload) == [
            selected,
            ("pre_prompt", "guardrail_intervened"),
            ("post_completion", "success"),
        ]
        assert payload["guardrail_information"][1]["masked_entity_count"] == {"ssn": 1}

        refused = proxy.chat("pro", "FORBIDDEN")
        payload = payload_of(proxy, refused)
        assert payload["status"] == "failure"
        assert told(payload) == [selected, ("pre_prompt", "guardrail_intervened")]
        assert payload["guardrail_information"][1]["guardrail_response"]["reasons"] == ["content.forbidden"]
        assert payload["status_fields"]["guardrail_status"] == "guardrail_intervened"

        failed = proxy.chat("pro", "nonsense")
        assert failed.status_code == 403
        assert told(payload_of(proxy, failed)) == [selected, ("pre_prompt", "guardrail_failed_to_respond")]

        watched = proxy.chat("watched", "FORBIDDEN", model="vault")
        assert watched.status_code == 200
        assert told(payload_of(proxy, watched)) == [
            ("model_selection", "guardrail_flagged"),
            ("pre_prompt", "guardrail_flagged"),
            ("post_completion", "success"),
        ]

        proxy.upstream.reply = "a FORBIDDEN answer"
        for stream in (False, True):
            withheld = proxy.chat("pro", "hello", stream=stream)
            assert "FORBIDDEN" not in withheld.text
            assert told(payload_of(proxy, withheld)) == [
                selected,
                asked,
                ("post_completion", "guardrail_intervened"),
            ]
        # A provider's failure takes nothing away of what was decided before it.
        proxy.upstream.reply = Failure(400)
        payload = payload_of(proxy, proxy.chat("enterprise", "hello"))
        assert (payload["status"], told(payload)) == ("failure", [selected, asked])
        proxy.upstream.reply = "ok"
        answer = proxy.post("/v1/responses", "enterprise", model="gpt-4o", input="hello")
        assert told(payload_of(proxy, answer)) == [selected, asked, ("post_completion", "success")]

        # Nobody can write a verdict of his own into it.
        forged = {"standard_logging_guardrail_information": [{"guardrail_status": "success"}]}
        proxy.upstream.reply = "ok"
        payload = payload_of(proxy, proxy.chat("pro", "FORBIDDEN", metadata=forged, litellm_metadata=forged))
        assert told(payload) == [selected, ("pre_prompt", "guardrail_intervened")]

        lines = (proxy.folder / "payloads.jsonl").read_text().splitlines()
        log = json.dumps([{**json.loads(line), "heard": None} for line in lines])
        assert SSN not in log
        assert "FORBIDDEN" not in log


def test_a_redacted_prompt_is_redacted_in_the_logs_of_litellm_too(serve, configure):
    said = f"I am {SSN}"
    asked = {
        "/v1/chat/completions": {"messages": [{"role": "user", "content": said}]},
        "/v1/responses": {"input": said, "instructions": said},
        "/v1/completions": {"prompt": said},
        "/v1/embeddings": {"input": [said]},
        "/v1/moderations": {"input": said},
        "/v1/images/generations": {"prompt": said},
        "/v1/audio/speech": {"input": said, "voice": "alloy"},
    }
    with serve(lambda **parts: with_logger(configure, **parts)) as proxy:
        for path, body in asked.items():
            answer = proxy.post(path, "pro", model="gpt-4o", **body)
            assert answer.status_code == 200, (path, answer.text)
            heard = payload_of(proxy, answer)["heard"]
            assert SSN not in heard, path
            assert "[REDACTED:ssn]" in heard, path
