"""What must hold before a proxy starts with the guard: anything else stops the boot.

LiteLLM answers a `ValueError` or `TypeError` of a guardrail by starting without it; a `RuntimeError` stops
the boot.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final

from litellm.types.guardrails import GuardrailEventHooks

from checkrein import Decision, EnforcementPoint, SettingsError
from checkrein_litellm import facts
from checkrein_litellm.endpoints import STAGES

from .asker import Asker
from .gate import Gate
from .opt_outs import check_opt_outs
from .uncovered import check_names

__all__ = ["CONFIG_KEY", "enforcement_point", "probing", "required_modes", "stand_in_front"]

CONFIG_KEY: Final = "checkrein_config"
"""The one key of ours in the guardrail's `litellm_params`: the settings file."""

_REQUIRED: Final = ("pre_call", "post_call")
_PREFIX: Final = "checkrein_"
# Each makes LiteLLM throw away what the guard writes, or leave it out.
_HARMFUL: Final = ("run_in_parallel", "scan_raw_request")

_probe: ContextVar[tuple[Path, Callable[[Decision], None]] | None] = ContextVar("probe", default=None)


def enforcement_point(event_hook: Any, *, default_on: Any, options: Mapping[str, Any]) -> EnforcementPoint:
    """Check how the guard is configured and build its enforcement point.

    Args:
        event_hook: the guardrail's `mode`.
        default_on: the guardrail's `default_on`.
        options: everything else in its `litellm_params`.

    Raises:
        SettingsError: the proxy must not start.
    """
    unknown = sorted(key for key in options if key.startswith(_PREFIX) and key != CONFIG_KEY)
    if unknown:
        raise SettingsError(f"`{unknown[0]}` is no key of the guardrail; the only one is `{CONFIG_KEY}`")
    if default_on is not True:
        raise SettingsError("the guardrail must have `default_on: true`; otherwise callers choose it")
    required_modes(event_hook)
    for key in _HARMFUL:
        if options.get(key):
            raise SettingsError(f"the guardrail must not have `{key}`: LiteLLM would drop its redactions")
    path = _settings_path(options.get(CONFIG_KEY))
    probe = _probe.get()
    pep = EnforcementPoint.from_settings(path, record=probe[1] if probe else None)
    pep.require(STAGES)
    check_names(pep.settings.uncovered)
    check_opt_outs(pep.settings.opt_outs)
    facts.warm()
    return pep


def stand_in_front(asker: Asker) -> None:
    """Guard what no hook of the guard's covers in a proxy that starts here; without one, nothing.

    Args:
        asker: the guard's.

    Raises:
        SettingsError: the proxy must not start.
    """
    module = sys.modules.get("litellm.proxy.proxy_server")
    if module is not None and _probe.get() is None:
        Gate.install(getattr(module, "app", None), asker)


def required_modes(event_hook: Any) -> None:
    """Check the guardrail's `mode`.

    Raises:
        SettingsError: it leaves a stage out, or has a mode that LiteLLM does not know and never runs.
    """
    modes = [event_hook] if isinstance(event_hook, str) else event_hook
    wanted = f"[{', '.join(_REQUIRED)}]"
    if not isinstance(modes, list | tuple) or not all(isinstance(mode, str) for mode in modes):
        raise SettingsError(f"the guardrail must have `mode: {wanted}`")
    names = [mode.value if isinstance(mode, GuardrailEventHooks) else str(mode) for mode in modes]
    known = {hook.value for hook in GuardrailEventHooks}
    for name in names:
        if name not in known:
            raise SettingsError(f"`{name}` is no mode of LiteLLM's; use `mode: {wanted}`")
    missing = [name for name in _REQUIRED if name not in names]
    if missing:
        raise SettingsError(f"the guardrail's mode leaves out `{missing[0]}`; use `mode: {wanted}`")


@contextmanager
def probing(folder: Path, record: Callable[[Decision], None]) -> Iterator[None]:
    """Build guards for a probe: relative to a folder, and without their decision log.

    Args:
        folder: the folder of the proxy's configuration.
        record: is handed the decisions instead of the log.
    """
    token = _probe.set((folder, record))
    try:
        yield
    finally:
        _probe.reset(token)


def _settings_path(named: Any) -> Path | None:
    if named is None:
        return None
    if not isinstance(named, str) or not named:
        raise SettingsError(f"`{CONFIG_KEY}` must be the path of a settings file")
    folder = _config_folder()
    return Path(folder, named) if folder is not None else Path(named)


def _config_folder() -> Path | None:
    """The folder of the proxy's configuration; None where it has none, for instance in a bucket."""
    probe = _probe.get()
    if probe is not None:
        return probe[0]
    module = sys.modules.get("litellm.proxy.proxy_server")
    file = getattr(module, "user_config_file_path", None) or os.environ.get("CONFIG_FILE_PATH")
    return Path(file).resolve().parent if isinstance(file, str) and Path(file).is_file() else None
