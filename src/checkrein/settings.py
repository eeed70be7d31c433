"""The sections of the settings that the enforcement point reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import ByteSize, Field, field_validator

from .decision_log.settings import DecisionLogSettings
from .errors import FailureCause, RequestError
from .identity import HostIdentity
from .plain import plain
from .strict import StageName, StrictModel
from .vocabulary import Stage

__all__ = ["Denials", "Enforcement", "EnforcementRule", "FailureRule", "Limits", "Mode", "Settings", "Stream"]

Mode = Literal["enforce", "monitor"]
# YAML has lists: their members stay strict.
Causes = Annotated[tuple[Annotated[FailureCause, Field(strict=False)], ...], Field(strict=False)]
Size = Annotated[ByteSize, Field(ge=1)]
_PLACE: Final = re.compile(r"\{([A-Za-z_]{1,64})\}", re.ASCII)
_PRICES: Final = ("input_price", "output_price")
_LARGEST: Final = 2**63 - 1
_DEEPEST: Final = 32
Names = Annotated[tuple[str, ...], Field(strict=False)]


class FailureRule(StrictModel):
    """What an outage of a remote engine lets pass: causes by stage; everything else is closed."""

    open_on: Mapping[StageName, Causes] = Field(default_factory=dict, strict=False)

    @field_validator("open_on")
    @classmethod
    def _outages_alone(cls, value: Mapping[Stage, tuple[FailureCause, ...]]) -> Any:
        for causes in value.values():
            for cause in causes:
                if not cause.is_outage:
                    raise ValueError(f"`{cause}` cannot open; only `timeout` and `unreachable` can")
        return value


class EnforcementRule(StrictModel):
    """A mode for the calls that it matches; an absent key matches everything.

    Args:
        subject: properties of the subject and the values that they must have.
        stages: the stages.
        reasons: shell patterns of reason codes, for instance `pii.*`.
        mode: the mode.
    """

    subject: Mapping[str, Any] = Field(default_factory=dict)
    stages: tuple[StageName, ...] = Field(default=(), strict=False)
    reasons: tuple[str, ...] = Field(default=(), strict=False)
    mode: Mode


class Enforcement(StrictModel):
    """Monitor or enforce: the first matching rule, else the default."""

    default: Mode = "enforce"
    rules: tuple[EnforcementRule, ...] = Field(default=(), strict=False)


class Limits(StrictModel):
    """What never reaches an engine.

    Args:
        text: most text of a request, in bytes of UTF-8; `4MiB` is understood.
        facts: most of all else in a request, in bytes of JSON.
        depth: deepest nesting of properties and context, in levels.
        segments: most pieces of text.
        nodes: most strings, objects and lists in a request or in a whole answer: a host reads each of them,
            whatever it says.
        findings: most that the detectors may find: policies go through them one by one.
        candidates: most resources that may be judged together.
    """

    text: Size = ByteSize(4 * 1024 * 1024)
    facts: Size = ByteSize(1024 * 1024)
    depth: int = Field(default=32, ge=1, le=200)
    segments: int = Field(default=10_000, ge=1)
    nodes: int = Field(default=100_000, ge=1)
    findings: int = Field(default=2_000, ge=1)
    candidates: int = Field(default=256, ge=1)


class Denials(StrictModel):
    """How a denied caller learns of it.

    Args:
        on_denied: `raise` the host's exception, or `reply` with an ordinary message where a host can; what
            awaits a tool call or a schema is raised all the same.
        expose: whether policy-written messages may reach callers: they can echo a prompt.
        messages: texts by reason code and language; `{decision_id}` in one is filled in.
    """

    on_denied: Literal["raise", "reply"] = "raise"
    expose: Literal["message", "policy_message"] = "message"
    messages: Mapping[str, Mapping[str, str]] = Field(default_factory=dict)

    @field_validator("messages")
    @classmethod
    def _known_places(cls, value: Mapping[str, Mapping[str, str]]) -> Any:
        for texts in value.values():
            for text in texts.values():
                for word in _PLACE.findall(text):
                    if word != "decision_id":
                        raise ValueError(
                            f"`{{{word}}}` is filled in by nothing; did you mean `{{decision_id}}`?"
                        )
        return value


class Stream(StrictModel):
    """How streamed completions leave.

    Args:
        mode: `hold` gives nothing out before the verdict on the whole; `window` gives out what no finding
            can grow into any more, and holds where a detector of the stage has no bound.
    """

    mode: Literal["hold", "window"] = "hold"


class Settings(StrictModel):
    """How the enforcement point behaves; the defaults are the strictest.

    `unchecked` are stages that no engine has to cover. `uncovered` says, by the host's name of an endpoint
    that it has no hook for, whether calls of it may pass unjudged: `deny`, as without an entry, or `allow`.
    `opt_outs` says, by the host's name of whom its administrators can take out of its checks, whether their
    calls may: `ignore`, as without an entry, or `allow`.
    """

    unchecked: tuple[StageName, ...] = Field(default=(), strict=False)
    uncovered: Mapping[str, Literal["allow", "deny"]] = Field(default_factory=dict)
    opt_outs: Mapping[str, Literal["allow", "ignore"]] = Field(default_factory=dict)
    failure: FailureRule = FailureRule()
    enforcement: Enforcement = Enforcement()
    detectors: Mapping[StageName, Names] = Field(default_factory=dict, strict=False)
    limits: Limits = Limits()
    stream: Stream = Stream()
    denials: Denials = Denials()
    identity: Mapping[str, HostIdentity] = Field(default_factory=dict)
    decision_log: DecisionLogSettings = DecisionLogSettings()
    models: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)

    @field_validator("models")
    @classmethod
    def _judgeable(cls, value: Mapping[str, Mapping[str, Any]]) -> Any:
        for name, properties in value.items():
            for price in _PRICES:
                told = properties.get(price)
                if told is not None and (type(told) is not int or not 0 <= told <= _LARGEST):
                    raise ValueError(f"`{price}` of `{name}` must be a whole number of micro-USD, 0 or more")
            try:
                plain(properties, _DEEPEST)
            except RequestError as error:
                raise ValueError(f"`{name}`: {error}") from None
        return value
