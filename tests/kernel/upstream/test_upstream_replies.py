"""The counting provider of `checkrein.testing`: replies, failures, streams that are cut or held."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import openai
import pytest
from asking import HELLO, ask, open_stream

from checkrein.testing import Failure, Upstream


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


def test_threads_share_a_list_of_replies_without_losing_one(upstream):
    upstream.reply = [str(number) for number in range(50)]
    body = {"model": "m", "messages": HELLO}
    with httpx.Client() as client, ThreadPoolExecutor(16) as pool:
        made = pool.map(
            lambda _: client.post(f"{upstream.url}/chat/completions", json=body).json(), range(50)
        )
        texts = [one["choices"][0]["message"]["content"] for one in made]
    assert sorted(texts, key=int) == upstream.reply
