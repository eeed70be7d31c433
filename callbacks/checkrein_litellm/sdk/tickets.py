"""How a call is found again inside of LiteLLM: by its id, which leads to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from .passage import Passage

__all__ = ["Ticket", "passage_of"]


class Ticket(str):
    """A call's id that leads to the call; for LiteLLM, and wherever it is written, it is the id alone.

    Args:
        passage: the call.
    """

    __slots__ = ("passage",)
    passage: Passage

    def __new__(cls, passage: Passage) -> Self:
        """Make one."""
        ticket = super().__new__(cls, passage.client_call_id or passage.call_id)
        ticket.passage = passage
        return ticket

    def __copy__(self) -> Ticket:
        return self

    def __deepcopy__(self, _: Any) -> Ticket:
        return self

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)


def passage_of(kwargs: Mapping[str, Any] | None) -> Passage | None:
    """The call that LiteLLM's parameters belong to, if it is one of ours."""
    ticket = (kwargs or {}).get("litellm_call_id")
    return ticket.passage if isinstance(ticket, Ticket) else None
