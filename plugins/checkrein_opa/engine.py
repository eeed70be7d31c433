"""The engine plug-in: asks one rule per stage of a running OPA, blocking or awaiting, by one flow."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import replace
from time import monotonic
from types import MappingProxyType
from typing import ClassVar, Final
from weakref import WeakSet

from checkrein.document import EvaluationRequest
from checkrein.engine import EngineOptions
from checkrein.errors import EngineFailure, FailureCause, PolicyLoadError
from checkrein.flow import Flow, arun, run
from checkrein.rule_answer import UNDEFINED, verdict_of
from checkrein.vocabulary import Effect, Stage, Verdict

from .addressing import parse_url, path_of
from .answers import NO_RESULT, OpaAnswer, read_answer
from .client import Client
from .facts import Facts
from .options import OpaOptions, entrypoints_of, tls_context
from .readiness import Readiness
from .wire import Response

__all__ = ["OpaEngine"]

_QUERY: Final = "?provenance=true&strict-builtin-errors=true"
# What a healthy OPA answers where a policy fails; on an empty input it may.
_POLICY_FAILED: Final = 500
# Windows' default loop waits for no socket of ours; there the blocking flow runs in a thread.
_LOOPS_WITHOUT_READERS: Final[tuple[type, ...]] = tuple(
    loop for loop in (getattr(asyncio, "ProactorEventLoop", None),) if loop
)


class OpaEngine:
    """Answers from the policies of a running OPA, over its REST API.

    A question has one deadline over everything that it takes. Threads and event loops share its connections.

    Args:
        options: the settings.

    Raises:
        PolicyLoadError: a certificate does not load, or `stages` and `entrypoints` disagree.
    """

    Options: ClassVar[type[EngineOptions]] = OpaOptions
    remote: ClassVar[bool] = True

    def __init__(self, options: OpaOptions) -> None:
        self.name = options.name or "opa"
        self.revision: str | None = None
        self._options = options
        self._address = parse_url(options.url)
        self._tls = tls_context(options)
        self._entrypoints = MappingProxyType(entrypoints_of(options))
        self.stages = frozenset(self._entrypoints)
        self._facts = Facts(options.input)
        self._heads: Mapping[Stage, bytes] = {
            stage: self._head("POST", path_of(rule) + _QUERY) for stage, rule in self._entrypoints.items()
        }
        self._closed = False
        self._renew()
        _LIVE.add(self)

    @classmethod
    def from_options(cls, options: OpaOptions) -> OpaEngine:
        """Make the engine. OPA need not be there yet, unless the settings say `check: true`.

        Raises:
            PolicyLoadError: a certificate does not load, `stages` and `entrypoints` disagree, or OPA was to
                be there and is not, is not healthy or refuses a question.
        """
        engine = cls(options)
        if options.check:
            try:
                run(engine._check())
            except EngineFailure as failure:
                engine.close()
                raise PolicyLoadError(f"`check`: OPA is not ready: {failure}") from None
        return engine

    def entrypoint(self, stage: Stage) -> str | None:
        """The rule of a stage, or None where it is not covered."""
        return self._entrypoints.get(stage)

    def evaluate(self, request: EvaluationRequest) -> Verdict:
        """Answer one request, blocking.

        Raises:
            EngineFailure: no usable answer; `timeout` and `unreachable` are outages of OPA alone.
        """
        return run(self._ask(request))

    async def aevaluate(self, request: EvaluationRequest) -> Verdict:
        """As `evaluate`, without blocking the event loop."""
        if isinstance(asyncio.get_running_loop(), _LOOPS_WITHOUT_READERS):
            return await asyncio.to_thread(self.evaluate, request)
        return await arun(self._ask(request))

    def close(self) -> None:
        """Close every connection; a question that is under way ends first. May be called again."""
        self._closed = True
        self._client.close()

    async def aclose(self) -> None:
        """As `close`: connections belong to no event loop."""
        self.close()

    def _ask(self, request: EvaluationRequest) -> Flow[Verdict]:
        deadline = monotonic() + self._options.timeout
        if self._closed:
            raise EngineFailure(FailureCause.ENGINE_ERROR, "the engine is closed")
        rule = self._entrypoints.get(request.stage)
        if rule is None:
            raise EngineFailure(FailureCause.ENGINE_ERROR, f"no rule answers the stage `{request.stage}`")
        response = yield from self._post(request.stage, self._facts.encode(request), deadline)
        answer = read_answer(response)
        self.revision = answer.revision or self.revision
        verdict = _verdict(rule, answer)
        if verdict.effect is Effect.NOT_APPLICABLE:
            yield from self._readiness.check(deadline)
        return verdict

    def _post(self, stage: Stage, body: bytes, deadline: float) -> Flow[Response]:
        request = b"%bContent-Length: %d\r\n\r\n%b" % (self._heads[stage], len(body), body)
        return self._client.ask(request, deadline)

    def _look(self, deadline: float) -> Flow[Response]:
        return self._client.ask(self._head("GET", "/health?bundles") + b"\r\n", deadline)

    def _check(self) -> Flow[None]:
        """Look at OPA's health, and ask each rule about nothing: who refuses that refuses everything."""
        yield from self._readiness.check(monotonic() + self._options.timeout)
        for stage in self._entrypoints:
            response = yield from self._post(stage, b'{"input":{}}', monotonic() + self._options.timeout)
            if response.status != _POLICY_FAILED:
                read_answer(response)

    def _head(self, method: str, target: str) -> bytes:
        address, token = self._address, self._options.token
        lines = [
            f"{method} {address.prefix}{target} HTTP/1.1",
            f"Host: {address.authority}",
            "User-Agent: checkrein",
            "Accept: application/json",
            "Accept-Encoding: identity",
            *([f"Authorization: Bearer {token.get_secret_value()}"] if token else []),
            *(["Content-Type: application/json"] if method == "POST" else []),
        ]
        return "".join(f"{line}\r\n" for line in lines).encode("ascii")

    def _renew(self) -> None:
        """Start without connections: at first, and in a forked child, which must not use its parent's."""
        options = self._options
        self._client = Client(
            self._address, self._tls, connections=options.connections, retries=options.retries
        )
        self._readiness = Readiness(self._look)

    def after_fork(self) -> None:
        """Leave the parent's connections to the parent."""
        self._client.close()
        self._renew()


def _verdict(rule: str, answer: OpaAnswer) -> Verdict:
    """The same reading as the embedded engine's: the same bundle gives the same verdicts."""
    value = UNDEFINED if answer.value is NO_RESULT else answer.value
    verdict = verdict_of(rule, value, revision=answer.revision)
    return verdict if answer.decision_id is None else replace(verdict, decision_id=answer.decision_id)


_LIVE: Final[WeakSet[OpaEngine]] = WeakSet()


def _after_fork() -> None:
    for engine in list(_LIVE):
        engine.after_fork()


if hasattr(os, "register_at_fork"):  # where there is fork
    os.register_at_fork(after_in_child=_after_fork)
