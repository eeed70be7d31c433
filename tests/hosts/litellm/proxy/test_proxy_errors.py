"""What a client is told where an answer cannot be read: nothing of it, for nobody has judged it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

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
    "plain text": (200, SAID),
    "a string": (200, json.dumps(SAID)),
    "no choices": (200, json.dumps({"answer": SAID})),
    "cut off": (200, CUT),
    "odd candidates": (200, json.dumps({"candidates": [{"content": {"parts": SAID}}]})),
    "odd content": (200, json.dumps({"id": "m", "type": "message", "role": "assistant", "content": SAID})),
}
CALLS = [
    ("/v1/chat/completions", {"model": "gpt-4o", "messages": HI}),
    ("/v1/chat/completions", {"model": "groq", "messages": HI}),
    ("/v1/chat/completions", {"model": "vllm", "messages": HI}),
    ("/v1/chat/completions", {"model": "claude", "messages": HI}),
    ("/v1/chat/completions", {"model": "gemini", "messages": HI}),
    ("/v1/messages", {"model": "claude", "messages": HI, "max_tokens": 5}),
    ("/v1/messages", {"model": "gpt-4o", "messages": HI, "max_tokens": 5}),
    ("/v1/responses", {"model": "gpt-4o", "input": "hi"}),
    ("/v1beta/models/gemini:generateContent", {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}),
]


class Provider:
    """A server that answers everything with the same bytes."""

    status = 200
    body = "{}"

    @contextmanager
    def running(self) -> Iterator[str]:
        told = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers.get("content-length", 0)))
                body = told.body.encode()
                self.send_response(told.status)
                self.send_header("content-type", "application/json")
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
    }
    for name, provider in providers.items():
        base = url if provider == "anthropic" else f"{url}/v1"
        params = {"model": f"{provider}/{name}", "api_base": base, "api_key": "sk-upstream"}
        yield {"model_name": name, "litellm_params": params}


def test_an_error_says_nothing_of_an_answer_that_nobody_judged(serve, configure):
    provider = Provider()
    with provider.running() as url:
        own = {
            "model_list": list(models(url)),
            "router_settings": {"num_retries": 0, "retry_after": 0, "disable_cooldowns": True},
        }
        with serve(lambda **_: configure(**own)) as proxy:
            told = []
            for name, (provider.status, provider.body) in ANSWERS.items():
                for path, body in CALLS:
                    answer = proxy.post(path, "pro", **body)
                    if SSN in answer.text:
                        told.append((name, path, body.get("model"), answer.text[:200]))
                    if path == "/v1/messages" and "withheld" in answer.text:
                        assert answer.status_code >= 400
                        assert answer.json()["type"] == "error"
            assert told == []
            # What the provider says of the request itself stays readable.
            for status, said in (
                (401, "bad key"),
                (404, "no such model"),
                (429, "slow down"),
                (400, "too long"),
            ):
                provider.status = status
                provider.body = json.dumps({"error": {"message": said, "type": "invalid_request_error"}})
                answer = proxy.chat("pro", "hi")
                assert (answer.status_code, said in answer.text) == (status, True), answer.text
            provider.status, provider.body = ANSWERS["cut off"]
            # Where no denial of the answer could stand, nothing is withheld.
            assert "withheld" not in proxy.chat("watched", "hi", model="vllm").text
            withheld = proxy.chat("pro", "hi", model="vllm")
            assert "withheld" in withheld.text
            assert withheld.headers["x-checkrein-call-id"]
