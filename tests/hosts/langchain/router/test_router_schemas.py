"""Answers of a router in a schema: asked for and read in the way of the model that is chosen."""

import asyncio
import copy
from enum import Enum
from typing import Literal

import pytest
from foreign_model import KEY_SCHEMA, Foreign, Key, TypedKey, look
from langchain_core.language_models import FakeListChatModel
from langchain_core.prompts import ChatPromptTemplate
from pydantic import Field, create_model
from routed_models import body, only, route_to
from verdicts import REDACT

from checkrein.testing import deny, obligation, permit
from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyDenied, PolicyRouter

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


SCHEMAS = {
    "class": (Key, Key(key="abc")),
    "typed dict": (TypedKey, {"key": "abc"}),
    "data": (KEY_SCHEMA, {"key": "abc"}),
}


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("name", ["openai", "foreign"])
def test_an_answer_in_a_schema_is_asked_for_and_read_in_the_chosen_models_way(lab, pair, schema, name):
    lab.upstream.reply = '{"key": "abc"}'
    one = pair({Stage.MODEL_SELECTION: only(name)})
    given, expected = SCHEMAS[schema]

    answer = one.router.with_structured_output(given).invoke("hi")

    assert answer == expected
    if name == "openai":
        assert body(lab)["response_format"]["type"] == "json_schema"
    else:
        assert one.foreign.asked[0].tool_choice == {"type": "any"}
        assert "response_format" not in vars(one.foreign.asked[0])


def test_the_method_and_the_raw_message_are_as_the_caller_says(lab, pair):
    lab.upstream.reply = {"name": "Key", "arguments": {"key": "abc"}}
    one = pair()

    came = one.router.with_structured_output(
        Key, include_raw=True, method="function_calling", strict=True
    ).invoke("hi")

    assert came["parsed"] == Key(key="abc")
    assert came["parsing_error"] is None
    assert came["raw"].tool_calls[0]["name"] == "Key"
    assert body(lab)["tools"][0]["function"]["strict"] is True


def test_every_way_of_asking_for_a_schema_is_judged_once(lab, pair):
    lab.upstream.reply = '{"key": "abc"}'
    one = pair()
    structured = one.router.with_structured_output(Key)
    prompt = ChatPromptTemplate.from_messages([("human", "{text}")])

    assert list(structured.stream("hi")) == [Key(key="abc")]
    assert structured.batch(["hi", "ho"]) == [Key(key="abc")] * 2
    assert (prompt | structured).invoke({"text": "hi"}) == Key(key="abc")
    assert list((prompt | structured).stream({"text": "hi"})) == [Key(key="abc")]
    assert structured.with_retry().invoke("hi") == Key(key="abc")
    assert structured.with_config({"tags": ["x"]}).invoke("hi") == Key(key="abc")
    assert len(one.records) == 4 * 7


def test_asynchronous_ways_of_asking_for_a_schema_are_judged_as_well(lab):
    lab.upstream.reply = '{"key": "abc"}'
    point = lab.govern()

    for way in ("ainvoke", "abatch", "astream", "events"):
        done = lab.call(
            way,
            lambda model: (
                PolicyRouter(models={"openai": model}, pep=point.pep).with_structured_output(Key) | str
            ),
            listen=False,
        )
        assert done.error is None
        assert "abc" in str(done.got[-1])

    assert len(point.records) == 16
    assert len(lab.upstream.requests) == 4


@pytest.mark.parametrize(
    "schema_way", ["invoke", "stream", "batch", "transform", "ainvoke", "abatch", "astream", "events"]
)
def test_a_prompt_for_a_schema_is_redacted_for_models_and_traces(lab, schema_way):
    lab.upstream.reply = f'{{"key": "{lab.secret}"}}'
    point = lab.govern({Stage.PRE_PROMPT: REDACT, Stage.POST_COMPLETION: REDACT})

    def wrap(model):
        return PolicyRouter(models={"openai": model}, pep=point.pep).with_structured_output(KEY_SCHEMA) | str

    done = lab.call(schema_way, wrap, f"my key is {lab.secret}")

    assert done.error is None
    assert lab.raw(lab.upstream.texts, *map(repr, done.got), *done.seen) == 0
    assert "[REDACTED:secret]" in "".join(map(repr, done.got))


