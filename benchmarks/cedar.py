"""What a decision by Cedar costs beside the bare library, in one run.

    python benchmarks/cedar.py

Bare = `cedarpy.is_authorized` with a `PolicySet` handle and the whole input as Cedar's JSON, encoded already,
its answer read; once with the request's entities added to the stable ones per call, as a host must, and once
with one `Entities` handle for all calls, which nothing but a benchmark can have. Decision = limits, facts,
conversion, the same policies, obligations, conclusion and the record, handed to the decision log, which
writes it to a file.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cedarpy import Decision, Entities, PolicySet, is_authorized
from pairing import IDLE, measured

from checkrein import AccessRequest, EnforcementPoint, Entity, Origin, Segment, Stage
from checkrein.building import build_engine
from checkrein.decision_log import DecisionLog, DecisionLogSettings
from checkrein.detection import Detectors
from checkrein.document import build
from checkrein.settings import Settings

POLICIES = """
@id("analysts") @code("access.analyst")
permit(principal in Group::"staff", action == Action::"submit_prompt", resource)
when { ["pro", "enterprise"].contains(principal.tier) };

@id("budget") @code("budget.spent")
forbid(principal, action == Action::"submit_prompt", resource)
when { context.usage.spent_micros + context.estimated.cost_micros > context.usage.limit_micros };

@id("tier") @code("access.tier")
forbid(principal, action == Action::"submit_prompt", resource)
when { principal.tier == "free" && resource.size != "small" };

@id("ssn") @code("pii.us_ssn")
forbid(principal, action == Action::"submit_prompt", resource)
when { context.found_current.contains("us_ssn") };
"""
OTHER = '@id("other{0}") forbid(principal == User::"user{0}", action == Action::"submit_prompt", resource);\n'
LINE = "Please summarise the quarterly report for the board and list three risks. "
MODELS = {"gpt-4o": {"size": "large", "input_price": 2_500_000, "output_price": 10_000_000, "region": "eu"}}


def request(length: int) -> AccessRequest:
    """The request of `decision.py`, with a prompt of this many characters."""
    text = (LINE * (length // len(LINE) + 1))[:length]
    return AccessRequest(
        stage=Stage.PRE_PROMPT,
        subject=Entity(
            type="user", id="alice", properties={"tier": "pro", "roles": ["analyst"], "groups": ["data"]}
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
            Segment(path=(1,), role="user", origin=Origin.USER, text=text),
        ),
        supports=frozenset({"redact", "route", "limit_tokens"}),
        call_id="01900000-0000-7000-8000-000000000000",
    )


def groups(count: int) -> str:
    """A hierarchy of groups: `data` in `staff`, and others."""
    pairs = [("staff", None), ("data", "staff"), *((f"g{index}", "staff") for index in range(count - 2))]
    return json.dumps(
        [
            {
                "uid": {"type": "Group", "id": name},
                "attrs": {},
                "parents": [{"type": "Group", "id": parent}] if parent else [],
            }
            for name, parent in pairs
        ]
    )


def bare(policies: str, stable: str, document: dict[str, Any], *, fixed: bool) -> Callable[[], bool]:
    """The library alone, on everything that the input document says."""
    handle = PolicySet.from_str(policies)
    base = Entities.from_json_str(stable)
    subject, resource = document["subject"], document["resource"]
    delta = json.dumps(
        [
            {
                "uid": {"type": "User", "id": subject["id"]},
                "attrs": subject["properties"],
                "parents": [{"type": "Group", "id": "data"}],
            },
            {"uid": {"type": "Model", "id": resource["id"]}, "attrs": resource["properties"], "parents": []},
        ]
    )
    question = {
        "principal": {"type": "User", "id": subject["id"]},
        "action": {"type": "Action", "id": document["action"]["name"]},
        "resource": {"type": "Model", "id": resource["id"]},
        "context": json.dumps({**document["context"], "found": [], "found_current": []}),
    }
    entities = base.with_added_json_str(delta)

    def ask() -> bool:
        given = entities if fixed else base.with_added_json_str(delta)
        return is_authorized(question, handle, given).decision is Decision.Allow

    return ask


def main() -> None:
    """Print the table of `benchmarks/README.md`."""
    settings = Settings(models=MODELS)
    cases = [(1_024, 4, 2, 2000), (102_400, 4, 2, 300), (1_024, 1_004, 2, 300), (1_024, 4, 10_000, 60)]
    sys.stdout.write(
        "| prompt | policies | groups | bare, us | bare, one handle, us | decision, other user each call, us "
        "| decision, us | ratio to bare | ratio to one handle | ratio to bare, 10 ms idle |\n"
        + "|---" * 10
        + "|\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        for length, count, size, rounds in cases:
            policies = POLICIES + "".join(OTHER.format(index) for index in range(count - 4))
            Path(folder, "access.cedar").write_text(policies)
            Path(folder, "groups.json").write_text(groups(size))
            node = build_engine(
                {"cedar": {"policies": "access.cedar", "entities": "groups.json", "stages": ["pre_prompt"]}},
                base=Path(folder),
            )
            log = DecisionLog(DecisionLogSettings(to=Path(folder, "log.jsonl"), queue=1_000_000))
            pep = EnforcementPoint(node, settings, record=log)
            asked = request(length)
            others = iter(
                [
                    dataclasses.replace(asked, subject=dataclasses.replace(asked.subject, id=f"u{index}"))
                    for index in range(rounds + 300)
                ]
            )
            evaluation = build(asked, detectors=Detectors({}, {}), models=MODELS, limits=settings.limits)
            document = dict(evaluation.document)
            alone = bare(policies, groups(size), document, fixed=False)
            one = bare(policies, groups(size), document, fixed=True)
            assert alone()
            assert one()
            assert pep.decide(asked).permitted
            ours = [lambda p=pep, o=others: p.decide(next(o)), lambda p=pep, a=asked: p.decide(a)]
            # Ours right after the bare call: what ran before is warm, and two of ours would help each other.
            pair = measured([alone, ours[1]], rounds)
            fixed = measured([one, ours[1]], rounds)
            other = measured([alone, ours[0]], rounds)
            rare = measured([alone, ours[1]], 200, idle=IDLE)
            pep.close()
            assert not any(log.dropped.values())
            cells = [
                *(f"{us:.0f}" for us in (pair.us(0), fixed.us(0), other.us(1), pair.us(1))),
                pair.ratio(1),
                fixed.ratio(1),
                rare.ratio(1),
            ]
            sys.stdout.write(f"| {length} | {count} | {size} | {' | '.join(cells)} |\n")


if __name__ == "__main__":
    main()
