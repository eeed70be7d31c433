"""Policy-as-code in front of every LLM call: the kernel, which knows no engine and no host."""

from .decision import Candidate, Changes, Decision, DischargedObligation
from .denial import Denial, denial_from
from .enforcement import EnforcementPoint
from .errors import (
    CheckreinError,
    EngineFailure,
    FailureCause,
    MissingExtraError,
    PolicyDenied,
    PolicyLoadError,
    SettingsError,
)
from .identity import acting_as
from .settings import Settings
from .streaming import StreamGate
from .vocabulary import (
    ANONYMOUS,
    AccessRequest,
    Effect,
    Entity,
    Finding,
    Obligation,
    Origin,
    Reason,
    Segment,
    Stage,
    Verdict,
)

__all__ = [
    "ANONYMOUS",
    "AccessRequest",
    "Candidate",
    "Changes",
    "CheckreinError",
    "Decision",
    "Denial",
    "DischargedObligation",
    "Effect",
    "EnforcementPoint",
    "EngineFailure",
    "Entity",
    "FailureCause",
    "Finding",
    "MissingExtraError",
    "Obligation",
    "Origin",
    "PolicyDenied",
    "PolicyLoadError",
    "Reason",
    "Segment",
    "Settings",
    "SettingsError",
    "Stage",
    "StreamGate",
    "Verdict",
    "acting_as",
    "denial_from",
]
