"""A guarded retriever: its query and each of its documents are judged, and nobody hears of the others."""

import asyncio

import langsmith
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.language_models import FakeListChatModel
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import create_retriever_tool
from langchain_core.tracers.context import tracing_v2_callback_var
from langchain_core.vectorstores import InMemoryVectorStore
from tracers import Everything
from verdicts import REDACT

from checkrein import Entity, acting_as
from checkrein.errors import SettingsError
from checkrein.testing import FailingEngine, StaticEngine, deny, not_applicable, obligation, permit
from checkrein.vocabulary import Stage
from checkrein_langchain import GuardedRetriever, PolicyCallbackHandler, PolicyDenied, as_subject, guard_tool

asked = []


@pytest.fixture(autouse=True)
def forget():
    asked.clear()


class Shelf(BaseRetriever):
    """Has three documents, of which one is nobody's business."""

    secret: str

    def _get_relevant_documents(self, query, *, run_manager):
        asked.append(query)
        return [
            Document("one", metadata={"from": "here", "page": 1}),
            Document(f"two {self.secret}", metadata={"from": self.secret, "tags": ["a"]}, id="2"),
            Document("three"),
        ]


class Searching(BaseRetriever):
    """Asks another retriever, as those that rewrite queries or compress documents do."""

    inner: BaseRetriever
    model: FakeListChatModel

    def _get_relevant_documents(self, query, *, run_manager):
        self.model.invoke(f"rewrite {query}")
        documents = self.inner.invoke(query, {"callbacks": run_manager.get_child()})
        return documents + self.inner.invoke(f"{query}!")

    async def _aget_relevant_documents(self, query, *, run_manager):
        await self.model.ainvoke(f"rewrite {query}")
        documents = await self.inner.ainvoke(query, {"callbacks": run_manager.get_child()})
        return documents + await self.inner.ainvoke(f"{query}!")


class Hears(BaseCallbackHandler):
    def __init__(self):
        self.told = []

    def on_retriever_start(self, *args, **kwargs):
        self.told.append(repr((args, kwargs)))

    on_retriever_end = on_retriever_error = on_chat_model_start = on_llm_end = on_retriever_start


@pytest.fixture(params=["invoke", "ainvoke"])
def fetch(request):
    """Ask a retriever, blocking or awaited."""

    def use(retriever, query="what?", config=None, **options):
        if request.param == "invoke":
            return retriever.invoke(query, config, **options)
        return asyncio.run(retriever.ainvoke(query, config, **options))

    return use


@pytest.fixture
def shelf(lab):
    return Shelf(secret=lab.secret)


def without_findings(question):
    return deny("no") if question.document["context"]["findings"] else permit()


def texts(documents):
    return [one.page_content for one in documents]


def test_denied_documents_are_left_out_and_the_others_are_as_they_were(lab, shelf, fetch):
    point = lab.govern({Stage.TOOL_RESULT: without_findings})

    documents = fetch(GuardedRetriever(retriever=shelf, pep=point.pep))

    assert texts(documents) == ["one", "three"]
    assert documents[0].metadata == {"from": "here", "page": 1}
    assert [one.permitted for one in point.records] == [True, True, False, True]


def test_redacted_documents_are_rewritten_with_what_is_known_about_them(lab, shelf, fetch):
    point = lab.govern({Stage.TOOL_RESULT: REDACT})

    documents = fetch(GuardedRetriever(retriever=shelf, pep=point.pep))

    assert texts(documents) == ["one", "two [REDACTED:secret]", "three"]
    assert documents[1].metadata == {"from": "[REDACTED:secret]", "tags": ["a"]}
    assert documents[1].id == "2"


def test_policy_sees_the_retriever_the_query_and_each_document(lab, shelf, fetch):
    point = lab.govern()

    fetch(GuardedRetriever(retriever=shelf, pep=point.pep), "two words")

    query, *documents = [one.document for one in point.records]
    assert query["resource"] == {"type": "retriever", "id": "shelf", "properties": {}}
    assert query["context"]["tool"] == {"arguments": {"query": "two words"}}
    assert {one["context"]["operation"] for one in (query, *documents)} == {"retrieval"}
    assert [one["context"]["result"]["text"] for one in documents] == [
        "one\nhere",
        f"two {lab.secret}\n{lab.secret}\na",
        "three",
    ]
    for record in point.records[1:]:
        assert {one.origin for one in record.request.segments} == {"retrieved"}
        assert record.call_id == point.records[0].call_id


