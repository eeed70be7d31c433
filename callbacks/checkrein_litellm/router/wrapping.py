"""Puts functions of ours into the place of a router's methods."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, Final

from litellm.router import Router

from checkrein.flow import Flow, arun, run
from checkrein.identity import Identity
from checkrein_litellm.sdk.parameters import bound
from checkrein_litellm.sdk.tickets import passage_of

from .attempt import RoutedPassage
from .methods import GOVERNED

__all__ = ["Acting", "is_routers", "keeping", "two_ways"]

# How `acting_as` hands the subject to a call.
_IDENTITY: Final = "checkrein_identity"


class Acting:
    """A router's governed calls, for one subject."""

    def __init__(self, router: Router, identity: Identity) -> None:
        self._router = router
        self._identity = identity

    def __getattr__(self, name: str) -> Any:
        if name not in GOVERNED:
            raise AttributeError(f"`{name}` is no governed call of a router; call it within `acting_as`")
        return partial(getattr(self._router, name), **{_IDENTITY: self._identity})


def two_ways(original: Callable[..., Any], flow: Callable[..., Flow[Any]]) -> Callable[..., Any]:
    """A function in a method's place, asynchronous where that is.

    Args:
        original: the method.
        flow: makes the flow of a call, of its parameters and of whom it is made for.
    """
    if inspect.iscoroutinefunction(original):

        @wraps(original)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            identity = _taken(kwargs)
            return await arun(flow(bound(original, args, kwargs), identity))

        return awaited

    @wraps(original)
    def called(*args: Any, **kwargs: Any) -> Any:
        identity = _taken(kwargs)
        return run(flow(bound(original, args, kwargs), identity))

    return called


def is_routers(function: Callable[..., Any]) -> bool:
    """Whether a router made it: what applications hand to it has names of their own."""
    return function.__qualname__.startswith(f"{Router.__name__}.")


def keeping(key: str, original: Callable[..., Any]) -> Callable[..., Any]:
    """A method that tells the call what it keeps to itself while a deployment is chosen."""

    @wraps(original)
    def told(*args: Any, **kwargs: Any) -> Any:
        passage = passage_of(kwargs)
        if isinstance(passage, RoutedPassage):
            passage.kept = {key: kwargs.get(key)}
        return original(*args, **kwargs)

    return told


def _taken(kwargs: dict[str, Any]) -> Identity | None:
    identity = kwargs.pop(_IDENTITY, None)
    if identity is not None and not isinstance(identity, Identity):
        raise TypeError(f"`{_IDENTITY}` is no parameter of a call; use `acting_as`")
    return identity
