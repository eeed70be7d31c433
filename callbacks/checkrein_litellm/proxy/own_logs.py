"""What of a proxy's own logs hears texts that no policy has judged, or has denied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

__all__ = ["log_warnings"]

_CALLBACKS: Final = ("callbacks", "failure_callback", "success_callback")
_OURS: Final = "checkrein_litellm."


def log_warnings(config: Mapping[str, Any]) -> Iterator[str]:
    """What to look at in a proxy's configuration: LiteLLM logs what was asked, and every answer as it came.

    Args:
        config: the proxy's, as it was read.
    """
    settings, general = _section(config, "litellm_settings"), _section(config, "general_settings")
    if not settings.get("turn_off_message_logging"):
        for key in _CALLBACKS:
            told = settings.get(key)
            names = [str(one) for one in (told if isinstance(told, list) else [told]) if one]
            others = [f"`{name}`" for name in names if not name.startswith(_OURS)]
            if others:
                yield (
                    f"{', '.join(others)} in `litellm_settings.{key}` can be told denied prompts, and "
                    "answers before they are judged; set `litellm_settings.turn_off_message_logging: true`"
                )
    if general.get("store_prompts_in_spend_logs"):
        yield (
            "`general_settings.store_prompts_in_spend_logs` keeps denied prompts, and answers before they "
            "are judged, in LiteLLM's database"
        )


def _section(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    section = config.get(key)
    return section if isinstance(section, Mapping) else {}
