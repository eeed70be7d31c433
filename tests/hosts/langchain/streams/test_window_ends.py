"""How a stream in a window ends: denied in its middle, replied to, broken off, abandoned, cancelled."""

import asyncio
import gc
import traceback
from contextlib import aclosing

import httpx
import pytest
from foreign_model import look
from langchain.agents import create_agent
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.messages import AIMessageChunk, HumanMessage
from langchain_core.output_parsers import StrOutputParser

from checkrein.testing import deny, permit
from checkrein.vocabulary import Stage
from checkrein_langchain import AnswerWithheldError, PolicyDenied, guard

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")

LEADING = "word " * 80


def no_secrets(question):
    return deny("secret") if question.document["context"].get("findings") else permit()


def at_the_end(question):
    return permit() if question.document["context"]["partial"] else deny("late")


def given(done):
    """The text that a caller was given; in LangChain's third kind of events it is in deltas."""
    deltas = [one["delta"].get("text", "") for one in done.got if isinstance(one, dict) and "delta" in one]
    return done.text or "".join(deltas)


def until_error(model):
    """What a stream gives out before it fails, and why it does."""
    got = []
    try:
        for chunk in model.stream("hi"):
            got.append(chunk)  # noqa: PERF402 -- what came before the error counts
    except Exception as error:  # noqa: BLE001 -- what it is, the test says
        return got, error
    return got, None


def test_a_denial_in_the_middle_ends_the_stream_and_the_connection(lab, window, streaming_way):
    lab.upstream.reply = f"{LEADING}{lab.secret}{' tail' * 80}"
    # So much is sent that the finding is to leave; the rest never comes unless somebody goes on reading.
    lab.upstream.pause_after(120)
    point = window({Stage.POST_COMPLETION: no_secrets})

    done = lab.call(streaming_way, lambda model: guard(model, point.pep))
    lab.upstream.wait()

    assert isinstance(done.error, PolicyDenied)
    assert done.error.code == "secret"
    assert done.error.decision is point.records[-1]
    assert lab.raw(repr(done.got), *done.seen, *traceback.format_exception(done.error)) == 0
    assert "tail" not in "".join([*map(repr, done.got), *done.seen])
    assert lab.upstream.aborted == 1
    assert "word" in given(done)
    assert LEADING.startswith(given(done))
    assert [one.permitted for one in point.records] == [True, True, True, False]


def test_a_denial_before_anything_has_left_gives_nothing_out(lab, window, streaming_way):
    lab.upstream.reply = f"{lab.secret}{LEADING}"
    lab.upstream.pause_after(60)
    point = window({Stage.POST_COMPLETION: no_secrets})

    done = lab.call(streaming_way, lambda model: guard(model, point.pep))
    lab.upstream.wait()

    assert done.error.code == "secret"
    assert "word" not in "".join([*map(repr, done.got), *done.seen])
    assert lab.upstream.aborted == 1


def test_a_denial_of_what_was_held_keeps_all_of_it(lab, window):
    lab.upstream.reply = {
        "text": LEADING,
        "tool_calls": [{"name": "look", "arguments": {"who": f"me {lab.secret}"}}],
    }
    point = window({Stage.POST_COMPLETION: no_secrets})

    got, error = until_error(guard(lab.chat(), point.pep).bind_tools([look]))

    assert isinstance(error, PolicyDenied)
    assert "word" in "".join(one.text for one in got)
    assert not any(one.tool_call_chunks or one.tool_calls or one.invalid_tool_calls for one in got)
    assert "look" not in repr(got)


def test_nothing_of_a_denied_stream_is_cached(lab, window):
    lab.upstream.reply = f"{LEADING}{lab.secret}"
    kept = InMemoryCache()
    set_llm_cache(kept)
    try:
        got, _ = until_error(guard(lab.chat(), window({Stage.POST_COMPLETION: no_secrets}).pep))
    finally:
        set_llm_cache(None)

    assert got
    assert kept._cache == {}


