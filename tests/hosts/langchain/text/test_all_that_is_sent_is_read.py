"""Whatever of a request a model could read is judged: names, patterns, grammars, ids, roles."""

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, ChatMessage, HumanMessage, ToolMessage
from langchain_core.retrievers import BaseRetriever
from verdicts import REDACT

from checkrein.testing import deny, permit
from checkrein.vocabulary import Stage
from checkrein_langchain import GuardedRetriever, PolicyDenied, guard
from checkrein_langchain.text.reader import is_word

SECRET = "§¤¶§¤¶§¤¶"


def _function(**parts):
    return {"type": "function", "function": {"name": "look", **parts}}


def _parameters(**parts):
    return [_function(parameters={"type": "object", "properties": {"a": {"type": "string"}}, **parts})]


def _schema(**parts):
    schema = {"type": "object", "properties": {}, **parts}
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}


OPTIONS = {
    "the name of a property": {"tools": _parameters(properties={SECRET: {"type": "string"}})},
    "a required property": {"tools": _parameters(required=[SECRET])},
    "a pattern": {"tools": _parameters(properties={"a": {"type": "string", "pattern": SECRET}})},
    "a comment": {"tools": _parameters(**{"$comment": SECRET})},
    "the name of a tool": {"tools": [{"type": "function", "function": {"name": SECRET}}]},
    "examples of input": {"tools": [_function(input_examples=[{"q": SECRET}])]},
    "a grammar": {
        "tools": [
            {
                "type": "custom",
                "custom": {
                    "name": "c",
                    "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": SECRET}},
                },
            }
        ]
    },
    "a server": {
        "tools": [
            {
                "type": "mcp",
                "server_label": "x",
                "server_description": SECRET,
                "server_url": "https://x.test",
            }
        ]
    },
    "the name in a schema": {"response_format": _schema(properties={SECRET: {"type": "string"}})},
    "the pattern in a schema": {
        "response_format": _schema(properties={"a": {"type": "string", "pattern": SECRET}})
    },
    "a choice": {
        "tools": _parameters(),
        "tool_choice": {"type": "function", "function": {"name": SECRET}},
    },
    "a choice by name": {"tools": _parameters(), "tool_choice": SECRET},
    "a hint": {"tools": _parameters(), "parallel_tool_calls": SECRET},
}
MESSAGES = {
    "the id of a tool call": [
        HumanMessage("hi"),
        AIMessage("", tool_calls=[{"id": SECRET, "name": "look", "args": {}}]),
        ToolMessage("ok", tool_call_id=SECRET),
    ],
    "the id of an invalid tool call": [
        AIMessage("", invalid_tool_calls=[{"id": SECRET, "name": "look", "args": "x", "error": None}]),
        HumanMessage("go on"),
    ],
    "a role": [ChatMessage(role=SECRET, content="x")],
    "a signature": [HumanMessage([{"type": "text", "text": "hi", "signature": SECRET}])],
}


def _options_and_messages():
    yield from ((name, [HumanMessage("hi")], options) for name, options in OPTIONS.items())
    yield from ((name, messages, {}) for name, messages in MESSAGES.items())


CALLS = {name: (messages, options) for name, messages, options in _options_and_messages()}


@pytest.mark.parametrize("what", CALLS)
def test_it_is_denied_before_it_is_sent(lab, what):
    point = lab.govern({Stage.PRE_PROMPT: lambda asked: deny("no") if asked.findings else permit()})
    messages, options = CALLS[what]

    with pytest.raises(PolicyDenied):
        guard(lab.chat(), point.pep).invoke(messages, **options)

    assert lab.upstream.requests == []


@pytest.mark.parametrize("what", [what for what in CALLS if what != "a role"])
def test_it_is_redacted_before_it_is_sent(lab, what):
    point = lab.govern({Stage.PRE_PROMPT: REDACT})
    messages, options = CALLS[what]

    guard(lab.chat(), point.pep).invoke(messages, **options)

    assert len(lab.upstream.requests) == 1
    assert lab.raw(*(one.body for one in lab.upstream.requests)) == 0


def test_words_of_a_schema_are_no_text_of_their_own(lab):
    point = lab.govern()
    tools = _parameters(properties={"first_name": {"type": "string", "description": "whose"}})

    guard(lab.chat(), point.pep).invoke("hi", tools=tools, tool_choice="auto", parallel_tool_calls=False)

    asked = next(one for one in point.records if one.request.stage is Stage.PRE_PROMPT)
    assert [one.text for one in asked.request.segments] == ["whose", "hi"]


@pytest.mark.parametrize("way", ["invoke", "stream"])
@pytest.mark.parametrize("mode", ["hold", "window"])
def test_the_id_of_a_tool_call_in_an_answer_is_redacted(lab, way, mode):
    point = lab.govern({Stage.POST_COMPLETION: REDACT}, stream={"mode": mode})
    lab.upstream.reply = {"tool_calls": [{"id": lab.secret, "name": "look", "arguments": {"q": "x"}}]}
    model = guard(lab.chat(), point.pep)

    got = [model.invoke("hi")] if way == "invoke" else list(model.stream("hi"))

    whole = got[0]
    for one in got[1:]:
        whole += one
    assert lab.raw(*got) == 0
    assert [(call["name"], call["args"]) for call in whole.tool_calls] == [("look", {"q": "x"})]


class People(BaseRetriever):
    """Knows people by their number."""

    def _get_relevant_documents(self, query, *, run_manager):
        return [Document("a person", id="536-90-4399"), Document("a thing", id="doc-7f3a")]


def test_the_number_of_somebody_is_no_id_of_a_document(lab):
    point = lab.govern()

    GuardedRetriever(retriever=People(), pep=point.pep).invoke("who")

    said = [one.request.segments for one in point.records if one.request.stage is Stage.TOOL_RESULT]
    assert [[one.text for one in segments] for segments in said] == [
        ["a person", "536-90-4399"],
        ["a thing"],
    ]


@pytest.mark.parametrize(
    "text",
    [
        "call_9f2b11a8",
        "toolu_01A09q90qw90lq917835lq9",
        "call_123456789012",
        "fc_68af4030592c81938ec0a5fbab4a3e9f05438e46b5f69a3b",
        "lc_run--019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b",
        "auto",
        "12345",
    ],
)
def test_ids_of_machines_are_words(text):
    assert is_word(text)


@pytest.mark.parametrize(
    "text", ["536-90-4399", "ssn:536904399", "4111-1111-1111-1111", "+1-212-555-0187", "a person", "§"]
)
def test_numbers_of_people_are_no_words(text):
    assert not is_word(text)
