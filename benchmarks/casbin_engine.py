"""What a Casbin decision costs beside the bare `enforce`, in one run, and how cost grows with rows.

    python benchmarks/casbin_engine.py

Bare = `casbin.Enforcer.enforce` as the library's documentation uses it, the same policy in plain Casbin: role
graphs, no rules. Decision = limits, facts, document, our engine, obligations, conclusion and the record,
handed to the decision log, which writes it to a file.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from pathlib import Path

import casbin
from pairing import IDLE, measured

from checkrein import AccessRequest, EnforcementPoint, Entity, Origin, Segment, Stage
from checkrein.building import build_engine
from checkrein.decision_log import DecisionLog, DecisionLogSettings
from checkrein.detection import Detectors
from checkrein.document import build
from checkrein.settings import Settings

MODEL = """
[request_definition]
r = sub, obj, act

[policy_definition]
p = sub, obj, act, eft

[role_definition]
g = _, _
g2 = _, _

[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))

[matchers]
m = g(r.sub, p.sub) && g2(r.obj, p.obj) && r.act == p.act
"""
TEXT = ("Please summarise the quarterly report for the board and list three risks. " * 14)[:1024]
REQUEST = AccessRequest(
    stage=Stage.PRE_PROMPT,
    subject=Entity(
        type="user", id="alice", properties={"tier": "pro", "roles": ["analyst"], "groups": ["data"]}
    ),
    resource=Entity(type="model", id="gpt-4o", properties={"provider": "openai", "size": "large"}),
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


def policy(rows: int) -> str:
    """A policy of this many rows, of which the last matches; one before it denies somebody else."""
    lines = [
        "g, user:alice, role:senior",
        "g, role:senior, role:data_scientist",
        "g2, model:gpt-4o, group:gpt4",
    ]
    lines += [
        f"p, role:team{number}, group:models{number}, submit_prompt, allow" for number in range(rows - 2)
    ]
    lines += [
        "p, role:intern, group:gpt4, submit_prompt, deny",
        "p, role:data_scientist, group:gpt4, submit_prompt, allow",
    ]
    return "\n".join(lines)


def main() -> None:
    """Print the table of `benchmarks/README.md`."""
    settings = Settings()
    sys.stdout.write(
        "| rows | prompt | bare enforce, us | engine alone, us | decision with record, us | ratio "
        "| ratio, 10 ms idle |\n" + "|---" * 7 + "|\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "model.conf").write_text(MODEL)
        for rows, length, rounds in (
            (3, 1024, 3000),
            (10, 1024, 3000),
            (10, 102_400, 1000),
            (30, 1024, 2000),
            (1000, 1024, 200),
        ):
            Path(folder, "policy.csv").write_text(policy(rows))
            bare = casbin.Enforcer(str(Path(folder, "model.conf")), str(Path(folder, "policy.csv")))
            node = build_engine(
                {"casbin": {"model": "model.conf", "policy": "policy.csv"}}, base=Path(folder)
            )
            log = DecisionLog(DecisionLogSettings(to=Path(folder, f"{rows}.jsonl"), queue=1_000_000))
            pep = EnforcementPoint(node, settings, record=log)
            text = (TEXT * 100)[:length]
            segments = (REQUEST.segments[0], dataclasses.replace(REQUEST.segments[1], text=text))
            asked = dataclasses.replace(REQUEST, segments=segments)
            (engine,) = node.engines
            evaluation = build(asked, detectors=Detectors({}, {}), models={}, limits=settings.limits)
            assert pep.decide(asked).permitted
            assert bare.enforce("user:alice", "model:gpt-4o", "submit_prompt")
            calls = (
                lambda bare=bare: bare.enforce("user:alice", "model:gpt-4o", "submit_prompt"),
                lambda pep=pep, asked=asked: pep.decide(asked),
            )
            busy, rare = measured(calls, rounds), measured(calls, 200, idle=IDLE)
            ours = measured([lambda e=engine, q=evaluation: e.evaluate(q)], rounds)
            pep.close()
            assert not any(log.dropped.values())
            sys.stdout.write(
                f"| {rows} | {length} B | {busy.us(0):.0f} | {ours.us(0):.0f} | {busy.us(1):.0f} "
                f"| {busy.ratio(1)} | {rare.ratio(1)} |\n"
            )


if __name__ == "__main__":
    main()
