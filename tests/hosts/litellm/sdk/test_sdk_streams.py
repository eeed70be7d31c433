"""Streamed answers of governed functions: what may leave when, and what a broken stream gives away."""

from __future__ import annotations

import asyncio
from typing import Any

import litellm
import pytest
from governed_calls import CALLING, REDACT, REDACTED, SSN, WAYS, said, text_of
from sdk_streams import LONG, Read, governed

from checkrein.testing import Failure, Upstream, capture_decisions, deny, obligation, permit
from checkrein_litellm import AnswerWithheldError, CallDenied, PolicyClient

pytestmark = CALLING

WINDOW = {"stream": {"mode": "window"}}


@pytest.fixture
def upstream():
    with Upstream() as server:
        yield server


async def streamed(client: PolicyClient, way: str, upstream: Upstream, **more: Any) -> Read:
    given = {
        "model": "openai/gpt-4o",
        "messages": said("hello"),
        "api_base": upstream.url,
        "api_key": "k",
        "stream": True,
        "max_retries": 0,
        **more,
    }
    return Read(client.completion(**given) if way == "sync" else await client.acompletion(**given), way)


@WAYS
async def test_in_a_window_text_leaves_before_the_end(way, upstream):
    upstream.reply = LONG
    upstream.pause_after(500)
    reader = await streamed(governed(permit(), **WINDOW), way, upstream)
    first = await reader.piece()
    assert LONG.startswith(text_of(first))
    assert upstream.completed == 0
    upstream.resume()
    assert text_of(first) + await reader.text() == LONG


@WAYS
async def test_held_nothing_leaves_before_the_end(way, upstream):
    upstream.reply = LONG
    reader = await streamed(governed(permit()), way, upstream)
    assert await reader.piece() is not None
    upstream.wait()
    assert upstream.completed == 1


@WAYS
@pytest.mark.parametrize("size", [4, 40])
async def test_what_stands_across_pieces_is_taken_out_in_a_window(way, size, upstream):
    upstream.chunk_size = size
    upstream.reply = f"{LONG}it is {SSN} and {LONG}"
    reader = await streamed(governed(REDACT, **WINDOW), way, upstream)
    chunks = await reader.all()
    assert "".join(map(text_of, chunks)) == f"{LONG}it is {REDACTED} and {LONG}"
    whole = litellm.stream_chunk_builder(chunks)
    assert whole.choices[0].message.content == f"{LONG}it is {REDACTED} and {LONG}"
    assert whole.choices[0].finish_reason == "stop"
    assert chunks[-1].choices[0].finish_reason == "stop"


@WAYS
async def test_a_denial_in_a_window_ends_the_stream_before_what_is_denied(way, upstream):
    def answer(request):
        found = request.document["context"]["findings"]
        return deny("leak") if found else permit()

    upstream.reply = f"{LONG}it is {SSN} and {LONG}"
    reader = await streamed(governed(answer, **WINDOW), way, upstream)
    read: list[str] = []

    async def to_the_end():
        while True:
            read.append(text_of(await reader.piece()))

    with pytest.raises(CallDenied):
        await to_the_end()
    assert LONG.startswith("".join(read)[:200])
    assert SSN[:6] not in "".join(read)
    assert await reader.all() == []


@WAYS
async def test_a_denial_after_text_has_left_is_never_told_in_a_reply(way, upstream):
    def answer(request):
        return deny("leak") if request.document["context"]["findings"] else permit()

    upstream.reply = f"{LONG}it is {SSN}"
    reader = await streamed(governed(answer, **WINDOW, denials={"on_denied": "reply"}), way, upstream)
    with pytest.raises(CallDenied):
        await reader.text()


@WAYS
async def test_a_replacement_in_a_window_stands_for_everything(way, upstream):
    upstream.reply = LONG
    reader = await streamed(governed(permit(obligation("replace", text="withheld")), **WINDOW), way, upstream)
    assert await reader.text() == "withheld"


@WAYS
async def test_several_choices_keep_their_texts_in_a_window(way, upstream):
    upstream.reply = {"choices": [f"{LONG}{SSN}", f"second {LONG}"]}
    reader = await streamed(governed(REDACT, **WINDOW), way, upstream, n=2)
    texts = {0: "", 1: ""}
    for chunk in await reader.all():
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == {0: f"{LONG}{REDACTED}", 1: f"second {LONG}"}


@WAYS
async def test_calls_of_tools_wait_for_the_end_of_a_window_and_are_changed(way, upstream):
    call = {"name": "send", "arguments": {"text": f"it is {SSN}"}}
    upstream.reply = {"text": LONG, "tool_calls": [call]}
    reader = await streamed(governed(REDACT, **WINDOW), way, upstream)
    chunks = await reader.all()
    message = litellm.stream_chunk_builder(chunks).choices[0].message
    assert message.content == LONG
    assert message.tool_calls[0].function.name == "send"
    assert message.tool_calls[0].function.arguments == f'{{"text": "it is {REDACTED}"}}'
    assert SSN not in repr(chunks)


