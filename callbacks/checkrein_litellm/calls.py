"""What the guard remembers of a call from its first hook to its last."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final
from weakref import WeakKeyDictionary, WeakValueDictionary

from litellm.litellm_core_utils.litellm_logging import Logging
from litellm.proxy._types import UserAPIKeyAuth

from checkrein import Decision, Segment
from checkrein.identity import Identity

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
        keys: the parameters beside the messages that are judged.
        model: the model group that was permitted last, the one that answers.
        attempt: how often a deployment was about to be called.
        permitted: by model group, the messages that may go there.
        denial: the decision that ended the call; whatever comes after is denied by it as well.
        let_pass: it cannot be governed, and the settings only monitor.
        last: the last decision.
    """

    call_id: str
    key: UserAPIKeyAuth | None = field(default=None, repr=False)
    identity: Identity
    environment: Mapping[str, str]
    usage: Mapping[str, int]
    keys: tuple[str, ...] = ("tools", "functions", "prediction", "response_format", "stop", "user")
    model: str = ""
    attempt: int = 0
    permitted: dict[str, tuple[Segment, ...]] = field(default_factory=dict, repr=False)
    denial: Decision | None = None
    let_pass: bool = False
    last: Decision | None = None


class Calls:
    """The calls that are under way, found by LiteLLM's logging object.

    The proxy makes one for each request and hands the same one to every hook, retry and fallback. A caller
    sends JSON and can neither make nor name one, and when LiteLLM lets go of it the call is forgotten.
    """

    def __init__(self) -> None:
        self._calls: WeakKeyDictionary[Logging, Call] = WeakKeyDictionary()
        self._by_id: WeakValueDictionary[str, Call] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._calls)

    def of(self, data: Mapping[str, Any]) -> Call | None:
        """The call that a hook's request belongs to."""
        key = data.get("litellm_logging_obj")
        return self._calls.get(key) if isinstance(key, Logging) else None

    def failed(self, data: Mapping[str, Any], key: UserAPIKeyAuth) -> Call | None:
        """The call of a request that failed, whose logging object LiteLLM has taken away.

        Args:
            data: the request.
            key: what was authenticated: a caller could send the id of somebody else's call.
        """
        metadata = data.get("metadata")
        call_id = metadata.get(CALL_ID) if isinstance(metadata, Mapping) else None
        call = self._by_id.get(call_id) if isinstance(call_id, str) else None
        return call if call is not None and call.key is key else None

    def remember(self, data: MutableMapping[str, Any], call: Call) -> None:
        """Keep a call for the hooks to come, and write down its id."""
        key = data.get("litellm_logging_obj")
        if not isinstance(key, Logging):
            return
        self._calls[key] = call
        self._by_id[call.call_id] = call
        metadata = data.get("metadata")
        if isinstance(metadata, MutableMapping):
            metadata[CALL_ID] = call.call_id