@pytest.mark.parametrize("mode", ["stream", "astream", "events"])
def test_a_denial_is_replied_to_while_nothing_has_left(lab, window, mode):
    lab.upstream.reply = f"{lab.secret}{LEADING}"
    lab.upstream.pause_after(60)
    point = window({Stage.POST_COMPLETION: no_secrets}, denials={"on_denied": "reply"})

    done = lab.call(mode, lambda model: guard(model, point.pep))
    lab.upstream.wait()

    assert done.error is None
    assert done.text.startswith("denied by policy: secret")
    assert "word" not in "".join([*map(repr, done.got), *done.seen])
    # The rest of the answer is not waited for.
    assert lab.upstream.aborted == 1


def test_a_denial_is_raised_where_settings_want_a_reply_and_text_has_left(lab, window, streaming_way):
    lab.upstream.reply = f"{LEADING}{lab.secret}"
    point = window({Stage.POST_COMPLETION: at_the_end}, denials={"on_denied": "reply"})

    done = lab.call(streaming_way, lambda model: guard(model, point.pep))

    assert isinstance(done.error, PolicyDenied)
    assert given(done)
    assert LEADING.startswith(given(done))
    assert "denied" not in given(done)


def test_a_tool_call_that_has_begun_is_not_replied_to(told, window):
    call = {"name": "look", "args": '{"who": "§', "id": "call_1", "index": 0, "type": "tool_call_chunk"}
    point = window({Stage.POST_COMPLETION: no_secrets}, denials={"on_denied": "reply"})
    model = told(AIMessageChunk("", tool_call_chunks=[call]), AIMessageChunk(f"§{LEADING}"))

    with pytest.raises(PolicyDenied):
        list(guard(model, point.pep).stream("hi"))


def test_an_error_of_the_model_drops_what_was_held(told, window, redacting):
    broken = ValueError("could not read §¤¶")
    model = told(AIMessageChunk(LEADING), AIMessageChunk("the end"), broken, AIMessageChunk("never"))

    got, error = until_error(guard(model, redacting.pep))

    assert isinstance(error, AnswerWithheldError)
    assert "§" not in "".join(traceback.format_exception(error))
    assert LEADING.startswith("".join(one.text for one in got))
    assert got


def test_chunks_that_do_not_fit_together_are_an_error_that_quotes_nothing(told, window, redacting):
    wrong = [AIMessageChunk("", additional_kwargs={"k": one}) for one in (["§"], "§")]
    model = told(AIMessageChunk(LEADING), *wrong)

    with pytest.raises(TypeError) as raised:
        list(guard(model, redacting.pep).stream("hi"))

    assert "§" not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize("held", ["text", "arguments"])
def test_an_answer_over_the_limit_is_given_up(lab, window, held):
    long = "word " * 2000
    lab.upstream.reply = long if held == "text" else {"name": "look", "arguments": {"who": long}}
    lab.upstream.pause_after(150)
    point = window(limits={"text": 400})

    got, denied = until_error(guard(lab.chat(), point.pep).bind_tools([look]))
    lab.upstream.wait()

    assert denied.code == "limit.text"
    assert len("".join(one.text for one in got)) <= 400
    assert lab.upstream.aborted == 1


def test_an_answer_over_the_limit_passes_where_only_that_is_monitored(lab, window):
    lab.upstream.reply = {"name": "look", "arguments": {"who": "w" * 2000}}
    point = window(limits={"text": 400}, enforcement={"rules": [{"reasons": ["limit.*"], "mode": "monitor"}]})

    chunks = list(guard(lab.chat(), point.pep).bind_tools([look]).stream("hi"))

    assert chunks[-1].tool_calls[0]["args"] == {"who": "w" * 2000}
    assert [one.permitted for one in point.records][:3] == [True, True, False]


def test_a_stream_that_is_closed_closes_the_connection(lab, redacting):
    lab.upstream.reply = LEADING * 3
    lab.upstream.pause_after(60)
    model = guard(lab.chat(), redacting.pep)

    stream = model.stream("hi")
    next(stream)
    stream.close()
    lab.upstream.wait()

    assert lab.upstream.aborted == 1


