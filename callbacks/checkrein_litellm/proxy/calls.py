"""What the guard remembers of a call from its first hook to its last."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final, Self
from weakref import WeakKeyDictionary, WeakValueDictionary, ref

from fastapi import HTTPException
from litellm.litellm_core_utils.litellm_logging import Logging
from litellm.proxy._types import UserAPIKeyAuth

from checkrein import Decision, Entity
from checkrein.identity import Identity
from checkrein_litellm.endpoints import UNNAMED, Endpoint
from checkrein_litellm.text.surfaces import Content

from .reply_form import ReplyForm

__all__ = ["CALL_ID", "Call", "Calls"]

CALL_ID: Final = "checkrein_call_id"
"""Where the call's id stands in LiteLLM's metadata: its logs and ours can be joined by it."""


@dataclass(slots=True, kw_only=True, weakref_slot=True, eq=False)
class Call:
    """One call of the proxy.

    Args:
        call_id: joins its decisions.
        key: what the proxy authenticated; None for a call of its own.
        identity: who calls.
        environment: where it came in.
        usage: what its key has spent and may spend.
        endpoint: what kind of call it is.
        keys: the parameters beside the messages that are judged.
        own_key: the key that its caller wants the provider to be called with, where it could be a text.
        models: the model groups that it names, where there are several: each of them answers.
        model: the model group that was permitted last, the one that answers.
        tool: the tool that it calls, where it calls one.
        attempt: how often a deployment was about to be called.
        permitted: by model group, the prompt that may go there.
        selected: by a fallback of the caller's own and its prompt, the decision that it may be called.
        deployment: the one that was about to be called last.
        judged: by a deployment's id, the prompt that may go there.
        said: every text of the request, as it was permitted last.
        denial: the decision that ended the call; whatever comes after is denied by it as well.
        withheld: what is told of it instead of an error that can hold an answer which nobody judged.
        is_record: it is a record of a batch's file, and no request.
        keeper: who keeps its answer before that is judged, if anybody does.
        log: what LiteLLM logs of it, as long as LiteLLM has that.
        reply: how a denial of it would be told in an ordinary answer, where the settings want that.
        let_pass: nobody judges it: the settings allow that, or only monitor what cannot be governed.
        last: the last decision.
        logged: the last decision that LiteLLM's own logs are told of.
        unlogged: those that they are to be told of.
        would_deny: the reasons of denials that are only monitored.
        failed_open: whether an engine's outage was let pass.
    """

    call_id: str
    key: UserAPIKeyAuth | None = field(default=None, repr=False)
    identity: Identity
    environment: Mapping[str, str]
    usage: Mapping[str, int]
    endpoint: Endpoint = UNNAMED
    keys: tuple[str, ...] = ("tools", "functions", "prediction", "response_format", "stop", "user")
    own_key: str = field(default="", repr=False)
    models: tuple[str, ...] = ()
    model: str = ""
    tool: Entity | None = None
    attempt: int = 0
    permitted: dict[str, Content] = field(default_factory=dict, repr=False)
    selected: dict[tuple[str, Content], Decision] = field(default_factory=dict, repr=False)
    deployment: Entity | None = None
    judged: dict[str, Content] = field(default_factory=dict, repr=False)
    said: frozenset[str] = field(default=frozenset(), repr=False)
    denial: Decision | None = None
    withheld: HTTPException | None = field(default=None, repr=False)
    is_record: bool = False
    keeper: str = "LiteLLM"
    log: ref[Logging] | None = field(default=None, repr=False)
    reply: ReplyForm | None = None
    let_pass: bool = False
    last: Decision | None = None
    logged: Decision | None = field(default=None, repr=False)
    unlogged: list[Decision] = field(default_factory=list, repr=False)
    would_deny: list[str] = field(default_factory=list)
    failed_open: bool = False


class _Ticket(str):
    """A call's id that leads to the call: in LiteLLM's metadata, where it is the text of its id and no more.

    A caller sends JSON and can neither make nor name one.
    """

    __slots__ = ("call",)
    call: Call

    def __new__(cls, call: Call) -> Self:
        """The ticket of a call."""
        ticket = super().__new__(cls, call.call_id)
        ticket.call = call
        return ticket

    def __copy__(self) -> _Ticket:
        return self

    def __deepcopy__(self, _: Any) -> _Ticket:
        return self

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)


class Calls:
    """The calls that are under way, found by LiteLLM's logging object, or by a ticket in its metadata.

    The proxy makes one such object for most requests and hands the same one to every hook, retry and
    fallback; for the others there is the ticket. When LiteLLM lets go of the request, the call is forgotten.
    """

    def __init__(self) -> None:
        self._calls: WeakKeyDictionary[Logging, Call] = WeakKeyDictionary()
        self._by_id: WeakValueDictionary[str, Call] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._by_id)

    def of(self, data: Mapping[str, Any]) -> Call | None:
        """The call that a hook's request belongs to."""
        key = data.get("litellm_logging_obj")
        call = self._calls.get(key) if isinstance(key, Logging) else None
        if call is not None:
            return call
        tickets = [metadata.get(CALL_ID) for metadata in (*_buckets(data), data)]
        return next((one.call for one in tickets if isinstance(one, _Ticket)), None)

    def failed(self, data: Mapping[str, Any], key: UserAPIKeyAuth) -> Call | None:
        """The call of a request that failed, whose logging object LiteLLM has taken away.

        Args:
            data: the request.
            key: what was authenticated: a caller could send the id of somebody else's call.
        """
        for metadata in _buckets(data):
            call_id = metadata.get(CALL_ID)
            call = self._by_id.get(call_id) if isinstance(call_id, str) else None
            if call is not None and call.key is key:
                return call
        return None

    def remember(self, data: MutableMapping[str, Any], call: Call) -> None:
        """Keep a call for the hooks to come, and write down its id."""
        key = data.get("litellm_logging_obj")
        if isinstance(key, Logging):
            self._calls[key] = call
            call.log = ref(key)
        # Beside the authentication is LiteLLM's own bucket; the other one goes to some providers.
        buckets = [one for one in _buckets(data) if isinstance(one.get("user_api_key_auth"), UserAPIKeyAuth)]
        if not buckets and "metadata" not in call.endpoint.own:
            buckets = [data.get("metadata", ())]
        for metadata in buckets[:1]:
            if isinstance(metadata, MutableMapping):
                # A mirrored call gets a copy of the metadata, and is a call of its own.
                metadata[CALL_ID] = call.call_id if isinstance(key, Logging) else _Ticket(call)
        self._by_id[call.call_id] = call

    @staticmethod
    def lead(kwargs: MutableMapping[str, Any], call: Call) -> None:
        """Let what LiteLLM calls on the way of a call be known as a part of it.

        Its adapter of Google's API hands on the metadata alone, and no logging object.
        """
        for metadata in _buckets(kwargs):
            if metadata.get(CALL_ID) == call.call_id and isinstance(metadata, MutableMapping):
                metadata[CALL_ID] = _Ticket(call)

    @staticmethod
    def attach(details: MutableMapping[str, Any], call: Call) -> None:
        """Keep a call in what LiteLLM hands to the hooks to come, where that is no request."""
        details[CALL_ID] = _Ticket(call)


def _buckets(data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = [data.get(name) for name in ("litellm_metadata", "metadata")]
    return [one for one in found if isinstance(one, Mapping)]