def test_what_a_schema_says_is_judged_and_redacted(lab, pair):
    lab.upstream.reply = '{"key": "abc"}'
    one = pair({Stage.PRE_PROMPT: REDACT})
    schema = {**KEY_SCHEMA, "description": f"The key, not {lab.secret}."}

    assert one.router.with_structured_output(schema).invoke("hi") == {"key": "abc"}

    assert lab.raw(lab.upstream.texts) == 0
    assert "The key, not [REDACTED:secret]." in lab.upstream.texts
    assert lab.secret in schema["description"]


def test_a_class_cannot_be_redacted_and_is_denied(lab, pair):
    one = pair({Stage.PRE_PROMPT: REDACT})
    schema = type("Key", (Key,), {"__doc__": f"The key, not {lab.secret}."})

    with pytest.raises(PolicyDenied) as denied:
        one.router.with_structured_output(schema).invoke("hi")

    assert denied.value.code == "obligation_failed"
    assert lab.upstream.requests == []


def test_all_that_a_class_says_is_judged(lab, pair):
    lab.upstream.reply = '{"key": "abc", "kind": "a"}'
    one = pair({Stage.PRE_PROMPT: lambda q: deny("no") if q.document["context"]["findings"] else permit()})

    class Kind(Enum):
        A = "a"

    Kind.__doc__ = lab.secret
    for field in (
        (str, Field(title=lab.secret)),
        (str, Field(description=lab.secret)),
        (str, Field(default=lab.secret)),
        (str, Field(examples=[lab.secret])),
        (Literal["§¤¶"], ...),
        (Kind, ...),
        (create_model("Inner", __doc__=lab.secret, word=(str, ...)), ...),
    ):
        schema = create_model("Outer", key=field)
        with pytest.raises(PolicyDenied):
            one.router.with_structured_output(schema, method="json_schema").invoke("hi")
    assert lab.upstream.requests == []


def test_a_schema_that_its_owner_changes_later_is_the_one_that_was_given(lab, pair):
    lab.upstream.reply = '{"key": "abc"}'
    one, schema = pair(), copy.deepcopy(KEY_SCHEMA)
    structured = one.router.with_structured_output(schema)

    schema["description"] = lab.secret
    structured.invoke("hi")

    assert lab.raw(lab.upstream.texts) == 0


def test_policy_routes_a_schema_to_another_providers_model(lab, pair):
    one = pair({Stage.PRE_PROMPT: route_to("foreign")})

    assert one.router.with_structured_output(Key).invoke("hi") == Key(key="abc")

    assert lab.upstream.requests == []
    assert len(one.foreign.asked) == 1


@pytest.mark.parametrize("on_denied", ["raise", "reply"])
def test_a_denied_call_for_a_schema_raises(lab, pair, stage, on_denied):
    lab.upstream.reply = f'{{"key": "{lab.secret}"}}'
    one = pair({stage: deny("no")}, denials={"on_denied": on_denied})
    structured = one.router.with_structured_output(Key, include_raw=True)

    for way in (structured.invoke, lambda text: list(structured.stream(text))):
        with pytest.raises(PolicyDenied) as denied:
            way("hi")
        assert lab.raw(denied.value, repr(denied.value)) == 0


def test_a_model_that_cannot_answer_in_a_schema_is_no_candidate(lab):
    lab.upstream.reply = '{"key": "abc"}'
    point = lab.govern()
    models = {"mute": FakeListChatModel(responses=["x"]), "openai": lab.chat()}
    router = PolicyRouter(models=models, pep=point.pep)

    assert router.with_structured_output(Key).invoke("hi") == Key(key="abc")

    assert [one.resource.id for one in point.records[0].candidates] == ["openai"]
    with pytest.raises(ValueError, match="cannot be asked for the schema"):
        router.with_structured_output(Key).invoke("hi", model="mute")