DENIALS = {
    "deny": deny("no"),
    "not applicable": not_applicable(),
    "timeout": FailingEngine("timeout")._answer,
    "nonsense": FailingEngine(answer=True)._answer,
    "unknown obligation": permit(obligation("sing")),
    "approval": permit(obligation("require_approval", approvers=["ann"])),
}


@pytest.mark.parametrize("denial", DENIALS)
def test_a_denied_query_asks_nobody(lab, shelf, fetch, denial):
    point = lab.govern({Stage.TOOL_CALL: DENIALS[denial]})
    hears = Hears()

    with pytest.raises(PolicyDenied):
        fetch(GuardedRetriever(retriever=shelf, pep=point.pep), lab.secret, {"callbacks": [hears]})

    assert (asked, hears.told) == ([], [])


@pytest.mark.parametrize("denial", DENIALS)
def test_documents_that_policy_cannot_permit_are_left_out(lab, shelf, fetch, denial):
    point = lab.govern({Stage.TOOL_RESULT: DENIALS[denial]})

    assert fetch(GuardedRetriever(retriever=shelf, pep=point.pep)) == []


def test_a_redacted_query_is_redacted_for_the_retriever_and_in_traces(lab, shelf, fetch):
    point = lab.govern({Stage.TOOL_CALL: REDACT, Stage.TOOL_RESULT: without_findings})
    hears = Hears()

    fetch(GuardedRetriever(retriever=shelf, pep=point.pep), f"who is {lab.secret}", {"callbacks": [hears]})

    assert asked == ["who is [REDACTED:secret]"]
    assert lab.raw(*hears.told) == 0
    assert "who is [REDACTED:secret]" in hears.told[0]


@pytest.mark.parametrize("answer", [without_findings, REDACT], ids=["deny", "redact"])
def test_raw_documents_are_in_no_trace(lab, shelf, fetch, answer):
    point = lab.govern({Stage.TOOL_RESULT: answer})
    hears, tracer = Hears(), Everything()
    searching = Searching(inner=shelf, model=FakeListChatModel(responses=["a"]))
    guarded = GuardedRetriever(retriever=searching, pep=point.pep)

    documents = fetch(RunnableLambda(lambda text: text) | guarded, "what?", {"callbacks": [hears, tracer]})

    assert len(documents) == (4 if answer is without_findings else 6)
    assert asked == ["what?", "what?!"]
    assert "three" in "".join(tracer.told)
    assert lab.raw(documents, *hears.told, *tracer.told) == 0


class Smith(langsmith.Client):
    """LangSmith's client, keeping what it would send."""

    def __init__(self):
        super().__init__(api_url="http://127.0.0.1:9", api_key="none", auto_batch_tracing=False)
        self.told = []

    def create_run(self, *args, **kwargs):
        self.told.append(repr((args, kwargs)))

    update_run = create_run


def test_raw_documents_are_in_no_trace_of_langsmith(lab, shelf, fetch):
    tracer, smith = Everything(), Smith()
    point = lab.govern({Stage.TOOL_RESULT: without_findings})
    searching = Searching(inner=shelf, model=FakeListChatModel(responses=["a"]))
    guarded = GuardedRetriever(retriever=searching, pep=point.pep)

    with langsmith.tracing_context(enabled=True, client=smith):
        fetch(guarded)
    token = tracing_v2_callback_var.set(tracer)
    try:
        fetch(guarded)
    finally:
        tracing_v2_callback_var.reset(token)

    for told in (tracer.told, smith.told):
        assert "three" in "".join(told)
        assert lab.raw(*told) == 0


def test_a_handler_judges_the_models_of_a_retriever_and_asks_nothing_twice(lab, shelf, fetch):
    point = lab.govern({Stage.TOOL_RESULT: without_findings})
    searching = Searching(inner=shelf, model=FakeListChatModel(responses=["a"]))
    guarded = GuardedRetriever(retriever=searching, pep=point.pep)

    # As a callback of the call, and as one that is in every call of the process.
    documents = fetch(guarded, "what?", {"callbacks": [PolicyCallbackHandler(point.pep)]})
    counted = [str(one.request.stage) for one in point.records]
    uninstall = PolicyCallbackHandler(point.pep).install()
    try:
        fetch(guarded)
    finally:
        uninstall()

    assert len(documents) == 4
    assert sorted(counted) == sorted(["tool_call", *map(str, lab.stages), *["tool_result"] * 6])
    assert [str(one.request.stage) for one in point.records[len(counted) :]] == counted


