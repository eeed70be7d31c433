"""Writes what a policy demands into a request or an answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

from checkrein import Changes

from . import facts
from .leaves import member
from .requests import CONTROLS, MAX_TOKENS, tool_names
from .surfaces import Surfaces, UnwritableError

__all__ = ["write_answer", "write_request"]


def write_request(data: MutableMapping[str, Any], changes: Changes, surfaces: Surfaces) -> None:
    """Write changes into a request.

    Raises:
        UnwritableError: one of them cannot be written.
    """
    surfaces.write(changes.texts)
    if changes.model is not None:
        if facts.router() is not None and not facts.deployments(changes.model):
            raise UnwritableError(f"the proxy has no model `{changes.model}` to route to")
        data["model"] = changes.model
    refused = CONTROLS & changes.parameters.keys()
    if refused:
        raise UnwritableError(f"`{min(refused)}` is no parameter of the model")
    data.update(changes.parameters)
    if changes.max_tokens is not None:
        for key in [key for key in MAX_TOKENS if data.get(key) is not None] or MAX_TOKENS[:1]:
            asked = data.get(key)
            data[key] = min(asked, changes.max_tokens) if type(asked) is int else changes.max_tokens
    if changes.remove_tools:
        _remove_tools(data, changes.remove_tools)
    if changes.no_store:
        cache = data.get("cache")
        data["cache"] = {**(cache if isinstance(cache, Mapping) else {}), "no-store": True}
        data["no-log"] = True
        if data.get("store"):
            data["store"] = False


def write_answer(answers: Iterable[Any], changes: Changes, surfaces: Surfaces) -> None:
    """Write changes into an answer, or into the chunks of one.

    What says the same once more in another form goes: the tokens of `logprobs`, and speech.

    Raises:
        UnwritableError: one of them cannot be written.
    """
    surfaces.write(changes.texts)
    changed = {path[1] for path in changes.texts if path[0] == "choices"}
    for answer in answers:
        for index, choice in enumerate(member(answer, "choices") or ()):
            number = member(choice, "index")
            if (number if type(number) is int else index) in changed:
                _silence(choice)


def _silence(choice: Any) -> None:
    if member(choice, "logprobs") is not None:
        _put(choice, "logprobs", None)
    for part in ("message", "delta"):
        audio = member(member(choice, part) or {}, "audio")
        if audio and member(audio, "data"):
            _put(audio, "data", "")


def _put(container: Any, key: str, value: Any) -> None:
    if isinstance(container, MutableMapping):
        container[key] = value
    else:
        setattr(container, key, value)


def _remove_tools(data: MutableMapping[str, Any], names: frozenset[str]) -> None:
    for key, choice in (("tools", "tool_choice"), ("functions", "function_call")):
        tools = data.get(key)
        if not isinstance(tools, list):
            continue
        kept = [tool for tool in tools if not names.intersection(tool_names({"tools": [tool]}))]
        if len(kept) == len(tools):
            continue
        if kept:
            data[key] = kept
        else:
            del data[key]
            data.pop("parallel_tool_calls", None)
        if not kept or names.intersection(tool_names({"tools": [data.get(choice)]})):
            # It would name a tool that is gone.
            data.pop(choice, None)
