"""Measures one engine with one pack, in a process of its own: reads a job as JSON, prints what came of it."""

from __future__ import annotations

import gc
import hashlib
import json
import math
import sys
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import perf_counter_ns
from typing import Any, Final

from pydantic import ValidationError

from checkrein.building import build_engine
from checkrein.decision import Decision
from checkrein.detection import Detectors
from checkrein.document import EvaluationRequest, build
from checkrein.enforcement import EnforcementPoint
from checkrein.engine import PolicyEngine
from checkrein.errors import EngineFailure, MissingExtraError, RequestError, SettingsError
from checkrein.plugins import load_plugin
from checkrein.scenarios import Scenario, ScenarioResult, load_scenarios, run_scenario
from checkrein.settings import Enforcement, FailureRule, Settings
from checkrein.yaml_source import YamlSource

from .common import forget

__all__ = ["measure", "percentile", "timed"]

_MOST_SAMPLES: Final = 1_000_000
_STATM: Final = Path("/proc/self/statm")


def measure(job: Mapping[str, Any]) -> dict[str, Any]:
    """Load an engine with a pack, ask every scenario, then ask until the time is over.

    Args:
        job: `pack` (its folder), `kind`, `options`, `scenarios` (files), `seconds`.

    Returns:
        JSON values: `missing` or `error` when it does not load, else what was measured.
    """
    folder = Path(job["pack"])
    try:
        return _measured(job, folder)
    except MissingExtraError as error:
        return {"missing": str(error)}
    except SettingsError as error:
        return {"error": str(error)}