def test_the_callers_documents_are_left_alone(lab, fetch):
    own = [Document(f"it is {lab.secret}", metadata={"deep": [{"a": lab.secret}]})]

    class Same(BaseRetriever):
        def _get_relevant_documents(self, query):
            return own

    (document,) = fetch(GuardedRetriever(retriever=Same(), pep=lab.govern({Stage.TOOL_RESULT: REDACT}).pep))

    assert document.metadata == {"deep": [{"a": "[REDACTED:secret]"}]}
    assert own[0].metadata == {"deep": [{"a": lab.secret}]}


def test_options_of_a_search_are_judged_and_passed(lab, fetch):
    store = InMemoryVectorStore(DeterministicFakeEmbedding(size=4))
    store.add_documents([Document("one", metadata={"of": "ann"}), Document("two", metadata={"of": "bob"})])
    point = lab.govern()
    guarded = GuardedRetriever(retriever=store.as_retriever(), pep=point.pep)

    assert len(fetch(guarded, k=1)) == 1
    assert point.records[0].document["context"]["tool"]["arguments"] == {"query": "what?", "k": 1}


def test_many_documents_keep_their_order(lab, fetch):
    class Many(BaseRetriever):
        def _get_relevant_documents(self, query):
            return [Document(str(number)) for number in range(100)]

    engine = StaticEngine(lambda question: permit(), remote=True)
    documents = fetch(GuardedRetriever(retriever=Many(), pep=lab.govern(engine=engine).pep))

    assert texts(documents) == [str(number) for number in range(100)]


def test_a_document_that_cannot_be_read_is_left_out(lab, fetch):
    round_and_round = []
    round_and_round.append(round_and_round)

    class Odd(BaseRetriever):
        def _get_relevant_documents(self, query):
            return [Document.model_construct(page_content="x", metadata={"a": round_and_round}, id=None)]

    point = lab.govern()

    assert fetch(GuardedRetriever(retriever=Odd(), pep=point.pep)) == []
    assert point.records[-1].reasons[0].code == "result_unreadable"


def test_monitoring_changes_nothing(lab, shelf, fetch):
    point = lab.govern({Stage.TOOL_RESULT: without_findings}, enforcement={"default": "monitor"})

    assert len(fetch(GuardedRetriever(retriever=shelf, pep=point.pep))) == 3


def test_it_is_used_for_whoever_calls(lab, shelf, fetch):
    point = lab.govern()
    guarded = GuardedRetriever(retriever=shelf, pep=point.pep)

    with acting_as("carol"):
        fetch(guarded)
    fetch(guarded, "what?", as_subject("alice"))
    fetch(guarded.acting_as(Entity(type="user", id="bob")), "what?", as_subject("alice"))

    subjects = [one.request.subject.id for one in point.records]
    assert subjects == ["carol"] * 4 + ["alice"] * 4 + ["bob"] * 4


def test_it_makes_a_tool_as_retrievers_do(lab, shelf, fetch):
    point = lab.govern({Stage.TOOL_RESULT: without_findings})
    guarded = GuardedRetriever(retriever=shelf, pep=point.pep)

    given = create_retriever_tool(guarded, "search", "Search the shelf.")
    assert fetch(given, {"query": "what?"}) == "one\n\nthree"
    assert fetch(guard_tool(given, point.pep), {"query": "what?"}) == "one\n\nthree"


def test_it_shows_itself_as_the_retriever_does(lab, shelf):
    guarded = GuardedRetriever(retriever=shelf, pep=lab.govern().pep)

    assert guarded.get_name() == shelf.get_name()
    assert guarded._get_ls_params() == shelf._get_ls_params()
    assert "pep" not in repr(guarded)


def test_both_stages_have_to_be_covered(lab, shelf):
    point = lab.govern(engine=StaticEngine(dict.fromkeys(lab.stages, permit())))

    with pytest.raises(SettingsError, match="tool_call"):
        GuardedRetriever(retriever=shelf, pep=point.pep)
