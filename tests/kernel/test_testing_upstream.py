"""The test upstream as a server: what it remembers, counts, cuts, holds and gives back."""

import asyncio
import http.client
import json
import socket
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import httpx
import openai
import pytest

from checkrein.testing import Failure, Upstream

HELLO = [{"role": "user", "content": "hello"}]


def ask(upstream, content="hello", **options):
    with openai.OpenAI(base_url=upstream.url, api_key="none", max_retries=0) as client:
        messages = [{"role": "user", "content": content}]
        answer = client.chat.completions.create(model="m", messages=messages, **options)
        return answer.choices[0].message.content


def open_stream(upstream, stack):
    client = stack.enter_context(openai.OpenAI(base_url=upstream.url, api_key="none", max_retries=0))
    return stack.enter_context(client.chat.completions.create(model="m", messages=HELLO, stream=True))


def port_of(upstream):
    return httpx.URL(upstream.url).port


ELSEWHERE = set()


@pytest.fixture(autouse=True)
def upstreams_elsewhere():
    """Other test files may keep an upstream for as long as they run."""
    ELSEWHERE.clear()
    ELSEWHERE.update(threads_of_upstreams())


def threads_of_upstreams():
    running = [thread for thread in threading.enumerate() if thread.name.startswith("upstream")]
    return [thread for thread in running if thread not in ELSEWHERE]


@pytest.fixture
def upstream(upstreams_elsewhere):
    with Upstream("a reply that is long enough") as running:
        yield running
    assert threads_of_upstreams() == []


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


def test_replies_of_a_list_come_in_order_and_the_last_repeats(upstream):
    upstream.reply = ["one", Failure(503), lambda body: body["messages"][0]["content"].upper()]
    assert ask(upstream) == "one"
    with pytest.raises(openai.InternalServerError):
        ask(upstream)
    assert [ask(upstream, "x"), ask(upstream, "y")] == ["X", "Y"]
    upstream.reply = ["again", "other"]
    assert ask(upstream) == "again"


def test_a_reply_function_cannot_change_what_is_remembered(upstream):
    upstream.reply = lambda body: body["messages"].clear() or "done"
    assert ask(upstream) == "done"
    assert upstream.requests[0].body["messages"] == HELLO


@pytest.mark.parametrize(
    "reply",
    [None, 7, [], [None], {}, {"txt": "x"}, {"text": 7}, {"choices": []}, {"name": "x", "args": {}}, b"x"],
)
def test_what_is_no_reply_is_an_error_at_once(reply):
    with pytest.raises(TypeError, match=r"reply|tool call"):
        Upstream(reply)


def test_a_chunk_has_at_least_one_character():
    with pytest.raises(ValueError, match="chunk_size"):
        Upstream(chunk_size=0)


@pytest.mark.parametrize(
    ("reply", "error"), [(lambda _: 1 / 0, ZeroDivisionError), (lambda _: None, TypeError)]
)
def test_an_error_in_a_reply_function_is_raised_where_the_with_ends(reply, error):
    upstream = Upstream(reply).__enter__()
    with pytest.raises(openai.BadRequestError, match=error.__name__):
        ask(upstream)
    with pytest.raises(error):
        upstream.__exit__(None, None, None)
    with upstream:
        pass


def test_an_error_in_a_reply_function_is_noted_on_the_exception_that_it_caused():
    with pytest.raises(openai.BadRequestError) as caught, Upstream(lambda _: 1 / 0) as upstream:
        ask(upstream)
    assert "ZeroDivisionError('division by zero')" in caught.value.__notes__[0]


@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
def test_a_failure_is_what_the_client_makes_of_its_status(upstream, status):
    upstream.fail(status)
    with pytest.raises(openai.APIStatusError) as caught:
        ask(upstream)
    assert caught.value.status_code == status
    upstream.reply = "well again"
    assert ask(upstream) == "well again"


def test_a_failure_can_have_its_own_body_and_headers(upstream):
    upstream.reply = Failure(429, {"error": {"message": "slow down"}}, {"Retry-After": "7"})
    with pytest.raises(openai.RateLimitError, match="slow down") as caught:
        ask(upstream)
    assert caught.value.response.headers["retry-after"] == "7"


def test_a_client_that_retries_is_counted_each_time(upstream):
    upstream.reply = [Failure(500, headers={"retry-after-ms": "1"}), "second try"]
    with openai.OpenAI(base_url=upstream.url, api_key="none", max_retries=1) as client:
        answer = client.chat.completions.create(model="m", messages=HELLO)
    assert answer.choices[0].message.content == "second try"
    assert len(upstream.requests) == 2


