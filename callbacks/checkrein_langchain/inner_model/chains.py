"""Takes what a chat model makes of itself (bound tools, structured output) and makes it of the guarded one.

A model builds chains around itself. It is asked to build them around a twin that refuses to be called; then
the twin is replaced wherever it stands. Where it stands hidden, calling it fails: nothing falls through to an
unguarded model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NoReturn

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import (
    Runnable,
    RunnableBinding,
    RunnableParallel,
    RunnableSequence,
    RunnableWithFallbacks,
)

__all__ = ["bindings_of", "models_in", "rebound", "twin_of"]

_WAYS_IN: Final = (
    "_agenerate",
    "_agenerate_with_cache",
    "_astream",
    "_generate",
    "_generate_with_cache",
    "_stream",
    "abatch",
    "agenerate",
    "agenerate_prompt",
    "ainvoke",
    "astream",
    "astream_events",
    "atransform",
    "batch",
    "generate",
    "generate_prompt",
    "invoke",
    "stream",
    "stream_events",
    "transform",
)

# Where a chain keeps what it calls.
_CHAINS: Final[Mapping[type[Runnable[Any, Any]], tuple[str, ...]]] = {
    RunnableBinding: ("bound",),
    RunnableParallel: ("steps__",),
    RunnableSequence: ("first", "middle", "last"),
    RunnableWithFallbacks: ("runnable", "fallbacks"),
}


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise NotImplementedError("the model hides in its own chain and cannot be guarded there; bind it by hand")


def twin_of(model: BaseChatModel) -> BaseChatModel:
    """A copy of a model that cannot be called."""
    twin = model.model_copy()
    twin.__dict__.update(dict.fromkeys(_WAYS_IN, _refuse))
    return twin


def bindings_of(made: Runnable[Any, Any], twin: BaseChatModel) -> list[RunnableBinding[Any, Any]]:
    """The places in what the twin made where it is called with options of its own."""
    found: list[RunnableBinding[Any, Any]] = []
    todo: list[Any] = [made]
    while todo:
        node = todo.pop()
        if isinstance(node, RunnableBinding) and node.bound is twin:
            found.append(node)
            continue
        todo += [
            getattr(node, name) for kind, names in _CHAINS.items() if isinstance(node, kind) for name in names
        ]
        if isinstance(node, Mapping):
            todo += node.values()
        elif isinstance(node, list | tuple):
            todo += node
    return found


def rebound(
    made: Runnable[Any, Any], twin: Runnable[Any, Any], guarded: Runnable[Any, Any]
) -> Runnable[Any, Any]:
    """What the twin made, around the guarded model.

    Args:
        made: by the twin.
        twin: replaced: the twin, or the place where it is called.
        guarded: what replaces it.

    Raises:
        NotImplementedError: the twin does not stand in it where it can be replaced.
    """
    replaced, count = _replace(made, twin, guarded)
    if not count:
        _refuse()
    chain: Runnable[Any, Any] = replaced
    return chain


def models_in(made: Any) -> Iterator[BaseChatModel]:
    """The chat models of a chain, wherever they can be seen in it.

    Args:
        made: a chat model, or a chain around some.
    """
    todo = [made]
    while todo:
        node = todo.pop()
        if isinstance(node, BaseChatModel):
            yield node
        for kind, fields in _CHAINS.items():
            if isinstance(node, kind):
                todo += [getattr(node, name) for name in fields]
        if isinstance(node, list | tuple):
            todo += node
        elif isinstance(node, Mapping):
            todo += node.values()


def _replace(node: Any, twin: Any, guarded: Any) -> tuple[Any, int]:
    if node is twin:
        return guarded, 1
    for kind, fields in _CHAINS.items():
        if isinstance(node, kind):
            return _updated(node, twin, guarded, fields)
    if isinstance(node, list | tuple):
        pairs = [_replace(one, twin, guarded) for one in node]
        return type(node)(one for one, _ in pairs), sum(count for _, count in pairs)
    if isinstance(node, Mapping):
        named = {key: _replace(value, twin, guarded) for key, value in node.items()}
        return {key: one for key, (one, _) in named.items()}, sum(count for _, count in named.values())
    return node, 0


def _updated(node: Any, twin: Any, guarded: Any, fields: tuple[str, ...]) -> tuple[Any, int]:
    pairs = {name: _replace(getattr(node, name), twin, guarded) for name in fields}
    count = sum(found for _, found in pairs.values())
    if not count:
        return node, 0
    return node.model_copy(update={name: one for name, (one, _) in pairs.items()}), count
