"""The options of a call and the generations of an answer: what is text in them, and what goes with it."""

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration

from checkrein.vocabulary import Origin
from checkrein_langchain.text.answers import read_answer, rewritten
from checkrein_langchain.text.calls import read_call


def test_options_of_a_call_are_text_unless_they_only_choose():
    call = {
        "messages": [],
        "stop": ["STOP here"],
        "options": {
            "model": "gpt-4o",
            "temperature": 0.5,
            "reasoning_effort": "high",
            "instructions": "obey SECRET",
            "user": "alice@example.com",
            "prediction": {"type": "content", "content": "SECRET"},
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "look",
                        "description": "looks SECRET up",
                        "parameters": {
                            "type": "object",
                            "properties": {"title": {"type": "string", "enum": ["SECRET"]}},
                        },
                    },
                }
            ],
        },
    }

    surface = read_call(call, 10_000)

    assert [one.text for one in surface.segments] == [
        "obey SECRET",
        "alice@example.com",
        "content",
        "SECRET",
        "looks SECRET up",
        "SECRET",
        "STOP here",
    ]
    assert {one.origin for one in surface.segments} == {Origin.SYSTEM}
    surface.write({one.path: "x" for one in surface.segments})
    assert "SECRET" not in repr(call)
    assert call["options"]["tools"][0]["function"]["name"] == "look"


def test_a_conversation_kept_by_the_provider_is_told_of():
    call = {"messages": [HumanMessage("hi")], "stop": None, "options": {"previous_response_id": "resp_1"}}

    assert read_call(call, 10_000).uninspected == [{"kind": "history", "segment": 0}]


def test_the_tokens_of_a_changed_answer_go_with_it():
    tokens = {"content": [{"token": "SEC"}, {"token": "RET"}]}
    generation = ChatGeneration(
        message=AIMessage("SECRET", response_metadata={"logprobs": tokens, "model_name": "m"}),
        generation_info={"logprobs": tokens, "finish_reason": "stop"},
    )
    surface = read_answer([generation], None, 10_000)
    ((changed,), _) = rewritten([generation], None, surface, {surface.segments[0].path: "[gone]"})

    assert changed.text == changed.message.text == "[gone]"
    assert changed.generation_info == {"finish_reason": "stop"}
    assert changed.message.response_metadata == {"model_name": "m"}
    assert generation.text == "SECRET"