@WAYS
@pytest.mark.parametrize("mode", ["hold", "window"])
async def test_monitoring_lets_everything_pass_along_as_it_comes(way, mode, upstream):
    upstream.reply = f"{LONG}{SSN}"
    upstream.pause_after(3)
    client = governed(deny("no"), stream={"mode": mode}, enforcement={"default": "monitor"})
    with capture_decisions(client.pep) as decisions:
        reader = await streamed(client, way, upstream)
        first = [await reader.piece() for _ in range(2)]
        assert upstream.completed == 0
        upstream.resume()
        assert "".join(map(text_of, first)) + await reader.text() == upstream.reply
    assert [one.request.stage.value for one in decisions[2:]] == ["post_completion"]
    assert decisions[-1].document["context"]["completion"]["text"] == upstream.reply


@WAYS
@pytest.mark.parametrize("mode", ["hold", "window"])
async def test_a_stream_over_the_limit_is_denied(way, mode, upstream):
    upstream.reply = LONG
    client = governed(permit(), limits={"text": 2000}, stream={"mode": mode})
    reader = await streamed(client, way, upstream)
    with pytest.raises(CallDenied) as denied:
        await reader.all()
    assert denied.value.code == "limit.text"


@WAYS
async def test_a_broken_stream_gives_nothing_of_itself_away(way, upstream):
    upstream.reply = f"it is {SSN} {LONG}"
    upstream.hang_up_after(8)
    reader = await streamed(governed(deny("no")), way, upstream)
    with pytest.raises(Exception, match=r"^(?!.*123)") as failed:
        await reader.all()
    error: BaseException | None = failed.value
    while error is not None:
        assert SSN[:5] not in repr(vars(error)) + str(error)
        error = error.__cause__ or error.__context__
    assert await reader.all() == []


@WAYS
async def test_an_error_that_quotes_the_answer_is_withheld(way, upstream):
    upstream.reply = "secret" * 300
    upstream.chunk_size = 6
    reader = await streamed(governed(permit()), way, upstream)
    with pytest.raises(AnswerWithheldError) as failed:
        await reader.all()
    assert "secret" not in str(failed.value)
    assert failed.value.__context__ is None


@WAYS
async def test_a_failure_before_the_first_piece_reaches_the_caller(way, upstream):
    upstream.reply = Failure(503)
    with pytest.raises(litellm.ServiceUnavailableError):
        await (await streamed(governed(permit()), way, upstream)).all()


@WAYS
async def test_a_closed_stream_gives_nothing_more(way, upstream):
    upstream.reply = LONG
    reader = await streamed(governed(permit(), **WINDOW), way, upstream)
    await reader.piece()
    await reader.close()
    assert await reader.all() == []
    await reader.close()


@WAYS
async def test_a_whole_answer_of_a_stream_is_judged_as_one(way, upstream):
    upstream.reply = f"it is {SSN}"
    client = governed(REDACT)
    messages = [{"role": "user", "content": "hello"}]
    given = {"model": "openai/gpt-4o", "messages": messages, "api_base": upstream.url, "api_key": "k"}
    given |= {"stream": True, "complete_response": True}
    if way == "sync":
        answer = client.completion(**given)
        assert answer.choices[0].message.content == f"it is {REDACTED}"


async def test_a_stream_is_read_within_a_with(upstream):
    upstream.reply = LONG
    with (await streamed(governed(permit()), "sync", upstream)).stream as stream:
        assert "".join(text_of(chunk) for chunk in stream) == LONG
    async with (await streamed(governed(permit()), "async", upstream)).stream as stream:
        assert "".join([text_of(chunk) async for chunk in stream]) == LONG
    await asyncio.sleep(0)


async def test_the_provider_of_a_denied_stream_is_read_no_further(upstream):
    def answer(request):
        return deny("leak") if request.document["context"]["findings"] else permit()

    upstream.reply = f"{LONG}it is {SSN} and {LONG}{LONG}"
    upstream.pause_after(1200)
    try:
        stream = await governed(answer, **WINDOW).anthropic_messages(
            model="anthropic/claude-sonnet-4-5",
            messages=said("hi"),
            max_tokens=99,
            stream=True,
            api_base=upstream.url.removesuffix("/v1"),
            api_key="k",
        )
        with pytest.raises(CallDenied):
            await asyncio.wait_for(Read(stream, "async").all(), 20)
        upstream.wait()
        assert upstream.aborted == 1
    finally:
        upstream.resume()


@pytest.mark.parametrize("model", ["openai/gpt-4o", "hosted_vllm/m", "anthropic/claude-sonnet-4-5"])
@pytest.mark.parametrize("by", ["a denial", "its reader"])
async def test_a_synchronous_stream_that_ends_early_lets_its_provider_go(upstream, model, by):
    """What only the garbage collector closes can lock up the connections that are in use at that moment."""

    def answer(request):
        return deny("leak") if request.document["context"]["findings"] else permit()

    upstream.reply = f"{LONG}it is {SSN} and {LONG}{LONG}" if by == "a denial" else LONG * 4
    upstream.pause_after(1200)
    address = upstream.url.removesuffix("/v1") if model.startswith("anthropic") else upstream.url
    try:
        reader = await streamed(governed(answer, **WINDOW), "sync", upstream, model=model, api_base=address)
        if by == "a denial":
            with pytest.raises(CallDenied):
                await asyncio.wait_for(reader.all(), 20)
        else:
            await reader.piece()
            await reader.close()
        await asyncio.to_thread(upstream.wait)
        assert upstream.aborted == 1
    finally:
        upstream.resume()
