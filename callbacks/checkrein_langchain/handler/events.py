"""What a callback hears of a call: the model, the prompt, a tool and its arguments, documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage

from checkrein.vocabulary import Entity, Origin
from checkrein_langchain.inner_model.facts import ADDRESSES, TOKEN_LIMITS, is_limit
from checkrein_langchain.text.calls import read_call
from checkrein_langchain.text.messages import read_message
from checkrein_langchain.text.reader import Reader, is_word
from checkrein_langchain.text.surface import Surface
from checkrein_langchain.text.tool_outputs import check_size

__all__ = ["heard_limit", "heard_model", "read_chat", "read_documents", "read_texts", "read_tool_output"]


def heard_model(params: Mapping[str, Any], metadata: Mapping[str, Any]) -> Entity:
    """The model that is called, as its own parameters name it: a caller can write into the metadata.

    Args:
        params: LangChain's `invocation_params`.
        metadata: of the run; the provider in it is the model's own word.
    """
    names = (params.get(key) for key in (*ADDRESSES, "model", "model_name", "_type"))
    name = next((one for one in names if isinstance(one, str) and one), "unknown")
    provider = metadata.get("ls_provider")
    properties = {"provider": provider} if isinstance(provider, str) else {}
    return Entity(type="model", id=name, properties=properties)


def heard_limit(params: Mapping[str, Any]) -> int | None:
    """The largest answer that the call allows, in tokens, or None when nothing says so."""
    return next((params[key] for key in TOKEN_LIMITS if is_limit(params.get(key))), None)


def read_chat(messages: Sequence[BaseMessage], params: Mapping[str, Any], most: int) -> Surface:
    """Every piece of text that a call of a chat model sends."""
    options = {key: value for key, value in params.items() if key != "stop"}
    return read_call({"messages": messages, "stop": params.get("stop"), "options": options}, most)


def read_texts(texts: Sequence[str], role: str, origin: Origin, most: int) -> Surface:
    """Plain texts of one author."""
    surface = Surface(most)
    reader, holder = Reader(surface, role, origin), list(texts)
    for index in range(len(holder)):
        reader.item(holder, index, ("texts", index))
    return surface


def read_tool_output(output: Any, most: int) -> Surface:
    """What a tool gave back, of whatever type it is.

    Raises:
        ValueError: it is too large to be read, or endless.
    """
    surface = Surface(most)
    if isinstance(output, BaseMessage):
        read_message(surface, output, ("output",))
    else:
        check_size(output)
        known = isinstance(output, str | int | float | dict | list | tuple | None)
        holder = {"output": output if known else str(output)}
        Reader(surface, "tool", Origin.TOOL).read(holder, "output", ("output",), whole=True)
    return surface


def read_documents(documents: Sequence[Document], most: int) -> Surface:
    """Retrieved documents, and what is known about them."""
    surface = Surface(most)
    for index, document in enumerate(documents):
        reader = Reader(surface, "retrieved", Origin.RETRIEVED, since=len(surface.slots))
        holder = {"page_content": document.page_content, "metadata": dict(document.metadata)}
        if document.id is not None and not is_word(document.id):
            holder["id"] = document.id
        for key in holder:
            reader.read(holder, key, ("documents", index, key), whole=True)
    return surface
