"""What policy sees of a call of a guarded model, and what traces and usage know of it."""

import pytest
from foreign_model import look
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage

from checkrein.testing import deny, permit
from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyCallbackHandler, PolicyDenied, guard

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


def test_policy_sees_the_call(lab):
    point = lab.govern()

    guard(lab.chat(max_tokens=64), point.pep).bind_tools([look]).invoke("two words")

    asked = [one.document for one in point.records]
    assert [one["stage"] for one in asked] == [str(one) for one in lab.stages]
    for one in asked:
        assert one["resource"] == {"type": "model", "id": "gpt-4o", "properties": {"provider": "openai"}}
        assert one["subject"] == {"type": "anonymous", "id": "anonymous", "properties": {}}
        assert one["context"]["operation"] == "chat"
        assert one["context"]["environment"]["host"] == "langchain"
    assert "text" not in asked[0]["context"]["prompt"]
    assert asked[1]["context"]["prompt"]["text"].endswith("two words")
    assert asked[1]["context"]["tools"] == ["look"]
    assert asked[1]["context"]["estimated"] == {"max_tokens": 64}
    assert asked[2]["context"]["completion"]["text"] == "hello there"
    assert asked[2]["context"]["finish_reason"] == "stop"
    assert asked[2]["context"]["tokens"]["completion_tokens"] == 2
    assert len({one.call_id for one in point.records}) == 1


def test_the_run_in_traces_is_the_call_in_the_log(lab, way):
    point = lab.govern()
    runs = []

    class Runs(BaseCallbackHandler):
        def on_chat_model_start(self, *args, run_id, **kwargs):
            runs.append(str(run_id))

    lab.call(way, lambda model: guard(model, point.pep), callbacks=[Runs()])

    # Events name their run themselves.
    assert (runs == [point.records[0].call_id]) is (way != "events")


def test_usage_is_settled_with_the_call(lab, monkeypatch):
    point, settled = lab.govern(), []
    monkeypatch.setattr(point.pep, "settle", lambda *told: settled.append(told))

    guard(lab.chat(), point.pep).invoke("hi")

    usage = {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4}
    assert settled == [(point.records[0].call_id, 1, usage)]


def test_an_answer_from_a_cache_is_judged_and_nothing_is_settled_for_it(lab, monkeypatch):
    point, settled = lab.govern(), []
    monkeypatch.setattr(point.pep, "settle", lambda *told: settled.append(told))
    guarded = guard(lab.chat(cache=InMemoryCache()), point.pep)
    bare = lab.chat(cache=InMemoryCache())

    for _ in range(2):
        guarded.invoke("hi")
        bare.invoke("hi", {"callbacks": [PolicyCallbackHandler(point.pep)]})

    assert len(point.records) == 12
    assert len(settled) == len(lab.upstream.requests) == 2


def test_pictures_are_told_of_and_policy_decides(lab):
    point = lab.govern(
        {Stage.PRE_PROMPT: lambda q: deny("image") if q.document["context"].get("uninspected") else permit()}
    )
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}

    with pytest.raises(PolicyDenied) as denied:
        guard(lab.chat(), point.pep).invoke([HumanMessage([{"type": "text", "text": "what?"}, picture])])

    assert denied.value.code == "image"
    assert lab.upstream.requests == []
    assert point.records[-1].document["context"]["uninspected"] == [{"kind": "image", "segment": 0}]


def unreadable():
    message = AIMessage("", tool_calls=[{"name": "look", "args": {}, "id": "1"}])
    del message.tool_calls[0]["name"]
    return [message, HumanMessage("hi")]


def test_what_cannot_be_read_is_a_recorded_denial(lab):
    point = lab.govern()

    with pytest.raises(PolicyDenied) as denied:
        guard(lab.chat(), point.pep).invoke(unreadable())

    assert denied.value.code == "request_unreadable"
    assert [one.permitted for one in point.records] == [True, False]
    assert lab.upstream.requests == []


def test_what_cannot_be_read_passes_under_monitor_and_is_recorded(lab):
    point = lab.govern(enforcement={"default": "monitor"})
    answer = guard(FakeListChatModel(responses=["a"]), point.pep).invoke(unreadable())

    assert answer.content == "a"
    assert [one.permitted for one in point.records] == [True, False, True]


def test_more_pieces_than_policy_would_judge_are_a_denial_at_either_end(lab):
    lab.upstream.reply = {"name": "look", "arguments": {"who": ["x"] * 60}}
    point = lab.govern(limits={"segments": 50})
    model = guard(lab.chat(), point.pep)

    for given in ([HumanMessage("a")] * 60, [HumanMessage("a")]):
        with pytest.raises(PolicyDenied) as denied:
            model.invoke(given)
        assert denied.value.code == "limit.segments"
        assert len(point.records[-1].request.segments) == 51
    assert len(lab.upstream.requests) == 1
