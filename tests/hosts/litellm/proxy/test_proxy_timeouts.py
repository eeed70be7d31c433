"""A provider that does not answer in time is told of as LiteLLM tells it, by every way to it."""

from __future__ import annotations

import socket

import pytest

HI = [{"role": "user", "content": "hi"}]
CALLS = [
    ("/v1/chat/completions", "openai", {"messages": HI}),
    ("/v1/chat/completions", "anthropic", {"messages": HI}),
    ("/v1/chat/completions", "hosted_vllm", {"messages": HI}),
    ("/v1/messages", "anthropic", {"messages": HI, "max_tokens": 5}),
    ("/v1/messages", "hosted_vllm", {"messages": HI, "max_tokens": 5}),
    ("/v1/responses", "openai", {"input": "hi"}),
]


@pytest.fixture
def silent(serve, configure):
    """A proxy, each of whose models is at a server that takes calls and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        models = [
            {
                "model_name": provider,
                "litellm_params": {
                    "model": f"{provider}/some",
                    "api_base": url if provider == "anthropic" else f"{url}/v1",
                    "api_key": "sk-upstream",
                    "timeout": 0.2,
                    "stream_timeout": 0.2,
                    "max_retries": 0,
                },
            }
            for provider in ("openai", "anthropic", "hosted_vllm")
        ]
        router = {"num_retries": 0, "retry_after": 0, "disable_cooldowns": True}
        with serve(lambda **_: configure(model_list=models, router_settings=router)) as proxy:
            yield proxy


def test_a_timeout_stays_readable_and_keeps_its_status(silent):
    for path, model, body in CALLS:
        for stream in (False, True):
            answer = silent.post(path, "pro", model=model, stream=stream, **body)
            assert answer.status_code == 408, (path, model, stream, answer.text)
            assert "timed out" in answer.text, (path, model, stream, answer.text)