def test_a_schema_and_tools_go_together_where_the_model_keeps_them_apart(lab, pair):
    lab.upstream.reply = '{"key": "abc"}'
    one = pair()

    answer = one.router.with_structured_output(Key, tools=[look], strict=True).invoke("hi")

    assert answer == Key(key="abc")
    assert [tool["function"]["name"] for tool in body(lab)["tools"]] == ["look"]
    assert one.records[0].document["context"]["tools"] == ["look"]
    with pytest.raises(ValueError, match="it can have no other"):
        one.router.with_structured_output(Key, tools=[look], strict=True).invoke("hi", model="foreign")
    assert one.foreign.asked == []


def test_a_permitted_model_that_cannot_be_called_so_is_passed_over(lab, pair):
    lab.upstream.reply = '{"key": "abc"}'
    point = lab.govern()
    models = {"foreign": Foreign(), "openai": lab.chat()}
    router = PolicyRouter(models=models, pep=point.pep)

    answer = router.with_structured_output(Key, tools=[look], strict=True).invoke("hi")

    assert answer == Key(key="abc")
    assert models["foreign"].asked == []
    assert [record.request.resource.id for record in point.records] == ["router", *["openai"] * 3]


def test_where_the_only_permitted_model_cannot_be_called_so_nothing_is_sent(lab, pair):
    one = pair({Stage.MODEL_SELECTION: only("foreign")})

    with pytest.raises(ValueError, match="it can have no other"):
        one.router.with_structured_output(Key, tools=[look], strict=True).invoke("hi")

    assert lab.upstream.requests == one.foreign.asked == []


class Deaf(Foreign):
    """Drops what it is told but tools."""

    def _get_request_payload(self, input_, *, stop=None, **options):
        return {"model": "foreign-1", "max_tokens": 64}


@pytest.mark.parametrize("at", [Stage.MODEL_SELECTION, Stage.PRE_PROMPT])
@pytest.mark.parametrize("bound", ["set_parameters", "limit_tokens"])
def test_what_cannot_be_done_with_the_chosen_model_is_not_done_with_another(lab, at, bound):
    properties = {"set_parameters": {"temperature": 0.5}, "limit_tokens": {"max_tokens": 5}}[bound]
    point, deaf = lab.govern({at: permit(obligation(bound, **properties))}), Deaf()
    router = PolicyRouter(models={"deaf": deaf, "openai": lab.chat()}, pep=point.pep)

    with pytest.raises(PolicyDenied) as denied:
        router.bind_tools([look]).invoke("hi")

    assert denied.value.code == "obligation_failed"
    assert lab.upstream.requests == deaf.asked == []


def test_a_schema_is_needed(pair):
    with pytest.raises(ValueError, match="needs a schema"):
        pair().router.with_structured_output()


def test_a_chain_for_a_schema_shows_neither_its_models_nor_its_options(lab, pair):
    structured = pair().router.with_structured_output(Key, user=lab.secret)

    assert lab.raw(repr(structured)) == 0
    assert "models=['openai', 'foreign']" in repr(structured)


def test_the_subject_of_a_call_for_a_schema_is_whoever_acts(lab, pair):
    lab.upstream.reply = '{"key": "abc"}'
    one = pair()

    one.router.acting_as("alice").with_structured_output(Key).invoke("hi")

    assert {record.request.subject.id for record in one.records} == {"alice"}


def test_asking_from_several_threads_of_an_event_loop_keeps_schemas_apart(lab, pair):
    one = pair({Stage.MODEL_SELECTION: only("foreign")})
    structured = {kind: one.router.with_structured_output(kind) for kind in (Key, TypedKey)}

    async def ask(kind):
        return type(await asyncio.to_thread(structured[kind].invoke, "hi"))

    async def all_of_them():
        return await asyncio.gather(*(ask(kind) for kind in [Key, TypedKey] * 8))

    assert asyncio.run(all_of_them()) == [Key, dict] * 8
