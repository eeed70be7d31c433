"""The decision log: what the enforcement point records to."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from structlog import BoundLoggerBase
from structlog.typing import EventDict

from checkrein.decision import Decision
from checkrein.errors import SettingsError

from .encoding import encode
from .masking import Masking
from .recording import INPUT_SCHEMA, RECORD, concluded, stamped, traced
from .settings import DecisionLogSettings
from .sink import Sink
from .targets import File, Stdout

__all__ = ["DecisionLog"]


class _Logger(BoundLoggerBase):
    """A private logger: built by hand, so that nobody's `structlog.configure` is read or changed."""

    def laid_out(self, event: str, fields: dict[str, Any]) -> tuple[EventDict, int]:
        """Run the processors; gives the event, and how many code points of text it shows."""
        (laid_out, text), _ = self._process_event("laid_out", event, fields)
        return laid_out, text


class DecisionLog:
    """Records decisions and what changes them, one line of JSON each, in the background.

    Nothing here raises into a call or waits for the target; what is lost is counted in `dropped`. What is
    queued is written when the interpreter ends; a process that ends by `os._exit` (a child of
    `multiprocessing` does) must call `close`. A forked child writes its own records and not its parent's.

    Args:
        settings: where to, and how much of the input.
        settings_revision: which settings are in force.

    Raises:
        SettingsError: the file cannot be opened.
    """

    def __init__(self, settings: DecisionLogSettings, *, settings_revision: str | None = None) -> None:
        self.settings_revision = settings_revision
        self._required = settings.required
        target = Stdout() if isinstance(settings.to, str) else File(settings.to)
        if isinstance(target, File):
            try:
                target.write(())
            except OSError as error:
                problem = f"the decision log `{settings.to}` cannot be opened: {error.strerror}"
                raise SettingsError(f"{problem}; name another file") from error
        self._sink = Sink(target, settings.queue)
        secret = settings.digest_key
        key = secret.get_secret_value().encode() if secret else secrets.token_bytes(32)
        ends = (self._revised, traced)
        versions = {"event": "", "record": RECORD}
        self._events = _Logger(self._sink, (stamped, *ends, _handed_over), versions)
        masking = Masking(settings.content, key)
        self._decisions = _Logger(
            self._sink,
            (stamped, concluded, *ends, masking, _decided),
            {**versions, "input_schema": INPUT_SCHEMA},
        )

    @property
    def required(self) -> bool:
        """Whether a call is denied for which there is no room here, under monitor too."""
        return self._required

    def reserve(self) -> bool:
        """Set a slot aside for a record, before concluding; False when a required log has none left."""
        return self._sink.reserve() if self._required else True

    def release(self) -> None:
        """Give a reserved slot back that no record will take."""
        if self._required:
            self._sink.release()

    def record(self, decision: Decision) -> None:
        """Record a decision; takes the slot that was reserved for it."""
        owed = self._required and not decision.denied
        self._put(
            self._decisions, "policy_decision", {"decision": decision}, reserved=self._required, owed=owed
        )

    def event(self, name: str, /, **fields: Any) -> None:
        """Record what changes decisions: `settings_loaded`, `policy_loaded`, `mode_changed` ...

        Args:
            name: what happened.
            fields: JSON values; no text of a call.
        """
        self._put(self._events, name, {"fields": fields})

    def _put(
        self,
        logger: _Logger,
        name: str,
        fields: dict[str, Any],
        *,
        reserved: bool = False,
        owed: bool = False,
    ) -> None:
        reason = "masking_failed"
        try:
            event, text = logger.laid_out(name, fields)
            reason = "encoding_failed"
            line = encode(event, text)
        except Exception:  # noqa: BLE001 -- what cannot be masked is lost: neither leaked nor raised into a call
            self._sink.lose(reason)
            if reserved:
                self._sink.release()
            return
        self._sink.put(line, text=text, reserved=reserved, owed=owed)

    @property
    def dropped(self) -> Mapping[str, int]:
        """How many records were lost, by reason: `queue_full`, `masking_failed`, `encoding_failed` ..."""
        return {reason: count for reason, count in self._sink.counts.items() if reason != "written"}

    @property
    def written(self) -> int:
        """How many records this process has written."""
        return self._sink.counts["written"]

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until everything recorded so far is written.

        Args:
            timeout: at most so many seconds.

        Returns:
            Whether it was.
        """
        return self._sink.flush(timeout)

    def close(self, timeout: float = 5.0) -> None:
        """Write what is queued and end; may be called again. What cannot be written is counted.

        Args:
            timeout: at most so many seconds.
        """
        self._sink.close(timeout)

    def _revised(self, _logger: Any, _method: str, event: EventDict) -> EventDict:
        event["settings_revision"] = self.settings_revision
        return event


def _decided(_logger: Any, _method: str, event: EventDict) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Hand a decision's event over without what only the processors needed."""
    del event["decision"]
    return (event, event.pop("text", 0)), {}


def _handed_over(_logger: Any, _method: str, event: EventDict) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Hand another event over, with its own fields after those that all have."""
    for name, value in event.pop("fields").items():
        event.setdefault(name, value)
    return (event, 0), {}
