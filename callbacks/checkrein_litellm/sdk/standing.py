"""How a call outside of the proxy stands: asked about in one way, denied once and for all."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from litellm.exceptions import GuardrailRaisedException

from checkrein import AccessRequest, Decision, EnforcementPoint, Entity, Stage
from checkrein.errors import RequestError
from checkrein.flow import Flow
from checkrein.identity import Identity
from checkrein.ids import new_id
from checkrein.modes import can_stand
from checkrein_litellm.denial import CallDenied
from checkrein_litellm.endpoints import Endpoint
from checkrein_litellm.text.surfaces import Content, Surfaces

__all__ = ["NOTHING", "Describe", "Standing"]

NOTHING: Final = Surfaces()
"""What is asked about where no text is."""

T = TypeVar("T")

Describe = Callable[[str], Mapping[str, Any]]

_log = logging.getLogger("checkrein.litellm")


@dataclass(slots=True, kw_only=True, eq=False)
class Standing:
    """How a call stands: who makes it, what it has come to, and how it ends. Mutable, of one call alone.

    Args:
        pep: decides.
        endpoint: what kind of call it is.
        identity: for whom it is made.
        host: what records call the place where it is made.
        describe: gives the properties of a model by its name.
        client_call_id: the id that the application chose for it.
        call_id: joins its decisions.
        attempt: how often a model was about to be called.
        model: what is called.
        said: every text of the request, as it was permitted last.
        permitted: the prompt that may be sent, as it was permitted last.
        answering: whether its answer is on the way: no other model can be called instead.
        stored: whether LiteLLM's cache keeps the answer, as far as anybody has said.
        denial: the decision that ended it; whatever comes after is denied by it as well.
        let_pass: nobody judges it: the settings allow that, or only monitor what cannot be governed.
    """

    pep: EnforcementPoint
    endpoint: Endpoint
    identity: Identity
    host: str
    describe: Describe
    client_call_id: str = ""
    call_id: str = field(default_factory=new_id)
    attempt: int = 0
    model: Entity = field(default_factory=lambda: Entity(type="endpoint", id="unknown"))
    said: frozenset[str] = field(default=frozenset(), repr=False)
    permitted: Content | None = field(default=None, repr=False)
    answering: bool = False
    stored: bool = True
    denial: Decision | None = None
    let_pass: bool = False

    def refuse(self, resource: Entity, code: str, message: str) -> None:
        """Deny what no engine can be asked; under monitor the call passes, unjudged from here on.

        Raises:
            CallDenied: unless the settings only monitor.
        """
        question = self.question(Stage.PRE_PROMPT, resource, NOTHING, {}, frozenset())
        self.hold(self.pep.refuse(question, code, message))
        self.let_pass = True

    def write(self, decision: Decision, change: Callable[[], None]) -> None:
        """Write a decision's changes.

        Raises:
            CallDenied: it could not be done.
        """
        failed: Exception | None = None
        try:
            change()
        except Exception as error:  # noqa: BLE001 -- whatever it is, what the permit is bound to does not hold
            failed = error
        if failed is not None:
            self.hold(self.pep.report_failure(decision, failed))

    def stand(self) -> None:
        """Deny once more what was denied before: nobody routes around a denial.

        Raises:
            CallDenied: the call was denied.
        """
        if self.denial is not None:
            raise CallDenied(self.denial)

    def fail(self, error: Exception) -> None:
        """Deny a call in which the guard itself failed.

        Raises:
            CallDenied: unless the settings only monitor.
        """
        if isinstance(error, RequestError):
            self.refuse(self.model, error.code, error.message)
            return
        # Neither the error's text nor its values: they can hold a piece of the prompt.
        place = traceback.extract_tb(error.__traceback__)[-1]
        kind = type(error).__name__
        _log.error("the guard failed with `%s` at %s:%s", kind, place.filename, place.lineno)
        self.refuse(self.model, "failure.host_error", f"`{kind}` in the guard")

    def safely(self, flow: Flow[T], otherwise: T) -> Flow[T]:
        """Run a flow of the guard's own; what it fails at denies.

        Args:
            flow: asks about the call.
            otherwise: what it comes to where the settings only monitor.

        Raises:
            CallDenied: the call must not go on.
        """
        failed: Exception
        try:
            return (yield from flow)
        except GuardrailRaisedException:
            raise
        except Exception as error:  # noqa: BLE001 -- a bug of ours must not open, nor look like an outage
            failed = error
        self.fail(failed)
        return otherwise

    def question(
        self,
        stage: Stage,
        resource: Entity,
        surfaces: Surfaces,
        context: Mapping[str, Any],
        supports: frozenset[str],
    ) -> AccessRequest:
        """A question about the call.

        Args:
            stage: where in the call it is asked.
            resource: what it is about.
            surfaces: the texts.
            context: the stage's own facts.
            supports: obligations that can be carried out.
        """
        environment = {"host": self.host, "endpoint": self.endpoint.operation}
        if self.client_call_id:
            environment["client_call_id"] = self.client_call_id[:128]
        if surfaces.uninspected:
            context = {**context, "uninspected": surfaces.uninspected}
        return AccessRequest(
            stage=stage,
            subject=self.identity.subject,
            resource=resource,
            context={"operation": self.endpoint.operation, "environment": environment, **context},
            segments=tuple(surfaces.segments),
            supports=supports,
            call_id=self.call_id,
            attempt=max(self.attempt, 1),
            identity=self.identity.facts,
        )

    @property
    def judges_answers(self) -> bool:
        """Whether what comes back says anything."""
        return self.endpoint.answers or self.endpoint.operation == "transcription"

    @property
    def withholds(self) -> bool:
        """Whether a denial of the answer could stand: what quotes it is withheld then."""
        covered = self.pep.node.covers(Stage.POST_COMPLETION)
        if not covered or not self.judges_answers or self.let_pass:
            return False
        return can_stand(self.pep.settings.enforcement, Stage.POST_COMPLETION, self.identity.subject)

    @property
    def depth(self) -> int:
        """The longest path that is read."""
        return self.pep.settings.limits.depth

    @property
    def nodes(self) -> int:
        """The most strings, objects and lists that are read."""
        return self.pep.settings.limits.nodes

    def hold(self, decision: Decision) -> Decision:
        """Let a decision stand.

        Raises:
            CallDenied: it is a denial.
        """
        if decision.denied:
            self.denial = decision
            raise CallDenied(decision)
        return decision
