"""For tests of policies, engines and hosts: static engines, captured decisions, a counting model provider.

    from checkrein.testing import StaticEngine, Upstream, capture_decisions, deny, obligation, permit

Nothing of the kernel imports it, and it needs nothing but the kernel.
"""

from .capture import capture_decisions
from .engines import FailingEngine, StaticEngine, deny, not_applicable, obligation, permit
from .serving import Failure, UpstreamRequest
from .upstream import Upstream

__all__ = [
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
