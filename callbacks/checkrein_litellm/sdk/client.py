"""LiteLLM's functions for applications, each of them governed; what is not governed is not there."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from copy import copy
from functools import wraps
from typing import Any, Final

import litellm
from litellm.exceptions import GuardrailRaisedException

from checkrein import EnforcementPoint, Entity
from checkrein.flow import Flow, arun, run
from checkrein.identity import Identity
from checkrein_litellm.deployments import entity_of
from checkrein_litellm.endpoints import ENDPOINTS, STAGES
from checkrein_litellm.steps import Send
from checkrein_litellm.withholding import shown

from .fallbacks import Targets
from .identity import bound_identity, caller_of
from .parameters import bound, check_connection, connects, copied, without_connection
from .passage import Passage
from .releasing import released, replying

__all__ = ["PolicyClient"]

_NO_MODELS: Final[Mapping[str, Mapping[str, Any]]] = {}


class _Governed:
    """A function of LiteLLM's, as a method of a client.

    Args:
        like: the function that has its parameters, where it takes any.
    """

    def __init__(self, like: str = "") -> None:
        self._like = like

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, client: PolicyClient | None, owner: type) -> Any:
        if client is None:
            return self
        name, function = self._name, getattr(litellm, self._name)
        like = getattr(litellm, self._like or name)
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def awaited(*args: Any, **kwargs: Any) -> Any:
                return await arun(client.flow(name, function, bound(like, args, kwargs)))

            return awaited

        @wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            return run(client.flow(name, function, bound(like, args, kwargs)))

        return called


class PolicyClient:
    """LiteLLM's functions, by their names and with their parameters, each call of them governed.

        governed = PolicyClient(EnforcementPoint.from_settings("checkrein.yaml"))
        governed.completion(model="gpt-4o", messages=[{"role": "user", "content": "hello"}])
        await governed.acting_as("alice").acompletion(model="gpt-4o", messages=messages, stream=True)

    Policies know a model by the name that is asked for, `gpt-4o` or `azure/gpt-4o`; who passes a
    `custom_llm_provider` finds it before the name. Retries are LiteLLM's own; `fallbacks` and
    `context_window_fallback_dict` are tried here, each judged in full, and never after a denial. What
    cannot be governed is denied: `model_list`, `extra_body`, prompts and tools that LiteLLM fetches itself,
    streams of anything but chat, text completions, messages and responses.

    Args:
        pep: decides.
        models: how models are reached, by the names that calls and policies use: LiteLLM's parameters
            (`model`, `api_base`, `api_key` ...). A call that says how its own model is reached can be
            routed to these alone.

    Raises:
        SettingsError: a stage is neither covered by an engine nor listed as `unchecked`.
        ValueError: a model is no mapping with a `model`, or has a parameter that is not about reaching it.
    """

    def __init__(
        self, pep: EnforcementPoint, *, models: Mapping[str, Mapping[str, Any]] = _NO_MODELS
    ) -> None:
        pep.require(STAGES)
        for name, params in models.items():
            check_connection(name, params)
        self.pep = pep
        self._models = {name: dict(params) for name, params in models.items()}
        self._identity: Identity | None = None

    completion = _Governed()
    acompletion = _Governed()
    text_completion = _Governed()
    atext_completion = _Governed("text_completion")
    embedding = _Governed()
    aembedding = _Governed("embedding")
    responses = _Governed()
    aresponses = _Governed()
    anthropic_messages = _Governed()
    agenerate_content = _Governed()
    image_generation = _Governed()
    aimage_generation = _Governed("image_generation")
    image_edit = _Governed()
    aimage_edit = _Governed()
    moderation = _Governed()
    amoderation = _Governed()
    rerank = _Governed()
    arerank = _Governed()
    speech = _Governed()
    aspeech = _Governed("speech")
    transcription = _Governed()
    atranscription = _Governed("transcription")

    def acting_as(self, user: Entity | str) -> PolicyClient:
        """A client whose calls are made for a subject, whatever thread or task makes them.

        Args:
            user: who acts; a string is the id of a `user`.
        """
        client = copy(self)
        client._identity = bound_identity(user)  # noqa: SLF001 -- its own copy
        return client

    def flow(self, name: str, function: Callable[..., Any], data: Mapping[str, Any]) -> Flow[Any]:
        """One call: judged, sent, judged again.

        Args:
            name: the function's name.
            function: LiteLLM's own.
            data: the call's parameters.

        Raises:
            CallDenied: policy denied it, and no reply can say so.
        """
        endpoint = ENDPOINTS[name]
        passage = Passage(
            pep=self.pep,
            endpoint=endpoint,
            identity=caller_of(self.pep.settings, data, self._identity),
            host="litellm-sdk",
            describe=lambda model: self._describe(model, data),
            client_call_id=str(data.get("litellm_call_id") or ""),
        )
        return replying(passage, data, self._called(passage, function, data))

    def _called(self, passage: Passage, function: Callable[..., Any], data: Mapping[str, Any]) -> Flow[Any]:
        targets = Targets(data)
        problem = targets.problem()
        if problem is not None:
            passage.refuse(Entity(type="model", id=str(data.get("model"))), *problem)
        tried: dict[str, Any] | None = targets.first
        failure: Exception | None = None
        while tried is not None:
            sent = yield from passage.safely(self._prepared(passage, tried), tried)
            try:
                answer = yield Send(function, sent)
            except GuardrailRaisedException:
                raise  # nobody goes around somebody else's denial either
            except Exception as error:  # noqa: BLE001 -- whatever it is, LiteLLM would try the next one
                failure = error
            else:
                return (yield from released(passage, sent, answer))
            tried = targets.after(failure, tried)
        assert failure is not None  # noqa: S101 -- the first try either answered or failed
        raise shown(failure) if passage.withholds else failure

    def _prepared(self, passage: Passage, tried: Mapping[str, Any]) -> Flow[dict[str, Any]]:
        """Judge one try, and find what LiteLLM is to be called with."""
        passage.admit(tried)
        data = copied(tried, passage.endpoint, self.pep.settings.limits.depth)
        if passage.let_pass:
            return self._reached(data)
        # LiteLLM itself would look it up after the judgement.
        data["model"] = litellm.model_alias_map.get(data["model"], data["model"])
        name = _name_of(data, self._models)
        model = Entity(type="model", id=name, properties=self._properties(name, data))
        routable = bool(self._models) or not connects(data)
        called = yield from passage.try_(model, data, routable=routable)
        if called != name:
            data["model"] = called
        return self._reached(data)

    def _reached(self, data: dict[str, Any]) -> dict[str, Any]:
        params = self._models.get(str(data.get("model")))
        return data if params is None else {**without_connection(data), **params}

    def _describe(self, name: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
        if name not in self._models and connects(data):
            raise ValueError("the call says how its own model is reached, and nobody says it of this one")
        return self._properties(name, {"model": name})

    def _properties(self, name: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
        params = self._models.get(name, data)
        return entity_of(name, {"litellm_params": params}).properties


def _name_of(data: Mapping[str, Any], models: Mapping[str, Any]) -> str:
    """The name that policies know a model by: the provider that a call names besides is part of it."""
    name, provider = str(data["model"]), data.get("custom_llm_provider")
    if name in models or not isinstance(provider, str) or not provider or name.startswith(f"{provider}/"):
        return name
    return f"{provider}/{name}"
