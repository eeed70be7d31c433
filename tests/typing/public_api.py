"""Nothing runs this: `make lint` type-checks it, as the code of somebody who uses the public names."""

from collections.abc import Callable, Mapping
from typing import assert_type

from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI

import checkrein_litellm as litellm_host
from checkrein import (
    AccessRequest,
    Candidate,
    Decision,
    Denial,
    Effect,
    EnforcementPoint,
    Entity,
    Origin,
    PolicyDenied,
    Segment,
    Stage,
    StreamGate,
    Verdict,
    acting_as,
    denial_from,
)
from checkrein.document import EvaluationRequest
from checkrein.engine import PolicyEngine, RemotePolicyEngine
from checkrein.streaming import GateMode
from checkrein.testing import (
    FailingEngine,
    StaticEngine,
    Upstream,
    capture_decisions,
    deny,
    obligation,
    permit,
)
from checkrein_langchain import GuardedChatModel, PolicyCallbackHandler, PolicyRouter, guard


class OwnEngine:
    """An engine of a third party: the protocol is all that it has to meet."""

    name = "own"
    remote = False
    revision: str | None = None
    stages = frozenset(Stage)

    def evaluate(self, request: EvaluationRequest) -> Verdict:
        """Permit what is short."""
        short = len(request.json()) < len(self.name)
        return permit() if short else deny("long", "too long")

    def close(self) -> None:
        """Nothing to give back."""


def kernel() -> None:
    """The enforcement point and what it takes and gives."""
    engine: PolicyEngine = OwnEngine()
    pep = EnforcementPoint(engine, record=print)
    request = AccessRequest(
        stage=Stage.PRE_PROMPT,
        subject=Entity(type="user", id="alice", properties={"tier": "pro"}),
        resource=Entity(type="model", id="gpt-4o"),
        segments=(Segment(path=(0,), role="user", origin=Origin.USER, text="hello"),),
    )
    decision = pep.decide(request)
    assert_type(decision, Decision)
    assert_type(decision.denied, bool)
    assert_type(decision.effect, Effect | None)
    assert_type(pep.subscribe(print), Callable[[], None])
    try:
        decision.raise_if_denied()
    except PolicyDenied as denied:
        assert_type(denied.decision, Decision)
        assert_type(denied.code, str)


def streaming(pep: EnforcementPoint, request: AccessRequest, delta: Segment) -> None:
    """A gate for an answer that comes in pieces."""
    gate = pep.stream(request, exception=PolicyDenied)
    assert_type(gate, StreamGate)
    assert_type(gate.mode, GateMode)
    assert_type(gate.feed(delta), Mapping[tuple[str | int, ...], str])
    gate.end(delta.path)
    assert_type(gate.finish({"finish_reason": "stop"}, (delta,)), Mapping[tuple[str | int, ...], str])
    assert_type(gate.decision, Decision | None)
    gate.close()


async def streaming_asynchronously(pep: EnforcementPoint, request: AccessRequest, delta: Segment) -> None:
    """The same, awaited."""
    gate = pep.stream(request)
    assert_type(await gate.afeed(delta), Mapping[tuple[str | int, ...], str])
    assert_type(await gate.afinish(), Mapping[tuple[str | int, ...], str])


def choosing(pep: EnforcementPoint, request: AccessRequest) -> tuple[Entity, ...]:
    """Several resources, judged at once."""
    decision = pep.filter_candidates(request, [Entity(type="model", id="small")])
    assert_type(decision.candidates, tuple[Candidate, ...])
    return decision.kept


async def kernel_asynchronously(pep: EnforcementPoint, request: AccessRequest) -> Decision:
    """The same, awaited."""
    return await pep.adecide(request)


def doubles() -> None:
    """The test doubles are engines."""
    embedded: PolicyEngine = StaticEngine({Stage.PRE_PROMPT: permit(obligation("redact", types=["email"]))})
    remote: RemotePolicyEngine = FailingEngine("timeout", remote=True)
    pep = EnforcementPoint(embedded, record=print)
    with capture_decisions(pep) as decisions, Upstream(reply="hello") as upstream:
        assert_type(decisions, list[Decision])
        assert_type(upstream.url, str)
    remote.close()


def langchain(pep: EnforcementPoint) -> None:
    """The LangChain host."""
    model = guard(ChatOpenAI(model="gpt-4o"), pep)
    assert_type(model, GuardedChatModel)
    with acting_as("alice") as subject:
        assert_type(subject, Entity)
        assert_type(model.invoke("hello"), AIMessage)
    assert_type(model.acting_as("alice"), GuardedChatModel)
    router = PolicyRouter(models={"small": ChatOpenAI(model="gpt-4o-mini")}, pep=pep, prefer=("small",))
    assert_type(router.invoke("hello"), AIMessage)
    uninstall = PolicyCallbackHandler(pep).install()
    assert_type(uninstall, Callable[[], None])


def litellm(pep: EnforcementPoint, router: litellm_host.PolicyRouter) -> None:
    """The LiteLLM host: functions, a client of them, a router, and a denial as any client reads it."""
    litellm_host.install(pep)
    client = litellm_host.PolicyClient(pep)
    assert_type(client.acting_as("alice"), litellm_host.PolicyClient)
    router.acting_as("alice").completion(model="gpt-4o", messages=[])
    try:
        litellm_host.completion(model="gpt-4o", messages=[{"role": "user", "content": "hello"}])
    except litellm_host.CallDenied as error:
        denial = denial_from(error)
        assert_type(denial, Denial | None)
