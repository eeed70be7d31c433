"""Keys and teams that were taken out of LiteLLM's guardrails: judged, unless the settings heed that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from litellm.proxy._types import UserAPIKeyAuth

from checkrein import SettingsError

__all__ = ["check_opt_outs", "opted_out"]

# LiteLLM lets nobody but its administrators set it. Whoever may make a key can say its other word,
# `opted_out_global_guardrails`.
_SWITCH: Final = "disable_global_guardrails"
_WHO: Final = ("key", "team")


def check_opt_outs(names: Iterable[str]) -> None:
    """Check the names that the settings list.

    Raises:
        SettingsError: LiteLLM knows no such opt-out.
    """
    for name in names:
        if name not in _WHO:
            raise SettingsError(f"`opt_outs.{name}` is nobody who can opt out; these can: {', '.join(_WHO)}")


def opted_out(key: UserAPIKeyAuth | None, settings: Mapping[str, str]) -> str | None:
    """Who took a call out of the guardrails, `key` or `team`, where the settings heed that; else None.

    Args:
        key: what the proxy authenticated: what a request says of itself is never read.
        settings: `allow` or `ignore`, by who opts out.
    """
    if key is None or "allow" not in settings.values():
        return None
    own, team = _switch(key.metadata), _switch(key.team_metadata)
    if own is True and settings.get("key") == "allow":
        return "key"
    # As in LiteLLM: a key that says it wants to be judged is judged, whatever its team says.
    if team is True and own in {None, True} and settings.get("team") == "allow":
        return "team"
    return None


def _switch(metadata: Any) -> bool | None:
    value = metadata.get(_SWITCH) if isinstance(metadata, Mapping) else None
    return value if isinstance(value, bool) else None
