"""What the tests of the LangChain host share: a counted provider, a counted secret, every way of calling."""

import asyncio
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import LLMResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tracers.base import BaseTracer
from langchain_openai import ChatOpenAI

from checkrein.detection import Detectors, Span
from checkrein.enforcement import EnforcementPoint
from checkrein.settings import Settings
from checkrein.testing import StaticEngine, Upstream, permit
from checkrein.vocabulary import Stage

sys.path.append(str(Path(__file__).parent / "shared"))

# Nothing else has these characters: every one that is seen where it must not be is a leak.
SECRET = "§¤¶§¤¶§¤¶"
STAGES = (Stage.MODEL_SELECTION, Stage.PRE_PROMPT, Stage.POST_COMPLETION)


def pytest_collection_modifyitems(config, items):
    """Leave out of LangChain's suite what it would skip: a guarded model holds an enforcement point.

    So it is neither made from the environment nor serialised.
    """
    gone = [one for one in items if one.name in ("test_init_from_env", "test_serdes")]
    if gone:
        config.hook.pytest_deselected(items=gone)
        items[:] = [one for one in items if one not in gone]


def count_raw(*seen):
    """How many characters of the secret stand in what was seen."""
    return sum(str(one).count(char) for one in seen for char in set(SECRET))


def find_secrets(text):
    return [Span("secret", *hit.span()) for hit in re.finditer("[§¤¶]+", text)]


class _Seen:
    """What a listener was told, as text; of the caller's own input, which chains show, nothing."""

    def __init__(self):
        super().__init__()
        self.told = []
        self.events = []

    def tell(self, event, *args):
        self.events.append(event)
        self.told += map(repr, args)


_EVENTS = (
    "on_chat_model_start",
    "on_llm_start",
    "on_llm_new_token",
    "on_stream_event",
    "on_llm_end",
    "on_llm_error",
    "on_tool_start",
    "on_tool_end",
)


class Listener(_Seen, BaseCallbackHandler):
    """A plain callback handler that keeps what it is told of models."""


class AsyncListener(_Seen, AsyncCallbackHandler):
    """The same, asynchronous."""


def _sync(event):
    def told(self, *args, **kwargs):
        self.tell(event, *args, kwargs)

    return told


def _async(event):
    async def told(self, *args, **kwargs):
        self.tell(event, *args, kwargs)

    return told


for _event in _EVENTS:
    setattr(Listener, _event, _sync(_event))
    setattr(AsyncListener, _event, _async(_event))


class Tracer(_Seen, BaseTracer):
    """A tracer that keeps the runs of models, as LangSmith's would send them."""

    def _persist_run(self, run):
        todo = [run]
        while todo:
            one = todo.pop()
            todo += one.child_runs
            if one.run_type in ("llm", "chat_model"):
                self.tell(
                    one.run_type, one.inputs, one.outputs, one.error, one.events, one.serialized, one.extra
                )


def _chain(model):
    return (
        ChatPromptTemplate.from_messages([("system", "be brief"), ("human", "{text}")])
        | model
        | StrOutputParser()
    )


def messages(text):
    return [HumanMessage(text)]


# Every way of calling: given a model, a text and a config, everything that the caller gets, as it comes.
SYNC_WAYS = {
    "invoke": lambda model, text, config: iter([model.invoke(messages(text), config)]),
    "stream": lambda model, text, config: model.stream(messages(text), config),
    "batch": lambda model, text, config: iter(model.batch([messages(text)], config)),
    "generate": lambda model, text, config: iter(
        [model.generate([messages(text)], callbacks=config["callbacks"])]
    ),
    "transform": lambda model, text, config: model.transform(iter([text]), config),
    "chain": lambda model, text, config: iter([_chain(model).invoke({"text": text}, config)]),
    "chain stream": lambda model, text, config: _chain(model).stream({"text": text}, config),
}


async def _ainvoke(model, text, config):
    yield await model.ainvoke(messages(text), config)


async def _abatch(model, text, config):
    for one in await model.abatch([messages(text)], config):
        yield one


async def _agenerate(model, text, config):
    yield await model.agenerate([messages(text)], callbacks=config["callbacks"])


async def _chain_ainvoke(model, text, config):
    yield await _chain(model).ainvoke({"text": text}, config)


async def _events(runnable, given, config):
    first = True
    async for event in runnable.astream_events(given, config, version="v2"):
        # The first event echoes the caller's own input, and chains do as well.
        if first or event["event"].startswith(("on_prompt", "on_chain")):
            event["data"].pop("input", None)
        first = False
        if not event["event"].startswith("on_prompt"):
            yield event


