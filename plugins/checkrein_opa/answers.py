"""What an answer of OPA's data API says: a rule's value with where it comes from, or why there is none."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from checkrein.errors import EngineFailure, FailureCause

from .wire import Response

__all__ = ["NO_RESULT", "OpaAnswer", "read_answer"]

NO_RESULT: Final = object()
"""The value of a rule that has none: undefined, or OPA has no policies yet."""

_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_WORD: Final = re.compile(r"[\x21-\x7e]{1,256}")
_MAX_REVISION: Final = 256
_OK: Final = 200
_REDIRECTS: Final = range(300, 400)
_REFUSALS: Final = range(400, 500)
_OUTAGES: Final = range(500, 600)


@dataclass(frozen=True, slots=True)
class OpaAnswer:
    """A rule's value.

    Args:
        value: JSON; `NO_RESULT` when the answer has none.
        decision_id: OPA's own id of the decision, in its decision log.
        revision: of the bundles that answered.
    """

    value: Any
    decision_id: str | None = None
    revision: str | None = None


def read_answer(response: Response) -> OpaAnswer:
    """Read an answer of `POST /v1/data/...?provenance=true`.

    Raises:
        EngineFailure: as ARCHITECTURE says for each status and shape. Its detail holds status and error codes
            alone, never a body: bodies can echo what was sent.
    """
    status = response.status
    if status != _OK:
        raise _refusal(response)
    body = _json(response.body)
    if not isinstance(body, dict):
        raise _invalid("the answer is no JSON object")
    if "warning" in body:
        raise _error(f"OPA warns that it was not asked as we ask{_told(_codes(body['warning']))}")
    revision = _revision(body.get("provenance"))
    decision_id = body.get("decision_id")
    if decision_id is not None and not (isinstance(decision_id, str) and _WORD.fullmatch(decision_id)):
        raise _invalid("the `decision_id` of the answer is no word")
    return OpaAnswer(body.get("result", NO_RESULT), decision_id, revision)


def _refusal(response: Response) -> EngineFailure:
    status = response.status
    if status in _REDIRECTS:
        return _invalid(f"`{status}`: a redirect, which is never followed; correct `url`")
    if status in {401, 403}:
        return _error(f"`{status}`: OPA refuses us; check `token` and `tls.cert`")
    if status in _REFUSALS or status in _OUTAGES:
        try:
            body = _json(response.body)
        except EngineFailure:
            body = None
        codes = _codes(body)
        if status in _OUTAGES and not any(code.startswith("eval_") for code in codes):
            # Not OPA, or OPA without a word about the policy.
            return EngineFailure(FailureCause.UNREACHABLE, f"`{status}`: OPA is away{_told(codes)}")
        return _error(f"`{status}`: OPA answers an error{_told(codes)}")
    return _invalid(f"`{status}` is no status of an answer")


def _codes(body: Any) -> list[str]:
    """OPA's error codes: those of the errors, else that of the answer; words of a fixed form alone."""
    if not isinstance(body, dict):
        return []
    errors = body.get("errors")
    inner = [one.get("code") for one in errors if isinstance(one, dict)] if isinstance(errors, list) else []
    found = [code for code in (*inner, body.get("code")) if isinstance(code, str) and _CODE.fullmatch(code)]
    return list(dict.fromkeys(found))[:4]


def _told(codes: Sequence[str]) -> str:
    return f": `{'`, `'.join(codes)}`" if codes else ""


def _revision(provenance: Any) -> str | None:
    """The revisions of the bundles; of several bundles, each with its name."""
    if provenance is None:
        return None
    if not isinstance(provenance, dict):
        raise _invalid("the `provenance` of the answer is no object")
    bundles = provenance.get("bundles") or {}
    if not isinstance(bundles, dict) or not all(isinstance(one, dict) for one in bundles.values()):
        raise _invalid("the `provenance.bundles` of the answer are no objects")
    known = {name: one["revision"] for name, one in sorted(bundles.items()) if one.get("revision")}
    if not known and provenance.get("revision"):  # one bundle, in OPA's older form
        known = {"": provenance["revision"]}
    if not all(isinstance(one, str) and one.isprintable() for one in (*known, *known.values())):
        raise _invalid("a revision in the `provenance` of the answer is no line of text")
    if len(known) <= 1:
        return next(iter(known.values()), "")[:_MAX_REVISION] or None
    return ", ".join(f"{name}={one}" for name, one in known.items())[:_MAX_REVISION]


def _json(body: bytes) -> Any:
    try:
        value = orjson.loads(body)
        # orjson lets the last of two equal keys win, and the other parser lets lone surrogates in: both look.
        json.loads(body, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise _invalid("the answer is no strict JSON") from None
    return value


def _unique(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key is there twice")


def _error(problem: str) -> EngineFailure:
    return EngineFailure(FailureCause.ENGINE_ERROR, problem)


def _invalid(problem: str) -> EngineFailure:
    return EngineFailure(FailureCause.INVALID_ANSWER, problem)
