"""The callback handler with text models, tools and retrievers."""

import asyncio

import httpx
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.language_models.llms import LLM
from langchain_core.outputs import GenerationChunk
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import tool
from langchain_openai import OpenAI

from checkrein.testing import StaticEngine, deny, permit
from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyCallbackHandler, PolicyDenied

MODEL = {Stage.MODEL_SELECTION: permit(), Stage.PRE_PROMPT: permit(), Stage.POST_COMPLETION: permit()}
ran = []


@pytest.fixture(autouse=True)
def forget():
    ran.clear()


@tool
def look(who: str, deep: dict | None = None) -> str:
    """Look somebody up."""
    ran.append(who)
    return f"found {who}"


class Shelf(BaseRetriever):
    def _get_relevant_documents(self, query, *, run_manager):
        return [Document("one", metadata={"from": "here"}), Document("two §¤¶")]


def config(point, *others):
    return {"callbacks": [PolicyCallbackHandler(point.pep), *others]}


def in_text_model(lab, use):
    async def go():
        async with httpx.AsyncClient(verify=False, trust_env=False) as client:
            await use(text_model(lab, http_async_client=client))

    asyncio.run(go())


def text_model(lab, **options):
    with httpx.Client(verify=False, trust_env=False) as client:
        return OpenAI(
            model="gpt-3.5-turbo-instruct",
            base_url=lab.upstream.url,
            api_key="none",
            max_retries=0,
            http_client=options.pop("http_client", client),
            **options,
        )


@pytest.fixture
def completion(lab):
    with httpx.Client(verify=False, trust_env=False) as client:
        yield text_model(lab, http_client=client)


# Text models


def test_a_denied_prompt_of_a_text_model_is_never_sent(lab, completion):
    point = lab.govern({Stage.PRE_PROMPT: deny("no")})

    for call in (completion.invoke, lambda text, given: list(completion.stream(text, given))):
        with pytest.raises(PolicyDenied):
            call("hi", config(point))
    with pytest.raises(PolicyDenied):
        completion.batch(["a", "b"], config(point))

    async def use(model):
        with pytest.raises(PolicyDenied):
            await model.ainvoke("hi", config(point))
        with pytest.raises(PolicyDenied):
            [_ async for _ in model.astream("hi", config(point))]

    in_text_model(lab, use)
    assert lab.upstream.requests == []
    document = point.records[0].document
    assert document["context"]["operation"] == "completion"
    assert document["resource"] == {
        "type": "model",
        "id": "gpt-3.5-turbo-instruct",
        "properties": {"provider": "openai"},
    }


def test_an_answer_of_a_text_model_is_judged(lab, completion):
    point = lab.govern({Stage.POST_COMPLETION: deny("no")})

    with pytest.raises(PolicyDenied) as denied:
        completion.invoke("hi", config(point))

    assert denied.value.code == "no"
    assert point.records[-1].document["context"]["completion"]["text"] == "hello there"


def test_a_stream_of_a_text_model_is_denied_before_it_is_sent(lab, completion):
    point, got = lab.govern(), []

    with pytest.raises(PolicyDenied) as denied:
        got.extend(completion.stream("hi", config(point)))

    async def collect(stream):
        async for one in stream:
            got.append(one)  # noqa: PERF401 -- what came before an error counts

    async def use(model):
        with pytest.raises(PolicyDenied):
            await collect(model.astream("hi", config(point)))

    in_text_model(lab, use)
    assert denied.value.code == "stream_not_held"
    assert got == []
    assert lab.upstream.requests == []


class Quiet(LLM):
    """A text model that streams and tells no handler of its tokens."""

    @property
    def _llm_type(self):
        return "quiet"

    def _call(self, prompt, stop=None, run_manager=None, **kwargs):
        return "a secret"

    def _stream(self, prompt, stop=None, run_manager=None, **kwargs):
        yield GenerationChunk(text="a secret")


def test_a_text_model_that_tells_no_handler_of_its_tokens_is_denied_before_it_streams(lab):
    point, got = lab.govern(), []

    with pytest.raises(PolicyDenied):
        got.extend(Quiet().stream("hi", config(point)))

    assert got == []