async def _events_v3(model, text, config):
    stream = await model.astream_events(messages(text), config, version="v3")
    try:
        async for event in stream:
            yield event
        yield await stream.output
    finally:
        # Its callbacks hear of the end after the caller does.
        if stream._producer_task is not None:
            await asyncio.wait([stream._producer_task])


ASYNC_WAYS = {
    "ainvoke": _ainvoke,
    "astream": lambda model, text, config: model.astream(messages(text), config),
    "abatch": _abatch,
    "agenerate": _agenerate,
    "events": lambda model, text, config: _events(model, messages(text), config),
    "events v3": _events_v3,
    "async chain": _chain_ainvoke,
    "async chain stream": lambda model, text, config: _chain(model).astream({"text": text}, config),
    "chain events": lambda model, text, config: _events(_chain(model), {"text": text}, config),
}
WAYS = [*SYNC_WAYS, *ASYNC_WAYS]
STREAMING_WAYS = [way for way in WAYS if "stream" in way or "events" in way or way == "transform"]


def text_of(given):
    """What somebody reads who is given this."""
    if isinstance(given, str):
        return given
    if isinstance(given, BaseMessage):
        return given.text
    if isinstance(given, LLMResult):
        return "".join(one.text for choices in given.generations for one in choices)
    # Events: those of the model itself; chains around it, and its end, say the same again.
    if given["event"] == "on_chat_model_stream":
        return text_of(given["data"]["chunk"])
    return ""


@pytest.fixture(params=WAYS)
def way(request):
    """Every way of calling a model."""
    return request.param


@pytest.fixture(params=[way for way in WAYS if way not in ("generate", "agenerate", "events v3")])
def runnable_way(request):
    """Every way of calling that LangChain's own wrappers have, too."""
    return request.param


@pytest.fixture(params=STREAMING_WAYS)
def streaming_way(request):
    """Every way that gives an answer out in pieces."""
    return request.param


@pytest.fixture(params=STAGES)
def stage(request):
    """Every stage that a guarded model asks at."""
    return request.param


@pytest.fixture(scope="session")
def provider():
    with Upstream() as upstream:
        yield upstream


@pytest.fixture
def upstream(provider):
    provider.wait()
    provider.clear()
    provider.resume()
    provider.reply = "hello there"
    return provider


@pytest.fixture
def chat(upstream):
    """Makes real clients of the provider: `chat("gpt-4o", temperature=0)`."""
    with httpx.Client(verify=False, trust_env=False) as client:

        def make(model="gpt-4o", **options):
            return ChatOpenAI(
                model=model,
                base_url=upstream.url,
                api_key="none",
                max_retries=0,
                http_client=client,
                **options,
            )

        yield make


@pytest.fixture
def govern():
    """Makes an enforcement point that permits everything but what is told, and keeps its records."""
    made = []

    def make(answers=None, *, engine=None, **settings):
        records = []
        engine = engine or StaticEngine(dict.fromkeys(Stage, permit()) | (answers or {}))
        pep = EnforcementPoint(engine, Settings.model_validate(settings), record=records.append)
        pep._concluder.detectors = Detectors(
            dict.fromkeys(Stage, frozenset({"secret"})), dict.fromkeys(Stage, (find_secrets,))
        )
        made.append(pep)
        return SimpleNamespace(pep=pep, records=records, engine=engine)

    yield make
    for pep in made:
        pep.close()


@pytest.fixture
def call(chat):
    """Calls a model in one of the ways: gives what the caller got, what listeners saw, and the error."""

    def drive(way, wrap, text="hello", *, callbacks=(), listen=True):
        listeners = [Listener(), AsyncListener(), Tracer()] if listen else []
        config = {"callbacks": [*callbacks, *listeners]}
        got, error = [], None
        try:
            if way in SYNC_WAYS:
                for one in SYNC_WAYS[way](wrap(chat()), text, config):
                    got.append(one)  # noqa: PERF402 -- what came before an error counts
            else:

                def use(client):
                    return ASYNC_WAYS[way](wrap(chat(http_async_client=client)), text, config)

                asyncio.run(_with_client(use, got))
        except Exception as raised:  # noqa: BLE001 -- what it is, the test says
            error = raised
        return SimpleNamespace(
            got=got,
            text="".join(map(text_of, got)),
            error=error,
            seen=[told for one in listeners for told in one.told],
            events=[event for one in listeners for event in one.events],
        )

    return drive


@pytest.fixture
def lab(upstream, chat, govern, call):
    """All of it at one place, with the secret and the count of its characters."""
    return SimpleNamespace(
        upstream=upstream, chat=chat, govern=govern, call=call, raw=count_raw, secret=SECRET, stages=STAGES
    )


async def _with_client(use, got):
    async with httpx.AsyncClient(verify=False, trust_env=False) as client:
        async for one in use(client):
            got.append(one)
