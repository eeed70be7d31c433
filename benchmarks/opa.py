"""What asking OPA costs beside the wire: a raw kept-alive request, the engine, a whole decision, in one run.

    python benchmarks/opa.py

OPA's own engine serves its REST API in another process, on loopback. Raw = `http.client` on one kept
connection, the same question encoded already, the answer decoded. The clients of `opa-python-client` are
there for comparison.
"""

from __future__ import annotations

import asyncio
import http.client
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
from opa_client.opa import OpaClient
from opa_client.opa_async import AsyncOpaClient

from checkrein import AccessRequest, EnforcementPoint, Entity, Origin, Segment, Stage
from checkrein.building import build_engine
from checkrein.decision_log import DecisionLog, DecisionLogSettings
from checkrein.detection import Detectors
from checkrein.document import build
from checkrein.settings import Settings
from checkrein_opa.facts import Facts

ROOT = Path(__file__).resolve().parents[1]
PATH = "/v1/data/checkrein/pre_prompt/decision?provenance=true&strict-builtin-errors=true"
REQUEST = AccessRequest(
    stage=Stage.PRE_PROMPT,
    subject=Entity(type="user", id="alice", properties={"tier": "pro", "roles": ["analyst"]}),
    resource=Entity(type="model", id="gpt-4o", properties={"size": "large"}),
    context={"operation": "chat", "environment": {"host": "litellm-proxy", "endpoint": "/chat/completions"}},
    segments=(
        Segment(path=(0,), role="system", origin=Origin.SYSTEM, text="You are helpful."),
        Segment(path=(1,), role="user", origin=Origin.USER, text="Please summarise the report. " * 36),
    ),
    supports=frozenset({"redact", "route"}),
    call_id="01900000-0000-7000-8000-000000000000",
)
ROUNDS = 1500


def main() -> None:
    """Print the table of `benchmarks/README.md`."""
    command = [
        sys.executable,
        ROOT / "tests/engines/opa/opa_server.py",
        ROOT / "policies/checkrein_policies/baseline/rego",
    ]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as server:  # noqa: S603 -- our own
        assert server.stdout
        try:
            measure(server.stdout.readline().strip())
        finally:
            server.terminate()


def measure(url: str) -> None:
    """Ask in turn, so that a slower minute slows everybody."""
    settings = Settings()
    request = build(REQUEST, detectors=Detectors({}, {}), models={}, limits=settings.limits)
    body = Facts().encode(request)
    with tempfile.TemporaryDirectory() as folder:
        log = DecisionLog(DecisionLogSettings(to=Path(folder, "decisions.jsonl"), queue=1_000_000))
        node = build_engine({"opa": {"url": url, "timeout": 10}}, base=Path(folder))
        pep = EnforcementPoint(node, settings, record=log)
        (engine,) = pep.node.engines
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
        client = OpaClient(host=parts.hostname, port=parts.port)
        sent = orjson.loads(body)["input"]

        def raw() -> Any:
            connection.request("POST", PATH, body, {"Content-Type": "application/json"})
            return orjson.loads(connection.getresponse().read())["result"]

        def library() -> Any:
            return client.query_rule(sent, "checkrein.pre_prompt", "decision")["result"]

        async def alone() -> dict[str, list[int]]:
            aclient = AsyncOpaClient(host=parts.hostname, port=parts.port)
            await aclient._init_session()  # noqa: SLF001 -- what its context manager does

            async def alibrary() -> Any:
                return (await aclient.query_rule(sent, "checkrein.pre_prompt", "decision"))["result"]

            calls: dict[str, Callable[[], Any]] = {
                "raw `http.client`": raw,
                "`OpaEngine.evaluate`": lambda: engine.evaluate(request),
                "`EnforcementPoint.decide`, recorded": lambda: pep.decide(REQUEST),
                "`OpaClient.query_rule` (requests)": library,
            }
            acalls: dict[str, Callable[[], Awaitable[Any]]] = {
                "`OpaEngine.aevaluate`": lambda: engine.aevaluate(request),  # type: ignore[attr-defined]
                "`EnforcementPoint.adecide`, recorded": lambda: pep.adecide(REQUEST),
                "`AsyncOpaClient.query_rule` (aiohttp)": alibrary,
            }
            taken: dict[str, list[int]] = {name: [] for name in (*calls, *acalls)}
            for _ in range(ROUNDS):
                for name, call in calls.items():
                    started = time.perf_counter_ns()
                    call()
                    taken[name].append(time.perf_counter_ns() - started)
                for name, acall in acalls.items():
                    started = time.perf_counter_ns()
                    await acall()
                    taken[name].append(time.perf_counter_ns() - started)
            await aclient.close_connection()
            return taken

        assert raw()["allow"]
        assert pep.decide(REQUEST).permitted
        taken = asyncio.run(alone())
        client.close_connection()
        connection.close()
        pep.close()
        assert not any(log.dropped.values())
    base = statistics.median(taken["raw `http.client`"])
    print("| call | p50, us | p99, us | beside raw |\n|---|---|---|---|")
    for name, times in taken.items():
        middle, tail = statistics.median(times), statistics.quantiles(times, n=100)[98]
        print(f"| {name} | {middle / 1000:.0f} | {tail / 1000:.0f} | {middle / base:.2f} |")


if __name__ == "__main__":
    main()
