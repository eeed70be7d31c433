"""Writes what a policy demands into a request or an answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

from checkrein import Changes

from . import facts
from .endpoints import ENDPOINTS, Endpoint
from .text.leaves import member
from .text.request_fields import CONTROLS, DECLARATIONS, tool_names
from .text.surfaces import Surfaces, UnwritableError

__all__ = ["write_answer", "write_request"]


def write_request(
    data: MutableMapping[str, Any],
    changes: Changes,
    surfaces: Surfaces,
    endpoint: Endpoint = ENDPOINTS["acompletion"],
    *,
    storable: bool = True,
) -> None:
    """Write changes into a request.

    Args:
        data: the request.
        changes: what a decision demands.
        surfaces: the request's texts.
        endpoint: what kind of call it is.
        storable: whether LiteLLM can be told to keep nothing of it.

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
    if changes.parameters:
        _parameters(data, endpoint).update(changes.parameters)
    if changes.max_tokens is not None:
        _limit(data, changes.max_tokens, endpoint)
    if changes.remove_tools:
        _remove_tools(data, changes.remove_tools)
    if changes.no_store and (endpoint.raw or not storable):
        raise UnwritableError("LiteLLM cannot be told to keep nothing of it")
    if changes.no_store:
        cache = data.get("cache")
        data["cache"] = {**(cache if isinstance(cache, Mapping) else {}), "no-store": True}
        data["no-log"] = True
        if data.get("store") or endpoint.stored:
            data["store"] = False


def write_answer(answers: Iterable[Any], changes: Changes, surfaces: Surfaces) -> None:
    """Write changes into an answer, or into the chunks of one.

    What says the same once more in another form goes: the tokens of `logprobs`, and speech.

    Raises:
        UnwritableError: one of them cannot be written.
    """
    surfaces.write(changes.texts)
    for answer in answers:
        for path in changes.texts:
            if path[0] == "output":
                _silence_part(answer, path)
    for name in ("choices", "candidates"):
        changed = {path[1] for path in changes.texts if path[0] == name}
        for answer in answers if changed else ():
            for index, choice in enumerate(member(answer, name) or ()):
                number = member(choice, "index")
                if index in changed or number in changed:
                    _silence(choice)


def _parameters(data: MutableMapping[str, Any], endpoint: Endpoint) -> MutableMapping[str, Any]:
    """Where the parameters of the model stand: in the request, or in a part of it as in Google's API."""
    holders = [path.partition(".")[0] for path in endpoint.limits if "." in path]
    if not holders:
        return data
    held = [data[name] for name in holders if isinstance(data.get(name), MutableMapping)]
    return held[0] if held else data.setdefault(holders[0], {})  # type: ignore[no-any-return]


def _limit(data: MutableMapping[str, Any], limit: int, endpoint: Endpoint) -> None:
    if not endpoint.limits:
        return  # what answers without tokens keeps every limit
    parameters = _parameters(data, endpoint)
    names = [path.rpartition(".")[2] for path in endpoint.limits]
    for key in [key for key in names if parameters.get(key) is not None] or names[:1]:
        asked = parameters.get(key)
        parameters[key] = min(asked, limit) if type(asked) is int and asked > 0 else limit


def _silence(choice: Any) -> None:
    for tokens in ("logprobs", "logprobsResult"):
        if member(choice, tokens) is not None:
            _put(choice, tokens, None)
    for part in ("message", "delta"):
        audio = member(member(choice, part) or {}, "audio")
        if audio and member(audio, "data"):
            _put(audio, "data", "")


def _silence_part(answer: Any, path: tuple[str | int, ...]) -> None:
    """Take the tokens away that repeat a part of an item of the responses API."""
    part = answer
    for key in path[:4]:
        part = member(part, key) if part is not None else None
    if part is not None and not isinstance(part, str) and member(part, "logprobs"):
        _put(part, "logprobs", [])


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
        kept = [one for tool in tools if (one := _without(tool, names)) is not None]
        if kept == tools:
            continue
        if kept:
            data[key] = kept
        else:
            del data[key]
            data.pop("parallel_tool_calls", None)
        if not kept or names.intersection(tool_names({"tools": [data.get(choice)]})):
            # It would name a tool that is gone.
            data.pop(choice, None)


def _without(tool: Any, names: frozenset[str]) -> Any:
    """The tool, or what is left of it; None where nothing is."""
    if not names.intersection(tool_names({"tools": [tool]})):
        return tool
    for key in DECLARATIONS:
        if isinstance(tool.get(key), list):
            kept = [one for one in tool[key] if not names.intersection(tool_names({"tools": [one]}))]
            return {**tool, key: kept} if kept else None
    return None