def test_a_stream_is_cut_after_the_told_number_of_events(upstream):
    upstream.hang_up_after(3)
    seen = []
    with ExitStack() as stack, pytest.raises(httpx.RemoteProtocolError):
        seen.extend(chunk.choices[0].delta.content for chunk in open_stream(upstream, stack))
    assert (upstream.chunks, upstream.completed, upstream.aborted) == (3, 0, 0)
    upstream.hang_up_after(None)
    assert ask(upstream) == upstream.reply


def test_a_stream_can_be_cut_between_its_last_event_and_its_end(upstream):
    upstream.reply = ""
    upstream.hang_up_after(2)
    with ExitStack() as stack, pytest.raises(httpx.RemoteProtocolError):
        list(open_stream(upstream, stack))
    upstream.hang_up_after(3)
    with ExitStack() as stack:
        assert len(list(open_stream(upstream, stack))) == 2


def test_an_answer_that_is_no_stream_is_cut_in_the_middle(upstream):
    upstream.hang_up_after(0)
    with pytest.raises(openai.APIConnectionError):
        ask(upstream)
    assert upstream.completed == 0
    assert len(upstream.requests) == 1


def test_a_held_stream_has_come_this_far_and_goes_on_when_told(upstream):
    upstream.pause_after(2)
    with ExitStack() as stack:
        stream = open_stream(upstream, stack)
        assert next(stream).choices[0].delta.role == "assistant"
        assert next(stream).choices[0].delta.content == "a rep"
        assert (upstream.chunks, upstream.completed) == (2, 0)
        upstream.resume()
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == upstream.reply[5:]
    assert (upstream.completed, upstream.aborted) == (1, 0)


def test_a_client_that_leaves_a_held_stream_is_counted(upstream):
    upstream.pause_after(2)
    with ExitStack() as stack:
        next(open_stream(upstream, stack))
    upstream.wait()
    assert (upstream.chunks, upstream.completed, upstream.aborted) == (2, 0, 1)


def test_waiting_gives_up_on_a_held_stream(upstream):
    upstream.pause_after(0)
    with ExitStack() as stack:
        open_stream(upstream, stack)
        with pytest.raises(TimeoutError, match="1 requests"):
            upstream.wait(timeout=0.01)


def test_a_held_stream_is_given_up_after_the_timeout(upstream):
    # Shortened once the request is there: a slow machine must not lose the request itself.
    upstream.reply = lambda _: setattr(upstream._server, "silence", 0.01) or "held"
    upstream.pause_after(1)
    with ExitStack() as stack, pytest.raises(httpx.RemoteProtocolError):
        list(open_stream(upstream, stack))
    assert upstream.aborted == 1


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


def test_threads_share_a_list_of_replies_without_losing_one(upstream):
    upstream.reply = [str(number) for number in range(50)]
    body = {"model": "m", "messages": HELLO}
    with httpx.Client() as client, ThreadPoolExecutor(16) as pool:
        made = pool.map(
            lambda _: client.post(f"{upstream.url}/chat/completions", json=body).json(), range(50)
        )
        texts = [one["choices"][0]["message"]["content"] for one in made]
    assert sorted(texts, key=int) == upstream.reply


def test_stopping_frees_the_port_ends_every_thread_and_may_be_repeated():
    upstream = Upstream().start()
    with httpx.Client() as client:
        assert client.get(f"{upstream.url}/models").status_code == 200
        upstream.stop()
        upstream.stop()
        assert threads_of_upstreams() == []
        with pytest.raises(httpx.TransportError):
            client.get(f"{upstream.url}/models")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port_of(upstream)), timeout=10)


def test_stopping_cuts_held_streams_and_silent_connections():
    with ExitStack() as stack:
        upstream = Upstream().start()
        upstream.pause_after(1)
        for _ in range(10):
            stack.enter_context(socket.create_connection(("127.0.0.1", port_of(upstream)), timeout=10))
            open_stream(upstream, stack)
        upstream.stop()
        assert threads_of_upstreams() == []
        assert upstream.aborted == 10


def test_a_stopped_upstream_starts_again_and_keeps_its_requests():
    upstream = Upstream()
    with pytest.raises(RuntimeError, match="not started"):
        _ = upstream.url
    for _ in range(3):
        with upstream as running, running.start() as same:
            assert same is upstream
            ask(upstream)
    assert len(upstream.requests) == 3


def test_a_reply_function_may_stop_its_own_upstream():
    upstream = Upstream()
    upstream.reply = lambda _: upstream.stop() or "gone"
    with upstream, pytest.raises(openai.APIConnectionError):
        ask(upstream)
