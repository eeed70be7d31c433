"""Many clients of a LiteLLM proxy at once: is any verdict wrong, and is each decision recorded exactly once?

    python benchmarks/litellm_load.py [seconds] [clients]

Each client asks again as soon as it is answered, as one of three people, streamed or not, what is permitted,
redacted or denied at one of the stages. What it is told is compared with what policy says, and so is the
provider's copy of its prompt; at the end the decision log is compared with the calls.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
from litellm_proxy import SETTINGS, proxy, written

from checkrein.testing import Upstream

SECONDS: Final = 30.0
CLIENTS: Final = 200
SSN: Final = "536-90-4399"
CARD: Final = "4111 1111 1111 1111"
FILLING: Final = "Please summarise the quarterly report for the board and list three risks. " * 6

AUTH: Final = """
from litellm.proxy._types import UserAPIKeyAuth


async def authenticate(request, api_key):
    tier = api_key.removeprefix("sk-")
    return UserAPIKeyAuth(api_key=api_key, user_id=tier, metadata={"tier": tier})
"""
STAGES: Final = ("model_selection", "pre_prompt", "post_completion")


@dataclass(frozen=True)
class Call:
    """One kind of call, and what must become of it.

    Args:
        tier: who calls.
        model: what is asked for.
        prompt: what is asked.
        sent: what the provider may see of it; None where nothing.
        stages: where decisions are made, the last of them a denial if nothing is sent.
        answer: what the client must find in the answer.
    """

    tier: str
    model: str
    prompt: str
    sent: str | None
    stages: tuple[str, ...] = STAGES
    answer: str = "fine"


CALLS: Final = (
    Call("enterprise", "gpt-4o", "Hello.", "Hello."),
    Call("free", "gpt-4o-mini", "Hello.", "Hello."),
    Call("free", "gpt-4o", "Hello.", None, STAGES[:1]),
    Call("free", "gpt-4o-mini", f"My SSN is {SSN}.", None, STAGES[:2]),
    Call("pro", "gpt-4o-mini", f"My SSN is {SSN}.", "My SSN is [REDACTED:us_ssn]."),
    Call("enterprise", "gpt-4o", "The password is hunter2-Fence! Log in.", None, STAGES[:2]),
    Call("pro", "gpt-4o-mini", "Which card?", "Which card?", answer="[REDACTED:credit_card]"),
)


@dataclass
class Result:
    """What came of it.

    Attributes:
        asked: how many calls.
        wrong: calls whose verdict was not the one that policy says, and what happened.
        records: how often each decision is recorded.
        expected: how many decisions there must be.
        unrecorded: decisions that an answer named and no record has.
        latencies: of each call, in seconds.
    """

    asked: int = 0
    wrong: list[str] = field(default_factory=list)
    records: Counter[str] = field(default_factory=Counter)
    expected: int = 0
    unrecorded: int = 0
    latencies: list[float] = field(default_factory=list)

    @property
    def duplicates(self) -> int:
        """Decisions that are recorded more than once."""
        return sum(count > 1 for count in self.records.values())


def reply(body: Mapping[str, Any]) -> str:
    """What the provider says: to each prompt its own, so that an answer of another call is seen."""
    text = str(body["messages"][-1]["content"])
    number = text.rpartition("#")[2]
    return f"The card is {CARD}. #{number}" if "card" in text else f"That is fine. #{number}"


async def load(
    address: str, seconds: float, clients: int, most: int = sys.maxsize
) -> tuple[Result, dict[str, Call]]:
    """Ask.

    Args:
        address: the proxy's.
        seconds: how long.
        clients: how many at once.
        most: stop after so many calls.

    Returns:
        The result, without the log, and of each call its kind by the id that answers name.
    """
    result, kinds = Result(), {}
    numbers = itertools.count()
    end = time.monotonic() + seconds
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)

    async def one(client: httpx.AsyncClient) -> None:
        while time.monotonic() < end and (number := next(numbers)) < most:
            call, stream = CALLS[number % len(CALLS)], number % 2 == 1
            start = time.perf_counter()
            answer = await _ask(client, address, call, number, stream=stream)
            result.latencies.append(time.perf_counter() - start)
            result.asked += 1
            kinds[answer.headers.get("x-checkrein-call-id", f"none {number}")] = call
            if problem := problem_with(answer, call, number):
                result.wrong.append(problem)

    async with httpx.AsyncClient(timeout=120, limits=limits) as client:
        await asyncio.gather(*(one(client) for _ in range(clients)))
    return result, kinds


async def _ask(
    client: httpx.AsyncClient, address: str, call: Call, number: int, *, stream: bool
) -> httpx.Response:
    prompt = f"{FILLING}{call.prompt} #{number}"
    body = {"model": call.model, "stream": stream, "messages": [{"role": "user", "content": prompt}]}
    told = {"Authorization": f"Bearer sk-{call.tier}"}
    return await client.post(f"{address}/v1/chat/completions", json=body, headers=told)


def problem_with(answer: httpx.Response, call: Call, number: int) -> str | None:
    """What is wrong with an answer, if anything is."""
    if call.sent is None:
        denied = answer.status_code == httpx.codes.FORBIDDEN and "policy_denied" in answer.text
        return None if denied else f"not denied, but {answer.status_code}: {call.prompt}"
    if not answer.is_success:
        return f"{answer.status_code} instead of an answer: {answer.text[:200]}"
    text = text_of(answer)
    if call.answer not in text or CARD in text:
        return f"`{text[:80]}` is not the answer to: {call.prompt}"
    return (
        None
        if text.endswith(f"#{number}")
        else f"the answer of another call, `{text[-8:]}` instead of #{number}"
    )


def text_of(answer: httpx.Response) -> str:
    """The text of an answer, streamed or not."""
    if not answer.headers["content-type"].startswith("text/event-stream"):
        return str(answer.json()["choices"][0]["message"]["content"])
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: {")]
    choices = [choice for line in lines for choice in json.loads(line)["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def compare(result: Result, kinds: Mapping[str, Call], log: Path, upstream: Upstream) -> None:
    """Add to a result what the log and the provider have of its calls.

    Args:
        result: of `load`.
        kinds: of each call its kind.
        log: the decision log of a proxy that has stopped.
        upstream: the provider.
    """
    found: dict[str, list[str]] = {call_id: [] for call_id in kinds}
    for line in log.read_text().splitlines():
        record = json.loads(line)
        if record["event"] == "policy_decision" and record["call_id"] in found:
            result.records[record["decision_id"]] += 1
            found[record["call_id"]].append(record["stage"])
        elif record["event"] == "policy_decision":
            result.wrong.append(f"a decision at {record['stage']} of a call that nobody made")
    for call_id, call in kinds.items():
        result.expected += len(call.stages)
        result.unrecorded += max(0, len(call.stages) - len(found[call_id]))
        if tuple(found[call_id]) != call.stages:
            result.wrong.append(f"recorded at {found[call_id]}, decided at {call.stages}")
    if len(kinds) != result.asked:
        result.wrong.append(f"{result.asked} calls have {len(kinds)} ids")
    secrets = [secret for secret in (SSN, "hunter2-Fence!") if secret in upstream.texts]
    result.wrong += [f"the provider saw `{secret}`" for secret in secrets]
    sent = sum(call.sent is not None for call in kinds.values())
    seen = sum(request.path.endswith("/completions") for request in upstream.requests)
    if seen != sent:
        result.wrong.append(f"the provider saw {seen} prompts, {sent} were permitted")


def main() -> None:
    """Print what came of it; a wrong verdict, or a record too many or too few, is an error."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    clients = int(sys.argv[2]) if len(sys.argv) > 2 else CLIENTS  # noqa: PLR2004 -- the second argument
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        upstream = stack.enter_context(Upstream(reply))
        config = written(Path(folder, "proxy"), upstream, SETTINGS, ("gpt-4o", "gpt-4o-mini"), AUTH)
        with proxy(config) as address:
            result, kinds = asyncio.run(load(address, seconds, clients))
        compare(result, kinds, config.with_name("decisions.jsonl"), upstream)
    times = sorted(result.latencies)
    print(f"{result.asked} calls of {clients} clients, {result.asked / seconds:.0f} a second")
    print(f"median {times[len(times) // 2]:.2f} s, p99 {times[len(times) * 99 // 100]:.2f} s")
    print(f"{len(result.wrong)} wrong verdicts")
    print(
        f"{result.expected} decisions, {result.records.total()} records: {result.duplicates} twice, "
        f"{result.unrecorded} missing"
    )
    for problem, count in Counter(result.wrong).most_common(10):
        print(f"  {count} x {problem}")
    if result.wrong or result.duplicates or result.unrecorded:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
