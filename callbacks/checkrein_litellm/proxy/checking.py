"""`checkrein check --litellm config.yaml`: would this proxy start with the guard, and does it stop calls?"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CheckResult", "CheckResults", "EndpointResult", "check"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What became of one synthetic denial.

    Args:
        stage: where the policy denied.
        what: what was tried.
        ok: whether the call was stopped with a 403 and a decision id.
        detail: the denial's id, or what happened instead.
    """

    stage: str
    what: str
    ok: bool
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointResult:
    """What the settings say of a kind of endpoint that LiteLLM shows to no hook, or to too few.

    Args:
        name: its name under `uncovered`.
        allowed: whether its calls pass.
        passes: what goes through unjudged where it is allowed.
    """

    name: str
    allowed: bool
    passes: str


class CheckResults(list[CheckResult]):
    """What became of the synthetic denials.

    Attributes:
        endpoints: what is not covered, by name.
        warnings: what else of the proxy's configuration is worth a look.
    """

    endpoints: tuple[EndpointResult, ...] = ()
    warnings: tuple[str, ...] = ()


def check(config: Path) -> CheckResults:
    """Boot the guard as the proxy would, then deny at every stage through LiteLLM's own dispatch.

    No server is started, nothing is sent, nothing is written to the decision log, and the guard's engines
    are not asked: a synthetic one denies.

    Args:
        config: the proxy's `config.yaml`.

    Raises:
        SettingsError: the proxy would not start, or would start without the guard.
    """
    with _offline(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what LiteLLM says is about its own code
        from .probing import probe  # noqa: PLC0415 -- importing LiteLLM asks the network unless it is forbidden

        probed = probe(config)
        results = CheckResults(
            CheckResult(stage=stage, what=what, ok=ok, detail=told)
            for stage, what, ok, told in probed.outcomes
        )
        results.endpoints = tuple(
            EndpointResult(name=name, allowed=allowed, passes=passes)
            for name, allowed, passes in probed.uncovered
        )
        results.warnings = tuple(probed.warnings)
        return results


@contextmanager
def _offline() -> Iterator[None]:
    name = "LITELLM_LOCAL_MODEL_COST_MAP"
    before = os.environ.get(name)
    os.environ[name] = "True"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
