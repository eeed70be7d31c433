"""The counting provider of `checkrein.testing`: every request is remembered, whatever it is."""

import asyncio
import http.client
import json
import socket
import struct
from contextlib import closing

import httpx
import openai
import pytest
from asking import HELLO, ask, port_of


def test_requests_are_remembered_as_they_came(upstream):
    ask(upstream, "Grüße", extra_headers={"X-Tenant": "blue"}, extra_query={"page": "2"})
    (request,) = upstream.requests
    assert request.path == "/v1/chat/completions?page=2"
    assert request.body["messages"][0]["content"] == "Grüße"
    assert request.headers["x-tenant"] == "blue"
    assert json.loads(request.raw) == request.body
    assert "Grüße" not in repr(request)
    assert "none" not in repr(request)


def test_the_requests_are_a_copy_and_can_be_forgotten(upstream):
    before = upstream.requests
    ask(upstream)
    assert before == []
    assert (len(upstream.requests), upstream.completed) == (1, 1)
    upstream.clear()
    assert (upstream.requests, upstream.completed, upstream.texts) == ([], 0, "")


def test_the_texts_are_every_string_of_every_body(upstream):
    tools = [{"type": "function", "function": {"name": "hidden-tool", "parameters": {"key-name": {}}}}]
    ask(upstream, [{"type": "text", "text": 'quote " and\nnewline'}], tools=tools)
    ask(upstream, "second", extra_body={"metadata": {"deep": [[{"er": "deepest"}]]}})
    httpx.post(f"{upstream.url}/chat/completions", content=json.dumps({"lone": "\ud800 half"}))
    for text in ('quote " and\nnewline', "hidden-tool", "key-name", "second", "deepest", "\ud800 half"):
        assert text in upstream.texts
    assert "third" not in upstream.texts


@pytest.mark.parametrize(
    "raw", [b'["a secret"]', b'{"a secret"', b"a secret", b"\xff a secret", b"[" * 99999]
)
def test_a_body_that_is_no_json_object_is_refused_and_told_all_the_same(upstream, raw):
    answer = httpx.post(f"{upstream.url}/chat/completions", content=raw)
    assert answer.status_code == 400
    assert upstream.requests[0].raw == raw
    assert upstream.requests[0].body == {}
    assert raw.decode(errors="replace") in upstream.texts


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Length": str(16 * 1024 * 1024 + 1)},
        {"Content-Length": "9" * 5000},
        {"Content-Length": "-1"},
        {"Transfer-Encoding": "chunked"},
    ],
)
def test_a_body_without_bounds_is_refused_unread_and_counted_as_a_request(upstream, headers):
    with closing(http.client.HTTPConnection("127.0.0.1", port_of(upstream), timeout=10)) as connection:
        connection.putrequest("POST", "/v1/chat/completions")
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        assert answer.status == 413
        answer.read()
    assert [request.path for request in upstream.requests] == ["/v1/chat/completions"]


def test_a_body_that_stops_in_the_middle_is_told_and_aborted(upstream):
    with socket.create_connection(("127.0.0.1", port_of(upstream)), timeout=10) as connection:
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 99\r\n\r\na secret")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
    upstream.wait()
    assert "a secret" in upstream.texts
    assert (upstream.completed, upstream.aborted) == (0, 1)


def test_a_body_whose_sender_vanishes_is_counted_as_a_request(upstream):
    with socket.create_connection(("127.0.0.1", port_of(upstream)), timeout=10) as connection:
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nExpect: 100-continue\r\n")
        connection.sendall(b"Content-Length: 99\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.1 100"
        # Closing resets the connection, instead of ending it in good order.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    upstream.stop()
    assert len(upstream.requests) == upstream.aborted == 1


def test_an_unknown_path_and_another_method_are_refused_and_counted(upstream):
    assert httpx.post(f"{upstream.url}/audio/songs", json={"model": "m"}).status_code == 404
    assert httpx.delete(f"{upstream.url}/files/1").status_code == 404
    assert len(upstream.requests) == 2


def test_a_connection_is_kept_for_the_next_request(upstream):
    body = json.dumps({"model": "m", "messages": HELLO})
    with closing(http.client.HTTPConnection("127.0.0.1", port_of(upstream), timeout=10)) as connection:
        connection.connect()
        first = connection.sock
        for _ in range(3):
            connection.request("POST", "/v1/chat/completions", body)
            assert connection.getresponse().read()
            assert connection.sock is first
    assert len(upstream.requests) == 3


async def test_fifty_concurrent_requests_are_each_remembered_once(upstream):
    upstream.reply = lambda body: body["messages"][0]["content"]
    names = [f"request {number}" for number in range(50)]
    async with openai.AsyncOpenAI(base_url=upstream.url, api_key="none", max_retries=0) as client:

        async def one(name, *, stream):
            messages = [{"role": "user", "content": name}]
            answer = await client.chat.completions.create(model="m", messages=messages, stream=stream)
            if not stream:
                return answer.choices[0].message.content
            async with answer:
                return "".join([chunk.choices[0].delta.content or "" async for chunk in answer])

        answers = await asyncio.gather(*(one(name, stream=len(name) % 2 == 0) for name in names))
    assert answers == names
    assert sorted(one.body["messages"][0]["content"] for one in upstream.requests) == sorted(names)
    assert (upstream.completed, upstream.aborted) == (50, 0)
