"""LangChain's own suites for chat models, on bare models and on governed ones; `test_standard` compares.

A chat model of this package is added by a line in `MODELS`.
"""

import json

import httpx
import pytest
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from checkrein.enforcement import EnforcementPoint
from checkrein.testing import StaticEngine, Upstream, permit
from checkrein_langchain import PolicyRouter, guard

OPTIONS = {"model": "gpt-4o", "api_key": "none", "max_retries": 0, "stream_usage": True}


def permitting():
    """An enforcement point that asks everything and permits it."""
    return EnforcementPoint(StaticEngine(permit()), record=lambda decision: None)


# What comes of a real client's options, by name.
MODELS = {
    "bare": ChatOpenAI,
    "guarded": lambda **options: guard(ChatOpenAI(**options), permitting()),
    "router": lambda **options: PolicyRouter(models=two(options), pep=permitting()),
}


def two(options):
    """Two models that differ by their names."""
    return {name: ChatOpenAI(**{**options, "model": name}) for name in ("gpt-4o", "gpt-4o-mini")}


def value_of(schema, name, said):
    """A value that a schema allows, as a model would give it: what was said, where it may be any text."""
    if "anyOf" in schema:
        schema = next(one for one in schema["anyOf"] if one.get("type") != "null")
    kind = schema.get("type", "object")
    if kind == "object":
        inner = schema.get("properties", {})
        return {key: value_of(one, key, said) for key, one in inner.items()}
    return {"integer": 3, "number": 3.0, "boolean": True, "array": []}.get(kind, said)


def reply(body):
    """What a willing model would answer: the tool that is offered, the schema that is asked for, a text."""
    messages, tools = body["messages"], body.get("tools")
    said = str(next((one["content"] for one in reversed(messages) if one["role"] == "user"), "nothing"))
    shape = body.get("response_format", {})
    if tools and (messages[-1]["role"] == "user" or body.get("tool_choice") not in (None, "auto")):
        function = tools[0]["function"]
        return {"name": function["name"], "arguments": value_of(function["parameters"], "", said)}
    if shape.get("type") == "json_schema":
        return json.dumps(value_of(shape["json_schema"]["schema"], "", said))
    if shape.get("type") == "json_object":
        return json.dumps({"setup": said, "punchline": said})
    return "hello there, that is all"


@pytest.fixture(scope="session")
def provider():
    with Upstream(reply) as upstream:
        yield upstream


class _Made:
    name = ""
    url = "http://127.0.0.1:9/v1"

    @property
    def chat_model_class(self):
        make = MODELS[self.name]
        if isinstance(make, type):
            return make
        # The suites call it, and ask one thing of it.
        return type(
            self.name, (), {"__new__": lambda _, **options: make(**options), "is_lc_serializable": bool}
        )

    @property
    def chat_model_params(self):
        # Clients of its own: those that LangChain shares belong to the event loop of an earlier test.
        clients = {
            "http_client": httpx.Client(verify=False, trust_env=False),
            "http_async_client": httpx.AsyncClient(verify=False, trust_env=False),
        }
        return {**OPTIONS, **clients, "base_url": self.url}

    has_tool_calling = has_structured_output = has_tool_choice = supports_json_mode = True
    returns_usage_metadata = supports_model_override = True
    model_override_value = "gpt-4o-mini"


class _Unit(_Made, ChatModelUnitTests):
    @property
    def init_from_env_params(self):
        # Only a bare model is made from the environment: a governed one is made of an enforcement point.
        if self.name != "bare":
            return {}, {}, {}
        return {"OPENAI_API_KEY": "key"}, {"model": "gpt-4o"}, {"openai_api_key": "key"}


class _Integration(_Made, ChatModelIntegrationTests):
    @pytest.fixture(autouse=True)
    def _provided(self, provider):
        self.url = provider.url


for _name in MODELS:
    for _kind, _suite in (("unit", _Unit), ("integration", _Integration)):
        _title = f"Test_{_kind}_{_name}"
        globals()[_title] = type(_title, (_suite,), {"name": _name, "__module__": __name__})
