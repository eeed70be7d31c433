"""What a decision costs beside the engine that it asks: the bare library, then all of ours, in one run.

    python benchmarks/decision.py

Bare = the library's own call on input that is encoded already, its answer decoded. Decision = limits, facts,
document, encoding, the same engine, obligations, conclusion and the record, which the log writes to a file.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import regopy
import regorus
from pairing import IDLE, Measured, measured

import checkrein_policies
from checkrein import AccessRequest, EnforcementPoint, Entity, Origin, Segment, Stage
from checkrein.building import build_engine
from checkrein.decision_log import DecisionLog, DecisionLogSettings
from checkrein.detection import Detectors
from checkrein.document import build
from checkrein.settings import Settings

PACK = Path(checkrein_policies.__file__).parent / "baseline" / "rego"
SMALL = """
package checkrein.pre_prompt

decision := {"allow": count(reasons) == 0, "reasons": reasons}

reasons contains "tier" if not input.subject.properties.tier in {"free", "pro", "enterprise"}

reasons contains "budget" if {
	usage := input.context.usage
	usage.spent_micros + input.context.estimated.cost_micros > usage.limit_micros
}

reasons contains "phrase" if contains(lower(input.context.prompt.text), "ignore previous instructions")
"""
TEXT = ("Please summarise the quarterly report for the board and list three risks. " * 14)[:1024]
MODELS = {"gpt-4o": {"size": "large", "input_price": 2_500_000, "output_price": 10_000_000, "region": "eu"}}
REQUEST = AccessRequest(
    stage=Stage.PRE_PROMPT,
    subject=Entity(
        type="user", id="ed", properties={"tier": "enterprise", "roles": ["analyst"], "groups": ["data"]}
    ),
    resource=Entity(type="model", id="gpt-4o", properties={"provider": "openai"}),
    context={
        "operation": "chat",
        "estimated": {"prompt_tokens": 203, "max_tokens": 512},
        "usage": {"spent_micros": 1_200_000, "limit_micros": 50_000_000},
        "environment": {"host": "litellm-proxy", "endpoint": "/chat/completions"},
    },
    segments=(
        Segment(path=(0,), role="system", origin=Origin.SYSTEM, text="You are helpful."),
        Segment(path=(1,), role="user", origin=Origin.USER, text=TEXT),
    ),
    supports=frozenset({"redact", "route", "limit_tokens"}),
    call_id="01900000-0000-7000-8000-000000000000",
)


def bare_regopy(bundle: Path, rule: str) -> Callable[[bytes], Any]:
    """The library as its own documentation uses it: compiled once to a bundle."""
    interpreter = regopy.Interpreter()
    interpreter.strict_built_in_errors = True
    for name, source in modules(bundle):
        interpreter.add_module(name, source)
    interpreter.add_data(json.loads(data(bundle)))
    entrypoint = rule.removeprefix("data.").replace(".", "/")
    compiled = interpreter.build(None, [entrypoint])

    def ask(document: bytes) -> Any:
        interpreter.set_input_term(document.decode())
        return json.loads(str(interpreter.query_bundle_entrypoint(compiled, entrypoint)))

    return ask


def bare_regorus(bundle: Path, rule: str) -> Callable[[bytes], Any]:
    """The library's sound call: `eval_rule`, never the compiled program."""
    engine = regorus.Engine()
    for name, source in modules(bundle):
        engine.add_policy(name, source)
    engine.add_data_json(data(bundle))

    def ask(document: bytes) -> Any:
        engine.set_input_json(document.decode())
        return json.loads(engine.eval_rule_as_json(rule))

    return ask


def modules(bundle: Path) -> list[tuple[str, str]]:
    """The policies of a bundle, without its tests."""
    return [
        (path.name, path.read_text())
        for path in sorted(bundle.glob("*.rego"))
        if not path.stem.endswith("_test")
    ]


def data(bundle: Path) -> str:
    """The data of a bundle, as JSON."""
    file = bundle / "data.json"
    return file.read_text() if file.exists() else "{}"


BARE: dict[str, Callable[[Path, str], Callable[[bytes], Any]]] = {
    "regopy": bare_regopy,
    "regorus": bare_regorus,
}


def measure(backend: str, bundle: Path, stage: Stage, folder: Path) -> tuple[Measured, Measured]:
    """Bare, and decision with record: one after the other, and with time between them."""
    settings = Settings(models=MODELS)
    request = replace(REQUEST, stage=stage)
    log = DecisionLog(DecisionLogSettings(to=folder / "decisions.jsonl", queue=1_000_000))
    node = build_engine({"rego": {"bundle": str(bundle), "backend": backend}}, base=folder)
    pep = EnforcementPoint(node, settings, record=log)
    document = build(request, detectors=Detectors({}, {}), models=MODELS, limits=settings.limits).json()
    bare = BARE[backend](bundle, f"data.checkrein.{stage}.decision")
    assert pep.decide(request).permitted
    assert bare(document)
    calls = (lambda: bare(document), lambda: pep.decide(request))
    figures = measured(calls, 3000), measured(calls, 200, idle=IDLE)
    pep.close()
    assert not any(log.dropped.values())
    return figures


def main() -> None:
    """Print the table of `benchmarks/README.md`."""
    print("| backend | policy | stage | bare, us | decision with record, us | ratio | ratio, 10 ms idle |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small = folder / "small"
        small.mkdir()
        (small / "policy.rego").write_text(SMALL)
        for backend in BARE:
            for policy, bundle, stages in (
                ("baseline", PACK, (Stage.MODEL_SELECTION, Stage.PRE_PROMPT)),
                ("three rules", small, (Stage.PRE_PROMPT,)),
            ):
                for stage in stages:
                    busy, rare = measure(backend, bundle, stage, folder)
                    print(
                        f"| {backend} | {policy} | {stage} | {busy.us(0):.0f} | {busy.us(1):.0f} "
                        f"| {busy.ratio(1)} | {rare.ratio(1)} |"
                    )


if __name__ == "__main__":
    sys.exit(main())
