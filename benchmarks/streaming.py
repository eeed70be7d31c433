"""What a gate costs a stream: per chunk, beside passing the chunks along, as the stream grows.

    python benchmarks/streaming.py

Chunks are five characters, as providers send them. An engine that permits at once and a record that is thrown
away leave the gate's own work: keeping, scanning, and its few asks with all that a decision takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from time import perf_counter_ns
from typing import Any, Final

from checkrein import AccessRequest, EnforcementPoint, Entity, Origin, Segment, Stage
from checkrein.settings import Settings
from checkrein.testing import StaticEngine, obligation, permit

SIZES: Final = (100, 1_000, 10_000)
CHUNK: Final = 5
PROSE: Final = "Please summarise the quarterly report for the board and list three risks, one to a line.\n"
SECRET: Final = PROSE * 4 + "Her number is 123-45-6789, his address is bob@example.com.\n"
TYPES: Final = ["us_ssn", "email"]
ALL: Final = ["api_key", "credit_card", "email", "iban", "injection", "password", "phone", "us_ssn"]
REQUEST: Final = AccessRequest(
    stage=Stage.POST_COMPLETION,
    subject=Entity(type="user", id="ed"),
    resource=Entity(type="model", id="gpt-4o"),
    supports=frozenset({"redact", "replace"}),
    call_id="01900000-0000-7000-8000-000000000000",
)


def gated(pep: EnforcementPoint, chunks: Sequence[Segment]) -> int:
    """Feed all chunks and finish; gives how much left, in code points."""
    gate = pep.stream(REQUEST)
    left = 0
    for chunk in chunks:
        for text in gate.feed(chunk).values():
            left += len(text)
    return left + sum(map(len, gate.finish().values()))


def passed(chunks: Sequence[Segment]) -> int:
    """What a host does without a gate."""
    left = 0
    for chunk in chunks:
        for text in {chunk.path: chunk.text}.values():
            left += len(text)
    return left


def paired(one: Callable[[], Any], other: Callable[[], Any], rounds: int) -> tuple[float, float]:
    """Medians of both in microseconds, measured in turn, so that a slower minute slows both."""
    times: tuple[list[int], list[int]] = ([], [])
    for _ in range(rounds):
        for call, taken in zip((one, other), times, strict=True):
            started = perf_counter_ns()
            call()
            taken.append(perf_counter_ns() - started)
    return median(times[0]) / 1000, median(times[1]) / 1000


def point(mode: str, types: Sequence[str], asks: list[int]) -> EnforcementPoint:
    """An enforcement point whose engine permits and redacts."""
    answer = permit(obligation("redact", types=[*types])) if types else permit()
    told: dict[str, Any] = {"stream": {"mode": "window" if mode == "open" else mode}}
    if types:
        told["detectors"] = {"post_completion": [*types]}
    if mode == "open":
        told["enforcement"] = {"default": "monitor"}
    return EnforcementPoint(
        StaticEngine(lambda _: answer), Settings.model_validate(told), record=lambda _: asks.append(1)
    )


def main() -> None:
    """Print the table."""
    print(
        "| mode | detectors | text | chunks | asks | passed along, us a chunk | gated, us a chunk | ratio |"
    )
    print("|---|---|---|---|---|---|---|---|")
    cases: tuple[tuple[str, list[str], str, str], ...] = (
        ("open", [], "prose", PROSE),
        ("hold", [], "prose", PROSE),
        ("window", [], "prose", PROSE),
        ("hold", TYPES, "secrets", SECRET),
        ("window", TYPES, "prose", PROSE),
        ("window", TYPES, "secrets", SECRET),
        ("window", ALL, "secrets", SECRET),
    )
    for mode, types, name, unit in cases:
        for size in SIZES:
            text = (unit * (size * CHUNK // len(unit) + 1))[: size * CHUNK]
            chunks = [
                Segment(path=(0,), role="assistant", origin=Origin.ASSISTANT, text=text[at : at + CHUNK])
                for at in range(0, len(text), CHUNK)
            ]
            asks: list[int] = []
            pep = point(mode, types, asks)
            gated(pep, chunks)
            count = len(asks)
            bare, ours = paired(
                partial(passed, chunks),
                partial(gated, pep, chunks),
                20_000 // size + 3,
            )
            row = (mode, len(types), name, size, count, f"{bare / size:.2f}", f"{ours / size:.2f}")
            print("| " + " | ".join(map(str, row)) + f" | {ours / bare:.1f} |")


if __name__ == "__main__":
    main()