def test_other_handlers_hear_of_the_start_of_a_text_model_in_async_calls(lab):
    heard = []

    class Hearing(BaseCallbackHandler):
        def on_llm_start(self, serialized, prompts, **kwargs):
            heard.append(prompts)

    point = lab.govern()

    async def use(model):
        await model.ainvoke("hi", config(point, Hearing()))

    in_text_model(lab, use)
    assert heard == [["hi"]]
    assert [one.request.stage for one in point.records] == list(lab.stages)


# Tools


def test_a_denied_tool_does_not_run(lab):
    point = lab.govern(engine=StaticEngine({**MODEL, Stage.TOOL_CALL: deny("no")}))

    with pytest.raises(PolicyDenied):
        look.invoke({"who": "bob"}, config(point))
    with pytest.raises(PolicyDenied):
        asyncio.run(look.ainvoke({"who": "bob"}, config(point)))

    assert ran == []
    document = point.records[0].document
    assert document["resource"] == {"type": "tool", "id": "look", "properties": {}}
    assert document["context"]["tool"] == {"arguments": {"who": "bob"}}


def test_a_caller_cannot_rename_a_tool_or_a_retriever(lab):
    point = lab.govern(engine=StaticEngine({**MODEL, Stage.TOOL_CALL: permit(), Stage.TOOL_RESULT: permit()}))
    claim = {"run_name": "harmless", "metadata": {"ls_retriever_name": "harmless", "name": "harmless"}}

    look.invoke({"who": "bob"}, {**config(point), **claim})
    Shelf().invoke("what?", {**config(point), **claim})

    assert [one.request.resource.id for one in point.records] == ["look", "look", "shelf"]


def test_a_tool_call_carries_its_id_and_every_argument(lab):
    point = lab.govern(engine=StaticEngine({**MODEL, Stage.TOOL_CALL: permit()}))
    call = {
        "type": "tool_call",
        "id": "call_1",
        "name": "look",
        "args": {"who": "bob", "deep": {"a": ["b c"]}},
    }

    look.invoke(call, config(point))

    (record,) = point.records
    assert record.document["context"]["tool"]["arguments"] == {"who": "bob", "deep": {"a": ["b c"]}}
    assert [one.text for one in record.request.segments] == ["bob", "b c"]
    assert ran == ["bob"]


def test_a_denied_tool_result_does_not_reach_the_caller(lab):
    point = lab.govern(engine=StaticEngine({**MODEL, Stage.TOOL_RESULT: deny("no")}))

    with pytest.raises(PolicyDenied):
        look.invoke({"who": "bob"}, config(point))

    assert ran == ["bob"]
    assert point.records[0].document["context"]["result"]["text"] == "found bob"


def test_denied_documents_do_not_reach_the_caller(lab):
    def judge(question):
        return deny("no") if question.document["context"]["findings"] else permit()

    point = lab.govern(engine=StaticEngine({**MODEL, Stage.TOOL_RESULT: judge}))

    with pytest.raises(PolicyDenied):
        Shelf().invoke("what?", config(point))

    (record,) = point.records
    assert record.request.resource.type == "retriever"
    assert {one.origin for one in record.request.segments} == {"retrieved"}
    assert [one.text for one in record.request.segments] == ["one", "here", "two §¤¶"]


def test_tools_run_unasked_where_no_engine_covers_them(lab):
    point = lab.govern(engine=StaticEngine(MODEL))

    assert look.invoke({"who": "bob"}, config(point)) == "found bob"
    assert len(Shelf().invoke("what?", config(point))) == 2
    assert point.records == []


def test_arguments_that_are_no_json_are_judged_by_their_type(lab):
    @tool
    def take(thing: object) -> str:
        """Take anything."""
        return "taken"

    point = lab.govern(engine=StaticEngine({**MODEL, Stage.TOOL_CALL: permit()}))

    assert take.invoke({"thing": object()}, config(point)) == "taken"
    assert point.records[0].document["context"]["tool"]["arguments"] == {"thing": "<object>"}
