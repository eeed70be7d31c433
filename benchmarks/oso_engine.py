"""What a decision by Oso costs beside the library's own queries, in one run.

    python benchmarks/oso_engine.py

Bare = `Oso.query_rule` for `deny`, `permit` and `obligation` on dataclasses, as the documentation shows it.
Decision = limits, facts, document, the same three queries, obligations, conclusion and the record, handed to
the decision log, which writes it to a file. Measured in turn, so that a slower minute slows both.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from oso import Oso, Variable

from checkrein import AccessRequest, EnforcementPoint, Entity, Origin, Segment, Stage
from checkrein.building import build_engine
from checkrein.decision_log import DecisionLog, DecisionLogSettings
from checkrein.settings import Settings

POLICY = """
permit(s: Subject, "submit_prompt", r: Model, ctx) if
    s.tier in ["free", "pro", "enterprise"] and
    size_fits(s.tier, r.size) and
    ctx.usage.spent_micros + ctx.estimated.cost_micros <= ctx.usage.limit_micros;

size_fits("free", "small");
size_fits("pro", size) if size in ["small", "medium", "large"];
size_fits("enterprise", _);

deny(_s, _a, _r, ctx, "phrase") if "injection" in ctx.found_current;
deny(_s, _a, _r, ctx, kind) if kind in ctx.found_current;

obligation(s, _a, _r, _ctx, {type: "limit_tokens", properties: {max_tokens: 256}}) if s.tier = "free";
"""
TEXT = "Please summarise the quarterly report for the board and list three risks. " * 14
MODELS = {"gpt-4o": {"size": "large", "input_price": 2_500_000, "output_price": 10_000_000, "region": "eu"}}


def request(text: str) -> AccessRequest:
    return AccessRequest(
        stage=Stage.PRE_PROMPT,
        subject=Entity(type="user", id="alice", properties={"tier": "pro", "roles": ["analyst"]}),
        resource=Entity(type="model", id="gpt-4o", properties={"provider": "openai"}),
        context={
            "operation": "chat",
            "estimated": {"prompt_tokens": 203, "max_tokens": 512},
            "usage": {"spent_micros": 1_200_000, "limit_micros": 50_000_000},
            "environment": {"host": "litellm-proxy", "endpoint": "/chat/completions"},
        },
        segments=(
            Segment(path=(0,), role="system", origin=Origin.SYSTEM, text="You are helpful."),
            Segment(path=(1,), role="user", origin=Origin.USER, text=text),
        ),
        supports=frozenset({"limit_tokens", "redact"}),
        call_id="01900000-0000-7000-8000-000000000000",
    )


@dataclasses.dataclass(frozen=True)
class Subject:
    """Who asks, as an application of Oso would have it."""

    id: str
    tier: str


@dataclasses.dataclass(frozen=True)
class Model:
    """What is asked for."""

    id: str
    size: str


@dataclasses.dataclass(frozen=True)
class Context:
    """What else is known."""

    found_current: list[str]
    usage: dict[str, int]
    estimated: dict[str, int]


def bare(policy: str) -> Callable[[], bool]:
    """The library as its documentation uses it."""
    oso = Oso()
    for kind in (Subject, Model, Context):
        oso.register_class(kind)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints that there is no `allow`
        oso.load_str(policy)
    subject, model = Subject("alice", "pro"), Model("gpt-4o", "large")
    context = Context([], {"spent_micros": 1_200_000, "limit_micros": 50_000_000}, {"cost_micros": 5_628})
    asked = (subject, "submit_prompt", model, context)

    def ask() -> bool:
        reasons = list(oso.query_rule("deny", *asked, Variable("reason")))
        permitted = next(oso.query_rule("permit", *asked), None) is not None
        return not reasons and permitted and not list(oso.query_rule("obligation", *asked, Variable("o")))

    return ask


def paired(one: Callable[[], Any], other: Callable[[], Any], rounds: int = 2000) -> list[list[float]]:
    """Both in microseconds, measured in turn, sorted."""
    times: list[list[float]] = [[], []]
    for _ in range(rounds):
        for call, taken in zip((one, other), times, strict=True):
            start = time.perf_counter_ns()
            call()
            taken.append((time.perf_counter_ns() - start) / 1000)
    return [sorted(taken) for taken in times]


def rules(count: int) -> str:
    """As many more rules as given, none of which applies."""
    return "".join(
        f'permit(s: Subject, "act_{index}", _r: Model, _ctx) if s.tier = "{index}";\n'
        for index in range(count)
    )


def main() -> None:
    """Print the table of `benchmarks/README.md`."""
    write = sys.stdout.write
    write(
        "| policy | bare p50, us | decision p50, us | decision p99, us | ratio p50 |\n|---|---|---|---|---|\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        for name, more, text in (
            ("8 rules, 1 kB prompt", 0, TEXT),
            ("8 rules, 100 kB prompt", 0, TEXT * 100),
            ("1,008 rules, 1 kB prompt", 1000, TEXT),
        ):
            policy = POLICY + rules(more)
            Path(folder, "policy.polar").write_text(policy)
            start = time.perf_counter()
            node = build_engine({"oso": {"policies": "policy.polar"}}, base=Path(folder))
            loading = (time.perf_counter() - start) * 1000
            log = DecisionLog(
                DecisionLogSettings(to=Path(folder, f"{more}-{len(text)}.jsonl"), queue=1_000_000)
            )
            pep = EnforcementPoint(node, Settings(models=MODELS), record=log)
            asked, ask = request(text), bare(policy)
            assert pep.decide(asked).permitted
            assert ask()
            alone, whole = paired(ask, lambda pep=pep, asked=asked: pep.decide(asked))  # type: ignore[misc]
            pep.close()
            assert not any(log.dropped.values())
            middle, ours = statistics.median(alone), statistics.median(whole)
            late = whole[int(len(whole) * 0.99)]
            row = (f"{name} (loaded in {loading:.1f} ms)", f"{middle:.0f}", f"{ours:.0f}", f"{late:.0f}")
            write(f"| {' | '.join(row)} | {ours / middle:.2f} |\n")


if __name__ == "__main__":
    main()
