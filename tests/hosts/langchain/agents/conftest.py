"""What the tests of agents share: a real agent, every way of running it, all that is seen of a run."""

import asyncio
from types import SimpleNamespace

import httpx
import langsmith
import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import ToolMessage
from langchain_core.tools import tool
from langchain_core.tracers.base import BaseTracer
from langgraph.checkpoint.memory import InMemorySaver

from checkrein_langchain import PolicyMiddleware

MODES = ["values", "updates", "messages", "custom", "tasks", "checkpoints", "tools"]
CONFIG = {"configurable": {"thread_id": "1"}}


class Everything(BaseTracer):
    """A tracer that keeps every run, of whatever type, as LangSmith's would send it."""

    def __init__(self):
        super().__init__()
        self.told = []

    def _persist_run(self, run):
        todo = [run]
        while todo:
            one = todo.pop()
            todo += one.child_runs
            self.told.append(repr((one.run_type, one.inputs, one.outputs, one.error, one.events, one.extra)))


class Smith(langsmith.Client):
    """LangSmith's client, keeping by name what it would send."""

    def __init__(self):
        super().__init__(api_url="http://127.0.0.1:9", api_key="none", auto_batch_tracing=False)
        self.told = []

    def create_run(self, *args, **kwargs):
        self.told.append((args[0] if args else kwargs.get("name"), repr((args, kwargs))))

    def update_run(self, *args, **kwargs):
        self.told.append((kwargs.get("name"), repr((args, kwargs))))


class Hears(BaseCallbackHandler):
    """A callback handler that keeps what it is told of tools."""

    def __init__(self):
        self.told = []

    def on_tool_start(self, *args, **kwargs):
        self.told.append(repr((args, kwargs)))

    def on_tool_end(self, *args, **kwargs):
        self.told.append(repr((args, kwargs)))

    def on_tool_error(self, *args, **kwargs):
        self.told.append(repr((args, kwargs)))


def _stream(graph, given, config):
    yield from graph.stream(given, config, stream_mode=MODES)


async def _ainvoke(graph, given, config):
    yield await graph.ainvoke(given, config)


async def _astream(graph, given, config):
    async for one in graph.astream(given, config, stream_mode=MODES):
        yield one


async def _events(graph, given, config):
    async for one in graph.astream_events(given, config, version="v2"):
        yield one


async def _events_v3(graph, given, config):
    stream = await graph.astream_events(given, config, version="v3")
    async for one in stream:
        yield one


SYNC = {"invoke": lambda graph, given, config: iter([graph.invoke(given, config)]), "stream": _stream}
ASYNC = {"ainvoke": _ainvoke, "astream": _astream, "events": _events, "events v3": _events_v3}


@pytest.fixture(params=[*SYNC, *ASYNC])
def run_way(request):
    """Every way of running an agent."""
    return request.param


@pytest.fixture(params=["invoke", "ainvoke"])
def mode(request):
    """Blocking and awaited."""
    return request.param


def kept(saver):
    """All that a checkpointer holds, as text."""
    stored = [repr(one) for one in saver.list(None)]
    return [*stored, repr([*saver.blobs.values()]), repr([*saver.writes.values()])]


def said(message="", **call):
    """A reply of the provider that calls a tool."""
    return {"text": message, "tool_calls": [call]}


@pytest.fixture
def office(lab):
    """An agent with its provider: `office.run(way, point, tools=[...])` gives all that is seen of a run."""
    saver = InMemorySaver()

    def run(  # noqa: PLR0913 -- the parts of a run, named by the test
        way, point, text="hello", *, tools=(), around=(), after=(), given=None, config=None, **options
    ):
        tracer, hears = Everything(), Hears()
        known = {**CONFIG, **(config or {}), "callbacks": [tracer, hears]}
        known["configurable"] = {**CONFIG["configurable"], **(config or {}).get("configurable", {})}
        got, error = [], None
        source = given if given is not None else {"messages": [("user", text)]}
        options.setdefault("checkpointer", saver)

        def build(model):
            middleware = [*around, PolicyMiddleware(point.pep, **options.pop("policy", {})), *after]
            return create_agent(model, [*tools], middleware=middleware, **options)

        async def use():
            async with httpx.AsyncClient(verify=False, trust_env=False) as client:
                async for one in ASYNC[way](build(lab.chat(http_async_client=client)), source, known):
                    got.append(one)  # noqa: PERF401 -- what came before an error counts

        try:
            if way in SYNC:
                for one in SYNC[way](build(lab.chat()), source, known):
                    got.append(one)  # noqa: PERF402 -- what came before an error counts
            else:
                asyncio.run(use())
        except Exception as raised:  # noqa: BLE001 -- what it is, the test says
            error = raised
        state = create_agent(
            lab.chat(), [*tools], middleware=[PolicyMiddleware(point.pep)], checkpointer=saver
        )
        values = state.get_state(CONFIG).values if options["checkpointer"] is saver else {}
        lab.upstream.wait()
        return SimpleNamespace(
            got=got,
            error=error,
            seen=[*map(repr, got), *tracer.told, *hears.told, *kept(saver)],
            messages=values.get("messages", []),
            decisions=values.get("policy_decisions", []),
            results=[one for one in values.get("messages", []) if isinstance(one, ToolMessage)],
        )

    def calls(**arguments):
        """Let the provider call the tool, then say that it is done."""
        call = {"id": "call_1", "name": "look", "arguments": arguments or {"who": "bob"}}
        lab.upstream.reply = [{"tool_calls": [call]}, "done"]

    return SimpleNamespace(
        run=run, calls=calls, saver=saver, said=said, kept=kept, lab=lab, upstream=lab.upstream
    )


@pytest.fixture
def smith():
    """LangSmith's tracing, switched on."""
    client = Smith()
    with langsmith.tracing_context(enabled=True, client=client):
        yield client


@pytest.fixture
def desk():
    """A tool that counts: what it was called with, and what it gives back next."""
    wanted = SimpleNamespace(calls=[], answer="found it", error=None)

    @tool
    def look(who: str, where: str = "here") -> object:
        """Look somebody up."""
        wanted.calls.append((who, where))
        if wanted.error is not None:
            raise wanted.error
        return wanted.answer

    wanted.tool = look
    return wanted
