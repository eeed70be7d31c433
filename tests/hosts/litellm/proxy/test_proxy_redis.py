"""LiteLLM's cache in a real Redis: whoever gets an answer from it is judged; no redacted text is in it."""

from __future__ import annotations

from functools import partial

SSN = "123-45-6789"


def content(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()["choices"][0]["message"]["content"]


def sent_to(upstream):
    return [one for one in upstream.requests if one.path == "/v1/chat/completions"]


def kept_in(redis_server):
    """Every name and every value that Redis holds."""
    with redis_server.client() as client:
        names = list(client.scan_iter())
        values = [client.get(name) for name in names if client.type(name) == b"string"]
        return names, b" ".join([*names, *values])


def test_what_redis_keeps_is_judged_for_whoever_gets_it(serve, configure, redis_server):
    params = {"type": "redis", "host": "127.0.0.1", "port": redis_server.port, "mode": "default_off"}
    cache = {"cache": True, "cache_params": {**params, "password": redis_server.password}}
    asked = {"cache": {"use-cache": True}}
    with serve(partial(configure, litellm_settings=cache)) as proxy:
        proxy.upstream.reply = f"your number is {SSN}"
        seen = [content(proxy.chat(person, "number?", **asked)) for person in ("enterprise", "pro")]
        assert seen == [f"your number is {SSN}", "your number is [REDACTED:ssn]"]
        assert len(sent_to(proxy.upstream)) == 1
        names, _ = kept_in(redis_server)
        assert names

        proxy.upstream.clear()
        proxy.upstream.reply = "noted"
        for _ in range(2):
            assert content(proxy.chat("pro", "I am 536-90-4399", **asked)) == "noted"
        (sent,) = sent_to(proxy.upstream)
        assert sent.body["messages"][0]["content"] == "I am [REDACTED:ssn]"
        _, everything = kept_in(redis_server)
        assert b"536-90-4399" not in everything

        redis_server.stop()
        # A cache that is away is LiteLLM's to live without; what is judged stays judged.
        assert content(proxy.chat("pro", "something else", **asked)) == "noted"
        assert proxy.chat("pro", "FORBIDDEN", **asked).status_code == 403
