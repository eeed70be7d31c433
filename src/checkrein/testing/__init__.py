"""For tests of policies, engines and hosts: static engines, captured decisions, a counting model provider.

    from checkrein.testing import StaticEngine, Upstream, capture_decisions, deny, obligation, permit

Nothing of the kernel imports it, and it needs nothing but the kernel; `EngineSuite` alone needs pytest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .capture import capture_decisions
from .engines import FailingEngine, StaticEngine, deny, not_applicable, obligation, permit
from .exchange import Failure, UpstreamRequest
from .upstream import Upstream

if TYPE_CHECKING:
    from .suite import EngineSuite

__all__ = [
    "EngineSuite",
    "FailingEngine",
    "Failure",
    "StaticEngine",
    "Upstream",
    "UpstreamRequest",
    "capture_decisions",
    "deny",
    "not_applicable",
    "obligation",
    "permit",
]


def __getattr__(name: str) -> Any:
    """`EngineSuite`, when it is asked for: an application that uses the rest need not have pytest."""
    if name != "EngineSuite":
        raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
    import pytest  # noqa: PLC0415 -- see above

    # Its assertions tell what came, as those of the tests that subclass it do.
    pytest.register_assert_rewrite(*(f"{__name__}.{part}" for part in ("checking", "endurance", "suite")))
    from .suite import EngineSuite  # noqa: PLC0415 -- after that

    globals()[name] = EngineSuite
    return EngineSuite
