"""One try of a router's call: what a deployment is about to get, judged, and written back for the router."""

from __future__ import annotations

from collections.abc import Collection, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final

from litellm.exceptions import GuardrailRaisedException

from checkrein.flow import Flow
from checkrein_litellm.deployments import entity_of, group_of
from checkrein_litellm.sdk.parameters import copied
from checkrein_litellm.sdk.passage import Passage
from checkrein_litellm.text.notes import NOTES
from checkrein_litellm.text.turns import CONVERSATION, OF_THE_SYSTEM

__all__ = ["Rerouted", "RoutedPassage", "noted_in"]

# A deployment may bring texts of its own, but none that LiteLLM fetches after the judgement.
_FETCHED: Final = ("knowledge_bases", "prompt_id", "vector_store_ids")
_OF_A_DEPLOYMENT: Final = frozenset({*CONVERSATION, *OF_THE_SYSTEM})


class Rerouted(GuardrailRaisedException):
    """Policy wants another model called: it unwinds the router, which takes it for a guardrail's word."""


@dataclass(slots=True, kw_only=True, eq=False)
class RoutedPassage(Passage):
    """A call on its way through a router.

    Args:
        keys: the parameters that the caller gave.
        noted: what the caller noted in `metadata`, by name; the router adds notes of its own.
        kept: what the router keeps to itself while it chooses.
        written: what policy changed of the parameters; None where one is to be left out.
        target: the model that policy routes to, while the router unwinds.
    """

    keys: Collection[str] = ()
    noted: Collection[str] = ()
    kept: dict[str, Any] = field(default_factory=dict, repr=False)
    written: dict[str, Any] = field(default_factory=dict, repr=False)
    target: str | None = None

    def stand(self) -> None:
        """As `Passage.stand`; a call that policy routes elsewhere goes nowhere else.

        Raises:
            Rerouted: another model is to be called.
        """
        # Named, because a class with slots is made anew and `super()` would mean the other one.
        Passage.stand(self)
        if self.target is not None:
            raise Rerouted(message="routed by policy")

    def seen(
        self, asked: Mapping[str, Any], given: Mapping[str, Any], deployment: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """What a provider would get to read, in copies.

        Args:
            asked: what the router was told of the prompt besides: `messages`, `input`.
            given: the router's parameters of this try.
            deployment: the one that is chosen.
        """
        params = _params(deployment)
        data = {key: value for key, value in params.items() if key in {*_OF_A_DEPLOYMENT, *self._limits}}
        for key in self.endpoint.content:
            if self.kept.get(key) is not None:
                data[key] = self.kept[key]
            elif asked.get(key) is not None and key in self.keys:
                data[key] = asked[key]
        # A fallback may bring messages where there were none.
        read = {*self.keys, *self.written, "messages"}
        data |= {key: value for key, value in given.items() if key in read}
        for key in NOTES:
            if isinstance(data.get(key), Mapping):
                data[key] = {name: one for name, one in data[key].items() if name in self.noted}
        own = params.get("tools")
        if own and given.get("tools"):
            data["tools"] = [*own, *given["tools"]]
        return copied(data, self.endpoint, self.pep.settings.limits.depth)

    def chosen(
        self,
        name: str,
        deployment: Mapping[str, Any],
        asked: Mapping[str, Any],
        given: MutableMapping[str, Any],
    ) -> Flow[None]:
        """Judge a try in full, and write what policy changes into the router's parameters.

        Args:
            name: the model that was asked for.
            deployment: the one that is chosen.
            asked: what the router was told of the prompt besides.
            given: the router's parameters of this try.

        Raises:
            CallDenied: nothing must be sent.
            Rerouted: another model is to be called.
        """
        self.stand()
        params = _params(deployment)
        model = entity_of(group_of(deployment, name), deployment)
        fetched = next((key for key in _FETCHED if params.get(key)), None)
        if fetched is not None:
            self.refuse(model, f"unsupported_deployment.{fetched}", "LiteLLM would fetch what nobody judged")
        data = self.seen(asked, given, deployment)
        before = copied(data, self.endpoint, self.pep.settings.limits.depth)
        # The router adds a deployment's own tools again after this.
        without = ("remove_tools",) if params.get("tools") else ()
        called = yield from self.try_(model, data, routable=True, without=without)
        for key in {**before, **data}:
            if key not in data:
                self.written[key] = None
                given[key] = None
            elif key in self.endpoint.content or data[key] != before.get(key):
                given[key] = {**given[key], **data[key]} if key in NOTES else data[key]
                if data[key] != before.get(key):
                    self.written[key] = data[key]
        if called != model.id:
            self.target = called
            self.stand()

    def rerouted(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters for the model that policy routes to, with all that it changed so far."""
        target, self.target = self.target, None
        changed = {**data, **self.written, "model": target}
        left_out = {key for key, value in self.written.items() if value is None}
        self.written, self.kept = {}, {}
        self.keys = frozenset(changed)
        return {key: value for key, value in changed.items() if key not in left_out}

    @property
    def _limits(self) -> set[str]:
        return {path.partition(".")[0] for path in self.endpoint.limits}


def noted_in(data: Mapping[str, Any]) -> frozenset[str]:
    """The names under which a caller notes something."""
    return frozenset(str(name) for key in NOTES if isinstance(data.get(key), Mapping) for name in data[key])


def _params(deployment: Mapping[str, Any] | None) -> Mapping[str, Any]:
    params = (deployment or {}).get("litellm_params")
    return params if isinstance(params, Mapping) else {}
