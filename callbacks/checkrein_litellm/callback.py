"""The guard for a proxy whose configuration lists callbacks instead of guardrails.

    litellm_settings:
      callbacks: [checkrein_litellm.callback.policy_guard]

The settings are those that `CHECKREIN_CONFIG` names. Importing this module builds the guard, as LiteLLM wants
an instance; one that cannot be built stops the proxy's boot.
"""

from __future__ import annotations

from typing import Final

from .proxy.guard import PolicyGuard

__all__ = ["policy_guard"]

_MODES: Final = ["pre_call", "post_call"]

policy_guard: Final = PolicyGuard(guardrail_name="checkrein", event_hook=_MODES, default_on=True)
"""What LiteLLM calls."""
