"""What leaves the process: facts, and text only where the settings name it."""

import json

import pytest

from checkrein import AccessRequest, Entity, Origin, Segment, Stage
from checkrein.detection import Detectors
from checkrein.document import build
from checkrein.settings import Limits
from checkrein_opa.facts import Facts

SECRET = "the secret words"


def asked(stage, **context):
    tool = stage in {Stage.TOOL_CALL, Stage.TOOL_RESULT}
    request = AccessRequest(
        stage=stage,
        subject=Entity(type="user", id="alice", properties={"tier": "pro"}),
        resource=Entity(type="tool" if tool else "model", id="x"),
        context=context,
        segments=(Segment(path=(0,), role="user", origin=Origin.USER, text=SECRET),),
        supports=frozenset({"redact"}),
    )
    return build(request, detectors=Detectors({}, {}), models={}, limits=Limits())


@pytest.mark.parametrize("stage", Stage)
def test_no_stage_sends_text_unasked(stage):
    context = {"tool": {"arguments": {"q": SECRET}, "call_id": "1"}, "notes": SECRET, "tools": ["search"]}
    request = asked(stage, **context)
    body = Facts().encode(request)
    assert SECRET.encode() in request.json()
    assert SECRET.encode() not in body
    sent = json.loads(body)["input"]
    assert sent["context"]["tool"] == {"call_id": "1"}
    assert sent["context"]["tools"] == ["search"]
    assert "notes" not in sent["context"]
    assert sent["subject"]["properties"] == {"tier": "pro"}


@pytest.mark.parametrize(
    ("stage", "key"),
    [(Stage.PRE_PROMPT, "prompt"), (Stage.POST_COMPLETION, "completion"), (Stage.TOOL_RESULT, "result")],
)
def test_the_facts_about_text_are_sent_and_the_text_where_it_is_named(stage, key):
    request = asked(stage)
    facts = json.loads(Facts().encode(request))["input"]["context"][key]
    assert facts == {one: value for one, value in request.document["context"][key].items() if one != "text"}
    assert facts["words"] == 3
    named = json.loads(Facts([f"context.{key}.text"]).encode(request))["input"]
    assert named == json.loads(request.json())


def test_tool_arguments_are_text():
    request = asked(Stage.TOOL_CALL, tool={"arguments": {"q": SECRET, "n": 1}, "call_id": "1"})
    named = Facts(["context.tool.arguments.n", "context.tool.arguments.absent.x"]).encode(request)
    assert json.loads(named)["input"]["context"]["tool"] == {"call_id": "1", "arguments": {"n": 1}}
    everything = Facts(["context.tool.arguments"]).encode(request)
    assert json.loads(everything)["input"] == json.loads(request.json())


def test_what_a_host_adds_is_sent_where_it_is_named():
    request = asked(Stage.PRE_PROMPT, ticket={"id": 7, "title": SECRET}, tool="odd", usage={"requests": 1})
    sent = json.loads(Facts(["context.ticket.id"]).encode(request))["input"]["context"]
    assert sent["ticket"] == {"id": 7}
    assert sent["usage"] == {"requests": 1}
    assert "tool" not in sent


def test_the_document_itself_is_never_changed():
    request = asked(Stage.TOOL_CALL, tool={"arguments": {"a": {"b": 1}}})
    before = json.dumps(request.document)
    Facts(["context.tool.arguments.a.b", "context.prompt.text"]).encode(request)
    assert json.dumps(request.document) == before


def test_opa_receives_no_text_and_its_log_keeps_none(opa, engine_of, ask, question, permitting):
    server = opa(permitting)
    ask(engine_of(server), question(SECRET))
    assert SECRET.encode() not in server.requests[0][3]
    assert SECRET not in json.dumps(server.decisions)
