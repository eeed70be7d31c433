"""Where what a record names stands in the present policies, as long as they are those that answered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from checkrein.engine import ExplainingEngine, LocatingEngine, PolicyEngine, SearchableEngine
from checkrein.loading import LoadedSettings
from checkrein.vocabulary import Stage

__all__ = ["Places"]

# What a reason is called whose policy gave no code: the word leads nowhere.
_DEFAULT_CODES: Final = frozenset({"denied", "permitted"})


class Places:
    """What the engines of some settings know.

    Args:
        loaded: the settings.
    """

    def __init__(self, loaded: LoadedSettings) -> None:
        self._engines: dict[str, list[PolicyEngine]] = {}
        for engine in loaded.engine.engines:
            self._engines.setdefault(engine.name, []).append(engine)

    def of_answer(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """The rule that was asked, and the places of the policies that an answer names, as JSON values."""
        known = self._engines.get(str(answer.get("engine")), [])
        if not known:
            return {"note": "no such engine in the settings"}
        engine = self._engine(answer)
        asked = engine or known[0]
        told: dict[str, Any] = {}
        if isinstance(asked, ExplainingEngine) and answer.get("stage") in [*Stage]:
            told["entrypoint"] = asked.entrypoint(Stage(str(answer["stage"])))
        if engine is None:
            # A line of the present file would point at something else.
            now = ", ".join(str(one.revision) for one in known)
            return {**told, "note": f"the policies have changed since: {now} now"}
        if not isinstance(engine, LocatingEngine):
            return {**told, "places": {}}
        found = {policy: engine.locate(policy) for policy in answer.get("policy_ids", ())}
        return {
            **told,
            "places": {policy: _shown(place) for policy, place in found.items() if place is not None},
            "places_are": "first definitions" if isinstance(engine, SearchableEngine) else "policies",
        }

    def of_reason(self, reason: Mapping[str, Any], answers: Iterable[Mapping[str, Any]]) -> list[str]:
        """Where the policies that gave the answers write a reason: its message, or else its code."""
        found: dict[str, None] = {}
        for answer in answers:
            engine = self._engine(answer)
            if isinstance(engine, SearchableEngine) and answer.get("effect") is not None:
                found |= dict.fromkeys(_written(engine, reason))
        return [*found]

    def _engine(self, answer: Mapping[str, Any]) -> PolicyEngine | None:
        """The engine that gave an answer, if its policies are the same; a name can be that of several."""
        then = answer.get("revision")
        for engine in self._engines.get(str(answer.get("engine")), ()):
            if then is None or engine.revision is None or engine.revision == then:
                return engine
        return None


def _written(engine: SearchableEngine, reason: Mapping[str, Any]) -> list[str]:
    # Of the two, the message is written for this reason alone: a code is often a type of findings as well.
    for word in (reason.get("message"), reason.get("code")):
        if isinstance(word, str) and word and word not in _DEFAULT_CODES:
            found = engine.find_literal(word)
            if found:
                return [_shown(place) for place in found]
    return []


def _shown(place: tuple[str, int]) -> str:
    return f"{place[0]}:{place[1]}"
