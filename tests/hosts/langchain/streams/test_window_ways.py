"""In a window, every way of streaming gives out what a whole answer would be, before the model has ended."""

import asyncio

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langgraph.graph import END, START, MessagesState, StateGraph
from pydantic import BaseModel
from verdicts import REDACT

from checkrein.testing import deny
from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyRouter, guard

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")

# So much of a paused answer has been written that some of it can leave.
ENOUGH = 60


def long_answer(secret):
    return f"{'word ' * 80}{secret}{' tail' * 80}"


class Key(BaseModel):
    """A key."""

    key: str


def test_every_way_gives_out_the_redacted_whole(lab, redacting, streaming_way):
    lab.upstream.reply = long_answer(lab.secret)

    done = lab.call(streaming_way, lambda model: guard(model, redacting.pep))

    assert done.error is None
    assert lab.raw(*map(repr, done.got), *done.seen) == 0
    assert long_answer("[REDACTED:secret]") in done.text
    assert long_answer("[REDACTED:secret]") in "".join(done.seen)
    told = [one for one in redacting.records if one.request.stage is Stage.POST_COMPLETION]
    assert [one.document["context"]["partial"] for one in told] == [True, True, False]


def test_text_leaves_in_every_way_before_the_model_has_ended(lab, redacting, streaming_way, on_first):
    lab.upstream.reply = long_answer(lab.secret)
    lab.upstream.pause_after(ENOUGH)
    ended = []

    def go_on():
        ended.append(lab.upstream.completed)
        lab.upstream.resume()

    first = on_first(go_on)
    done = lab.call(streaming_way, lambda model: guard(model, redacting.pep), callbacks=[first], listen=False)

    assert done.error is None
    assert ended == [0]
    assert long_answer("").startswith(first.heard[0])
    assert long_answer("[REDACTED:secret]") in done.text


def test_events_of_a_blocking_stream_leave_before_the_model_has_ended(lab, redacting):
    lab.upstream.reply = long_answer(lab.secret)
    lab.upstream.pause_after(ENOUGH)
    said, ended = "", []

    for event in guard(lab.chat(), redacting.pep).stream_events("hi", version="v3"):
        if event["event"] == "content-block-delta":
            ended.append(lab.upstream.completed)
            lab.upstream.resume()
            said += event["delta"]["text"]

    assert ended[0] == 0
    assert said == long_answer("[REDACTED:secret]")


def test_what_nobody_may_block_leaves_at_once_and_unchanged(lab, window):
    lab.upstream.reply = long_answer(lab.secret)
    lab.upstream.pause_after(3)
    point = window({Stage.POST_COMPLETION: deny("no")}, enforcement={"default": "monitor"})

    stream = guard(lab.chat(), point.pep).stream("hi")
    first = next(stream)
    second = next(stream)
    assert lab.upstream.completed == 0
    lab.upstream.resume()
    chunks = [first, second, *stream]
    bare = list(lab.chat().stream("hi"))

    assert [one.content for one in chunks] == [one.content for one in bare]
    assert [one.permitted for one in point.records] == [True, True, False]
    assert not point.records[-1].enforced
    assert point.records[-1].request.segments[0].text == long_answer(lab.secret)


def test_detectors_without_a_bound_hold_the_stream(lab, window):
    lab.upstream.reply = long_answer(lab.secret)
    point = window({Stage.POST_COMPLETION: REDACT}, longest=None)

    chunks = list(guard(lab.chat(), point.pep).stream("hi"))

    assert [one.text for one in chunks if one.text] == [long_answer("[REDACTED:secret]")]


def test_a_model_that_does_not_stream_answers_whole(lab, redacting):
    lab.upstream.reply = long_answer(lab.secret)

    (message,) = guard(lab.chat(disable_streaming=True), redacting.pep).stream("hi")

    assert message.content == long_answer("[REDACTED:secret]")
    assert [one.body.get("stream") for one in lab.upstream.requests] in ([None], [False])


def test_a_model_that_does_not_stream_beside_tools_answers_whole(lab, redacting):
    def look(who: str) -> str:
        """Look somebody up."""
        return who

    lab.upstream.reply = {"name": "look", "arguments": {"who": lab.secret}}
    model = guard(lab.chat(disable_streaming="tool_calling"), redacting.pep).bind_tools([look])

    (message,) = model.stream("hi")

    assert message.tool_calls[0]["args"] == {"who": "[REDACTED:secret]"}


def test_structured_output_grows_as_it_streams(lab, redacting):
    lab.upstream.reply = Key(key=long_answer(lab.secret)).model_dump_json()
    model = guard(lab.chat(), redacting.pep)

    for method in ("json_schema", "function_calling", "json_mode"):
        if method == "function_calling":
            lab.upstream.reply = {"name": "Key", "arguments": {"key": long_answer(lab.secret)}}
        *_, last = model.with_structured_output(Key, method=method).stream("json, please")
        assert last == Key(key=long_answer("[REDACTED:secret]")), method
        lab.upstream.reply = Key(key=long_answer(lab.secret)).model_dump_json()

    schema = {"title": "Key", "type": "object", "properties": {"key": {"type": "string"}}}
    grown = list(model.with_structured_output(schema, method="json_mode").stream("json, please"))
    assert len(grown) > 5
    assert lab.raw(repr(grown)) == 0
    assert grown[-1] == {"key": long_answer("[REDACTED:secret]")}


def test_a_parser_hands_on_what_leaves(lab, redacting):
    lab.upstream.reply = long_answer(lab.secret)

    parts = list((guard(lab.chat(), redacting.pep) | StrOutputParser()).stream("hi"))

    assert len(parts) > 5
    assert "".join(parts) == long_answer("[REDACTED:secret]")


def test_a_router_streams_in_a_window_as_well(lab, redacting):
    lab.upstream.reply = long_answer(lab.secret)
    router = PolicyRouter(models={"big": lab.chat(), "small": lab.chat("gpt-4o-mini")}, pep=redacting.pep)

    parts = [one.text for one in router.stream("hi")]

    assert len(parts) > 5
    assert "".join(parts) == long_answer("[REDACTED:secret]")


def node_graph(model):
    def node(state):
        return {"messages": [model.invoke(state["messages"])]}

    inner = StateGraph(MessagesState).add_node("call", node).add_edge(START, "call").add_edge("call", END)
    outer = StateGraph(MessagesState).add_node("inner", inner.compile())
    return outer.add_edge(START, "inner").add_edge("inner", END).compile()


@pytest.mark.parametrize("make", [node_graph, create_agent], ids=["graph", "agent"])
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_graphs_and_agents_stream_messages_as_they_leave(lab, redacting, make, mode):
    lab.upstream.reply = long_answer(lab.secret)
    given = {"messages": [HumanMessage("hi")]}
    how = {"stream_mode": ["messages", "values"], "subgraphs": True}

    async def collect():
        import httpx  # noqa: PLC0415 -- a client of this loop

        async with httpx.AsyncClient(verify=False, trust_env=False) as client:
            graph = make(guard(lab.chat(http_async_client=client), redacting.pep))
            return [one async for one in graph.astream(given, **how)]

    if mode == "sync":
        got = list(make(guard(lab.chat(), redacting.pep)).stream(given, **how))
    else:
        got = asyncio.run(collect())

    said = [data[0].text for _, kind, data in got if kind == "messages"]
    assert lab.raw(repr(got)) == 0
    assert len(said) > 5
    assert "".join(said) == long_answer("[REDACTED:secret]")
    last = [data for _, kind, data in got if kind == "values"][-1]
    assert last["messages"][-1].text == long_answer("[REDACTED:secret]")