def test_a_reply_is_given_when_the_connection_is_closed(lab, window):
    lab.upstream.reply = f"{lab.secret}{LEADING}"
    lab.upstream.pause_after(60)
    point = window({Stage.POST_COMPLETION: no_secrets}, denials={"on_denied": "reply"})

    stream = guard(lab.chat(), point.pep).stream("hi")
    first = next(stream)
    lab.upstream.wait()

    assert first.text.startswith("denied by policy: secret")
    assert lab.upstream.aborted == 1
    stream.close()


def test_whoever_ends_a_stream_closes_the_models_own_at_once(told, redacting):
    model = told(*[AIMessageChunk("word ") for _ in range(80)])

    stream = guard(model, redacting.pep).stream("hi")
    next(stream)
    stream.close()

    assert model.streams[0].gi_frame is None


async def test_whoever_ends_an_asynchronous_stream_closes_the_models_own_at_once(told, redacting):
    model = told(*[AIMessageChunk("word ") for _ in range(80)])
    governed = guard(model, redacting.pep)

    await _break_off(governed.astream("hi"))
    await _break_off(governed._astream([HumanMessage("hi")]))

    assert [one.ag_frame for one in model.streams] == [None, None]


async def test_a_denied_stream_closes_the_models_own_before_the_caller_hears_of_it(told, window):
    point = window({Stage.POST_COMPLETION: no_secrets})
    model = told(*[AIMessageChunk(one) for one in ("§¤¶", *["word "] * 80)])

    with pytest.raises(PolicyDenied):
        async for _ in guard(model, point.pep)._astream([HumanMessage("hi")]):
            pass

    assert model.streams[0].ag_frame is None


def in_a_loop(lab, pep, use):
    """Runs something with a guarded model on a loop of its own, and shows that nothing is left of it."""

    async def main():
        async with httpx.AsyncClient(verify=False, trust_env=False) as client:
            # With a timeout the client uses `asyncio.wait_for`: in Python 3.11 it can swallow a cancellation.
            await use(guard(lab.chat(http_async_client=client, stream_chunk_timeout=None), pep))
            # The garbage collector closes what LangChain leaves; the loop has to have a turn for that.
            gc.collect()
            for _ in range(100):
                await asyncio.sleep(0)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            await asyncio.to_thread(lab.upstream.wait)
        return left

    return asyncio.run(main())


async def _break_off(stream):
    async with aclosing(stream):
        async for _ in stream:
            break


async def _leave_events(model):
    async with aclosing(model.astream_events("hi", version="v2")) as events:
        async for event in events:
            if event["event"] == "on_chat_model_stream":
                break


async def _leave_agent(model):
    stream = create_agent(model).astream({"messages": [HumanMessage("hi")]}, stream_mode="messages")
    await _break_off(stream)


ABANDONED = {
    "astream": lambda model: _break_off(model.astream("hi")),
    "chain": lambda model: _break_off((model | StrOutputParser()).astream("hi")),
    "events": _leave_events,
    "agent": _leave_agent,
}


@pytest.mark.parametrize("way", ABANDONED)
def test_an_abandoned_asynchronous_stream_leaves_nothing_behind(lab, redacting, way):
    lab.upstream.reply = LEADING * 3
    lab.upstream.pause_after(60)

    left = in_a_loop(lab, redacting.pep, ABANDONED[way])

    assert left == set()
    assert lab.upstream.aborted == 1


@pytest.mark.parametrize("way", ["astream", "chain", "events", "agent"])
def test_a_cancelled_stream_passes_the_cancellation_on(lab, redacting, way):
    lab.upstream.reply = LEADING * 3
    lab.upstream.pause_after(60)
    came = []

    async def read(model, reading):
        given = {"messages": [HumanMessage("hi")]}
        stream = {
            "astream": lambda: model.astream("hi"),
            "chain": lambda: (model | StrOutputParser()).astream("hi"),
            "events": lambda: model.astream_events("hi", version="v2"),
            "agent": lambda: create_agent(model).astream(given, stream_mode="messages"),
        }[way]()
        async for one in stream:
            came.append(one)
            if way != "events" or one["event"] == "on_chat_model_stream":
                reading.set()

    async def use(model):
        reading = asyncio.Event()
        task = asyncio.create_task(read(model, reading))
        await reading.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    left = in_a_loop(lab, redacting.pep, use)

    assert came
    assert left == set()
    assert lab.upstream.aborted == 1