def _measured(job: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    settings = _settings(folder)
    scenarios = [(path, load_scenarios(path)) for path in job["scenarios"]]
    # What every engine has beside it is there before its own memory is looked at.
    detectors = Detectors.load(settings.detectors)
    gc.collect()
    before, started = _memory(), perf_counter_ns()
    load_plugin("engine", job["kind"])
    imported = perf_counter_ns()
    node = build_engine({job["kind"]: job["options"]}, base=folder)
    loaded = perf_counter_ns()
    (engine,) = node.engines
    pep = EnforcementPoint(node, settings, record=forget)
    results = [(path, run_scenario(pep, one)) for path, group in scenarios for one in group]
    gc.collect()
    after = _memory()
    asked = [one for _, group in scenarios for one in group if one.stage in engine.stages]
    half = float(job["seconds"]) / 2
    answers = timed(_answers(engine, asked, pep, detectors), half)
    decisions = timed(_decisions(pep, asked), half)
    pep.close()
    return {
        "remote": engine.remote,
        "revision": engine.revision,
        "import_ms": (imported - started) / 1e6,
        "load_ms": (loaded - imported) / 1e6,
        "memory_bytes": None if before is None or after is None or engine.remote else after - before,
        "answers": answers,
        "decisions": decisions,
        "scenarios": [_told(path, result) for path, result in results],
    }


def _settings(folder: Path) -> Settings:
    """The pack's own, but for what would let pass what the policies refuse."""
    source = YamlSource.read(folder / "settings.yaml", variables=False)
    sections = {key: value for key, value in source.value.items() if key not in ("version", "engine")}
    sections.pop("decision_log", None)
    try:
        settings = Settings.model_validate(sections, context={"base": folder})
    except ValidationError as error:
        raise source.validated(error, Settings) from None
    return settings.model_copy(update={"enforcement": Enforcement(), "failure": FailureRule()})


def _answers(
    engine: PolicyEngine, asked: Sequence[Scenario], pep: EnforcementPoint, detectors: Detectors
) -> list[Callable[[], Callable[[], object]]]:
    """The engine alone: each question is made anew, so that nothing of its encoding is remembered."""

    def prepare(built: EvaluationRequest) -> Callable[[], Callable[[], object]]:
        def prepared() -> Callable[[], object]:
            anew = EvaluationRequest(request=built.request, document=built.document, findings=built.findings)
            return lambda: engine.evaluate(anew)

        return prepared

    settings = pep.settings
    questions = []
    for scenario in asked:
        with suppress(RequestError):
            built = build(
                scenario.request(), detectors=detectors, models=settings.models, limits=settings.limits
            )
            questions.append(prepare(built))
    return questions


def _decisions(pep: EnforcementPoint, asked: Sequence[Scenario]) -> list[Callable[[], Callable[[], object]]]:
    """The whole decision: limits, detectors, document, engine, obligations, conclusion; without the log."""

    def prepare(scenario: Scenario) -> Callable[[], Callable[[], object]]:
        request = scenario.request()
        return lambda: lambda: pep.decide(request, lambda name: pep.settings.models.get(name, {}))

    return [prepare(scenario) for scenario in asked]


def timed(questions: Sequence[Callable[[], Callable[[], object]]], seconds: float) -> dict[str, Any] | None:
    """Ask questions in turn until the time is over, each of them twice at least; the first does not count.

    Args:
        questions: each makes one call ready, outside the time that is measured.
        seconds: for how long.

    Returns:
        How many calls counted, their rate a second, and percentiles in microseconds; None without a question.
    """
    if not questions:
        return None
    samples = array(
        "q", (one for one, _ in zip(_asked(questions, seconds), range(_MOST_SAMPLES), strict=False))
    )
    ordered = sorted(samples)
    return {
        "count": len(ordered),
        "per_second": len(ordered) / max(sum(ordered), 1) * 1e9,
        "p50_us": percentile(ordered, 0.50) / 1000,
        "p99_us": percentile(ordered, 0.99) / 1000,
    }


def _asked(questions: Sequence[Callable[[], Callable[[], object]]], seconds: float) -> Iterator[int]:
    end = perf_counter_ns() + int(seconds * 1e9)
    turn = 0
    while True:
        for question in questions:
            call = question()
            started = perf_counter_ns()
            with suppress(EngineFailure):
                call()
            took = perf_counter_ns() - started
            if turn:
                yield took
            if turn > 1 and started > end:
                return
        turn += 1
        if turn > 1 and perf_counter_ns() > end:
            return


def percentile(ordered: Sequence[int], share: float) -> int:
    """The smallest sample that this share of all is not above (nearest rank).

    Args:
        ordered: the samples, sorted, one at least.
        share: above 0, at most 1.
    """
    return ordered[math.ceil(share * len(ordered)) - 1]


def _memory() -> int | None:
    """Bytes of this process that are in memory, or None where nobody tells."""
    try:
        import resource  # noqa: PLC0415 -- not on every system

        if _STATM.exists():
            return int(_STATM.read_text().split()[1]) * resource.getpagesize()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    except ImportError:
        return None


def _told(path: str, result: ScenarioResult) -> dict[str, Any]:
    scenario, decision = result.scenario, result.decision
    return {
        "file": path,
        "line": scenario.line,
        "name": scenario.name,
        "stage": scenario.stage,
        "failures": [*result.failures],
        "answer": {
            "permitted": decision.permitted,
            "reasons": sorted({reason.code for reason in decision.reasons}),
            "obligations": sorted(
                (
                    {"type": one.obligation.type, "properties": dict(one.obligation.properties)}
                    for one in decision.obligations
                ),
                key=_written,
            ),
            "model": decision.changes.model,
            "text": _digest(decision),
        },
    }


def _written(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _digest(decision: Decision) -> str:
    """What the text became, to compare: nobody needs to read it."""
    texts = "\0".join(
        decision.changes.texts.get(piece.path, piece.text) for piece in decision.request.segments
    )
    return hashlib.sha256(texts.encode(errors="surrogatepass")).hexdigest()[:16]


if __name__ == "__main__":
    sys.stdout.write(_written(measure(json.load(sys.stdin))))
