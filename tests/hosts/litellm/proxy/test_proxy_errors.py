"""What a client is told where an answer cannot be read: nothing of it, for nobody has judged it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

SSN = "123-45-6789"
SAID = f"FORBIDDEN the number is {SSN}"
HI = [{"role": "user", "content": "hi"}]
CUT = (
    '{"id":"x","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"' + SAID
)
GROQ = {
    "error": {
        "message": "Failed to call a function.",
        "type": "invalid_request_error",
        "code": "tool_use_failed",
        "failed_generation": f"<function=f>{SAID}</function>",
    }
}
ANSWERS = {
    "a failed generation": (400, json.dumps(GROQ)),
    "an error as an answer": (200, json.dumps({"error": {"message": SAID, "type": "x", "code": 500}})),
    "an error that is a text": (200, json.dumps({"error": SAID})),
    "a failure on the way": (500, json.dumps({"error": {"message": SAID, "type": "server_error"}})),
    "a failure in plain text": (503, SAID),
    "a model that failed as it spoke": (424, json.dumps({"message": "failed", "originalMessage": SAID})),
    "plain text": (200, SAID),
    "a string": (200, json.dumps(SAID)),
    "no choices": (200, json.dumps({"answer": SAID})),
    "cut off": (200, CUT),
    "odd candidates": (200, json.dumps({"candidates": [{"content": {"parts": SAID}}]})),
    "odd content": (200, json.dumps({"id": "m", "type": "message", "role": "assistant", "content": SAID})),
}
ERROR = {"type": "error", "error": {"type": "api_error", "message": SAID, "code": 500}}
STREAMS = {
    "an error": f"data: {json.dumps(ERROR)}\n\n",
    "an error that is a text": f"data: {json.dumps({'error': SAID})}\n\n",
    "an event of an error": f"event: error\ndata: {json.dumps(ERROR)}\n\n",
    "a response that failed": "event: response.failed\ndata: "
    + json.dumps({"type": "response.failed", "response": {"id": "r", "status": "failed", **ERROR}})
    + "\n\n",
    "a chunk cut off": f"data: {CUT}\n\n",
    "a text": f"data: {SAID}\n\n",
    "no event": f"{SAID}\n\n",
    "odd choices": f"data: {json.dumps({'id': 'x', 'choices': SAID})}\n\ndata: [DONE]\n\n",
    "odd content": f"data: {json.dumps({'type': 'content_block_delta', 'index': 0, 'delta': SAID})}\n\n",
    "odd candidates": f"data: {json.dumps({'candidates': [{'content': {'parts': SAID}}]})}\n\n",
}
GOOGLE = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
# To Google's API over an adapter: LiteLLM answers most errors with 500.
ADAPTED = [
    ("/v1beta/models/gpt-4o:generateContent", GOOGLE),
    ("/v1beta/models/claude:generateContent", GOOGLE),
]
CALLS = [
    ("/v1/chat/completions", {"model": "gpt-4o", "messages": HI}),
    ("/v1/chat/completions", {"model": "groq", "messages": HI}),
    ("/v1/chat/completions", {"model": "vllm", "messages": HI}),
    ("/v1/chat/completions", {"model": "claude", "messages": HI}),
    ("/v1/chat/completions", {"model": "gemini", "messages": HI}),
    ("/v1/messages", {"model": "claude", "messages": HI, "max_tokens": 5}),
    ("/v1/messages", {"model": "gpt-4o", "messages": HI, "max_tokens": 5}),
    ("/v1/responses", {"model": "gpt-4o", "input": "hi"}),
    ("/v1beta/models/gemini:generateContent", GOOGLE),
]


class Provider:
    """A server that answers everything with the same bytes."""

    status = 200
    body = "{}"

    def __init__(self) -> None:
        self.of_model: dict[str, tuple[int, str]] = {}

    @contextmanager
    def running(self) -> Iterator[str]:
        told = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                asked = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))))
                status, said = told.of_model.get(asked.get("model"), (told.status, told.body))
                body = said.encode()
                self.send_response(status)
                streams = said.startswith(("data:", "event:"))
                self.send_header("content-type", "text/event-stream" if streams else "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def models(url):
    providers = {
        "gpt-4o": "openai",
        "groq": "groq",
        "vllm": "hosted_vllm",
        "claude": "anthropic",
        "gemini": "gemini",
        "first": "openai",
        "second": "hosted_vllm",
    }
    for name, provider in providers.items():
        base = url if provider == "anthropic" else f"{url}/v1"
        params = {"model": f"{provider}/{name}", "api_base": base, "api_key": "sk-upstream"}
        yield {"model_name": name, "litellm_params": params}


@pytest.fixture
def failing(serve, configure):
    """A proxy, and the provider that its models answer from."""
    provider = Provider()
    with provider.running() as url:
        own = {
            "model_list": list(models(url)),
            "router_settings": {
                "num_retries": 0,
                "retry_after": 0,
                "disable_cooldowns": True,
                "fallbacks": [{"first": ["second"]}],
            },
        }
        with serve(lambda **_: configure(**own)) as proxy:
            yield proxy, provider


def asked(proxy, path, body, *, stream):
    if not stream:
        return proxy.post(path, "pro", **body)
    if path.endswith("generateContent"):
        return proxy.post(path.replace("generate", "streamGenerate"), "pro", **body)
    return proxy.post(path, "pro", **body, stream=True)


def test_an_error_says_nothing_of_an_answer_that_nobody_judged(failing):
    proxy, provider = failing
    streams = {f"{name}, streamed": (200, body) for name, body in STREAMS.items()}
    told = []
    for name, (provider.status, provider.body) in {**ANSWERS, **streams}.items():
        for path, body in CALLS + ADAPTED:
            for stream in (False, True):
                answer = asked(proxy, path, body, stream=stream)
                if SSN in answer.text:
                    told.append((name, path, body.get("model"), stream, answer.text[:300]))
                if path == "/v1/messages" and not stream and "withheld" in answer.text:
                    assert answer.status_code >= 400
                    assert answer.json()["type"] == "error"
    assert told == []


def test_what_a_provider_says_of_the_request_itself_stays_readable(failing):
    proxy, provider = failing
    for status, said in ((401, "bad key"), (404, "no such model"), (429, "slow down"), (400, "too long")):
        provider.status = status
        provider.body = json.dumps({"error": {"message": said, "type": "invalid_request_error"}})
        for path, body in CALLS + ADAPTED:
            for stream in (False, True):
                answer = asked(proxy, path, body, stream=stream)
                assert said in answer.text, (path, body, stream, answer.text)
                expected = {status, 500} if (path, body) in ADAPTED else {status}
                assert stream or answer.status_code in expected
    provider.status, provider.body = ANSWERS["cut off"]
    # Where no denial of the answer could stand, nothing is withheld.
    assert "withheld" not in proxy.chat("watched", "hi", model="vllm").text
    withheld = proxy.chat("pro", "hi", model="vllm")
    assert "withheld" in withheld.text
    assert withheld.headers["x-checkrein-call-id"]


@pytest.mark.parametrize("refused", ["first", "second"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_of_one_model_vouches_for_no_other(failing, refused, stream):
    proxy, provider = failing
    body = {"error": {"message": "slow down", "type": "rate_limit_error"}}
    for name in ("an error as an answer", "an error that is a text", "a failure on the way"):
        provider.of_model = {
            "first": ANSWERS[name],
            "second": ANSWERS[name],
            refused: (429, json.dumps(body)),
        }
        answer = proxy.chat("pro", "hi", model="first", stream=stream)
        assert stream or answer.status_code >= 400
        assert SSN not in answer.text
