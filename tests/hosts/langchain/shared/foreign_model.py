"""Another provider's model, and tools and schemas in the words of both providers."""

from types import SimpleNamespace
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, Field
from typing_extensions import TypedDict


class Foreign(BaseChatModel):
    """Another provider's model: it has tools, a choice and an answer of a shape that OpenAI's has not."""

    asked: list[Any] = Field(default_factory=list)

    @property
    def _llm_type(self):
        return "foreign"

    def _get_ls_params(self, stop=None, **kwargs):
        return {"ls_provider": "foreign", "ls_model_name": "foreign-1", "ls_model_type": "chat"}

    def bind_tools(self, tools, *, tool_choice=None, **kwargs):
        made = [one if isinstance(one, dict) and "input_schema" in one else self._made(one) for one in tools]
        if tool_choice is not None:
            free = tool_choice in ("any", "auto", "none") if isinstance(tool_choice, str) else False
            kwargs["tool_choice"] = (
                tool_choice
                if isinstance(tool_choice, dict)
                else {"type": tool_choice}
                if free
                else {"type": "tool", "name": tool_choice}
            )
        return self.bind(tools=made, **kwargs)

    def _made(self, one):
        function = convert_to_openai_tool(one)["function"]
        return {
            "name": function["name"],
            "description": function.get("description", ""),
            "input_schema": function["parameters"],
        }

    def _get_request_payload(self, input_, *, stop=None, **options):
        return {"model": "foreign-1", "max_tokens": 64, **options}

    def _generate(self, messages, stop=None, run_manager=None, **options):
        self.asked.append(SimpleNamespace(text=str([one.content for one in messages]), **options))
        calls = (
            [{"name": options["tools"][0]["name"], "args": {"key": "abc"}, "id": "1"}]
            if "tools" in options
            else []
        )
        told = AIMessage("" if calls else "from abroad", tool_calls=calls)
        return ChatResult(generations=[ChatGeneration(message=told)])


class Key(BaseModel):
    """A key."""

    key: str = Field(description="what it is")


class TypedKey(TypedDict):
    """A key."""

    key: str


KEY_SCHEMA = {
    "title": "Key",
    "description": "A key.",
    "type": "object",
    "properties": {"key": {"type": "string"}},
    "required": ["key"],
}


def look(who: str) -> str:
    """Look somebody up."""
    return who


@tool
def hide(who: str) -> str:
    """Hide somebody."""
    return who


LOOK_PARAMETERS = {"properties": {"who": {"type": "string"}}, "required": ["who"], "type": "object"}
IN_OPENAIS_WAY = {
    "type": "function",
    "function": {"name": "look", "description": "Look somebody up.", "parameters": LOOK_PARAMETERS},
}
IN_FOREIGN_WAY = {"name": "look", "description": "Look somebody up.", "input_schema": LOOK_PARAMETERS}
