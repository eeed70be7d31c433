"""Tools that tell what they ran with, and calls of them."""

import asyncio

from langchain_core.tools import tool
from pydantic import BaseModel, Field

ran = []


class Nested(BaseModel):
    deep: list[str] = Field(default_factory=list)


@tool
def look(who: str, nested: Nested | None = None, n: int = 3) -> str:
    """Look somebody up."""
    ran.append((who, nested, n))
    return f"found {who}"


def call(kind="invoke"):
    """Invoke a tool, blocking or awaited."""

    def use(given, value, config=None):
        if kind == "invoke":
            return given.invoke(value, config)
        return asyncio.run(given.ainvoke(value, config))

    return use


def asked(**args):
    return {"type": "tool_call", "id": "call_1", "name": "look", "args": args}
