"""The engine plug-in: one Cedar policy set, asked at every stage whose action its policies name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, ClassVar, Self, TypeVar

import orjson
from cedarpy import AuthzResult, is_authorized_batch
from pydantic import Field, field_validator, model_validator

from checkrein.document import EvaluationRequest
from checkrein.engine import EngineOptions
from checkrein.errors import EngineFailure, FailureCause, PolicyLoadError
from checkrein.strict import SettingsPath
from checkrein.vocabulary import Stage, Verdict

from .answer import verdict_of
from .entities import EntityStore, StableEntities, check_types
from .names import PARENTS, TYPE_NAME, TYPES, Names, Uid, shown
from .needs import Needs, needs_of
from .policies import LoadedPolicies, Policy, load_policies, load_schema
from .source import read_file
from .values import context_of, refuse_syntax

__all__ = ["CedarEngine", "CedarOptions"]

T = TypeVar("T")


class CedarOptions(EngineOptions):
    """The options of the engine `cedar`.

    Args:
        policies: a `.cedar` file, or a folder of them.
        schema: a `.cedarschema`, or a Cedar schema as `.json`: policies, links and entities are validated
            against it when they are loaded. Requests are not: what they lack shows in a policy that reads it.
        entities: Cedar's JSON entities: groups and their parents, model families, models, users. What they
            say of a subject or a resource outranks what the host says.
        links: a JSON array of `{templateId, newId, values}`, one for each policy made of a template.
        types: entity type by the type of a subject or resource, beside `user: User`, `model: Model` ...
        parents: entity type by the property that names parents: `{groups: Group, roles: Role, family:
            ModelFamily}` unless given.
        namespace: of every type that has none of its own, and of the actions.
    """

    policies: SettingsPath
    policy_schema: SettingsPath | None = Field(default=None, alias="schema")
    entities: SettingsPath | None = None
    links: SettingsPath | None = None
    types: Mapping[str, str] = Field(default_factory=dict)
    parents: Mapping[str, str] = Field(default_factory=lambda: dict(PARENTS))
    namespace: str | None = None

    @field_validator("types", "parents", "namespace")
    @classmethod
    def _are_names(cls, value: Mapping[str, str] | str | None) -> Any:
        for name in value.values() if isinstance(value, Mapping) else (value,):
            if name is not None and not TYPE_NAME.fullmatch(name):
                raise ValueError(f"`{name}` is no name of Cedar; write it as `User` or `Space::User`")
        return value

    @model_validator(mode="after")
    def _are_apart(self) -> Self:
        names = self.names()
        taken = dict.fromkeys(names.groups, "parents or actions")
        for kind, name in names.types.items():
            if name in taken:
                raise ValueError(f"`types`: `{kind}` would be one with {taken[name]}: `{name}`; rename it")
            taken[name] = f"`{kind}`"
        return self

    def names(self) -> Names:
        """How subjects, resources, actions and groups are called."""
        return Names({**TYPES, **self.types}, self.parents, self.namespace)


class CedarEngine:
    """Answers from Cedar policies, in this process.

    The principal is the subject, the resource the resource, both with their properties as attributes; what
    `groups`, `roles` and `family` name are their parents. The context is the input document's, null left out,
    and beside it `found`, `found_current` and `uninspected_kinds`: sets, for Cedar cannot search a list.

    Args:
        name: what the record calls it.
        policies: the policy set.
        store: the entities.
        names: how things are called.
        needs: what the policies look at.
        stages: the stages that it answers.
        revision: the version of all this.
    """

    Options: ClassVar[type[EngineOptions]] = CedarOptions
    remote: ClassVar[bool] = False

    def __init__(  # noqa: PLR0913 -- the parts of one loaded policy set
        self,
        name: str,
        *,
        policies: LoadedPolicies,
        store: EntityStore,
        names: Names,
        needs: Needs,
        stages: frozenset[Stage],
        revision: str,
    ) -> None:
        self.name = name
        self.stages = stages
        self.revision: str | None = revision
        self._loaded = policies
        self._store = store
        self._names = names
        self._needs = needs
        self._closed = False

    @classmethod
    def from_options(cls, options: CedarOptions) -> CedarEngine:
        """Make the engine.

        Raises:
            PolicyLoadError: something does not load; the message names file, line and policy.
        """
        schema = None if options.policy_schema is None else load_schema(options.policy_schema)
        policies = load_policies(options.policies, options.links, schema)
        text = "[]" if options.entities is None else read_file(options.entities)
        file = "entities" if options.entities is None else options.entities.name
        stable = StableEntities(text, file, schema)
        names = options.names()
        check_types({*names.groups, *names.types.values()})
        needs = needs_of(policies.forms)
        return cls(
            options.name or "cedar",
            policies=policies,
            store=EntityStore(stable, names, needs),
            names=names,
            needs=needs,
            stages=_stages(options, policies.policies.values(), names, stable),
            revision=_revision(options, policies, text),
        )

    def entrypoint(self, stage: Stage) -> str | None:
        """The action that a stage asks for, for instance `Action::"submit_prompt"`."""
        return shown((self._names.action, stage.action)) if stage in self.stages else None

    def locate(self, policy_id: str) -> tuple[str, int] | None:
        """Where the policy of this id stands; a link, where its template does."""
        found = (one for one in self._loaded.policies.values() if one.id == policy_id)
        return next(((one.file, one.line) for one in found), None)

    def evaluate(self, request: EvaluationRequest) -> Verdict:
        """Answer one request.

        Raises:
            EngineFailure: `request_rejected` for what Cedar has no value for or would read as syntax;
                `engine_error` when a policy ends in an error, there is no decision, or the engine is closed.
        """
        question, asked = self._question(request.document)
        (result,) = self._ask([question], asked)
        return self._verdict(result)

    def evaluate_many(self, requests: Sequence[EvaluationRequest]) -> list[Verdict | EngineFailure]:
        """Answer several requests, for instance one for each model that could be chosen.

        The answers are those of `evaluate`, for two thirds of its time where ten requests have one subject.

        Args:
            requests: in any order, of any stages.

        Returns:
            The answer of each, in their order; a failure is handed back, not raised.
        """
        answers: dict[int, Verdict | EngineFailure] = {}
        questions: dict[int, dict[str, Any]] = {}
        asked: dict[Uid, Mapping[str, Any]] = {}
        for index, request in enumerate(requests):
            try:
                question, own = self._question(request.document)
            except EngineFailure as failure:
                answers[index] = failure
                continue
            # A set of entities holds each of them once, and a policy that can look at others would see them.
            if not self._needs.others and all(_same(asked.get(uid, it), it) for uid, it in own.items()):
                questions[index] = question
                asked |= own
        try:
            results = self._ask([*questions.values()], asked) if questions else []
            answers |= {
                index: _answered(self._verdict, result)
                for index, result in zip(questions, results, strict=True)
            }
        except EngineFailure:
            # What one request brings is refused: the others are not to suffer for it.
            pass
        return [
            answers[index] if index in answers else _answered(self.evaluate, request)
            for index, request in enumerate(requests)
        ]

    def close(self) -> None:
        """Stop answering; may be called again."""
        self._closed = True
        self._store.forget()

    def _question(self, document: Mapping[str, Any]) -> tuple[dict[str, Any], dict[Uid, Mapping[str, Any]]]:
        """The request in Cedar's words, and the entities that it is about."""
        try:
            refuse_syntax(document)
            subject, resource = document["subject"], document["resource"]
            principal, target = self._store.uid_of(subject), self._store.uid_of(resource)
            question = {
                "principal": {"type": principal[0], "id": principal[1]},
                "action": {"type": self._names.action, "id": document["action"]["name"]},
                "resource": {"type": target[0], "id": target[1]},
                "context": orjson.dumps(context_of(document["context"], self._needs.context)).decode(),
            }
        except (TypeError, RecursionError):
            raise EngineFailure(FailureCause.REQUEST_REJECTED, "the request is no strict JSON") from None
        if principal == target:
            raise EngineFailure(FailureCause.REQUEST_REJECTED, "subject and resource are one entity")
        return question, {principal: subject["properties"], target: resource["properties"]}

    def _ask(
        self, questions: list[dict[str, Any]], asked: Mapping[Uid, Mapping[str, Any]]
    ) -> list[AuthzResult]:
        if self._closed:
            raise EngineFailure(FailureCause.ENGINE_ERROR, "the engine is closed")
        entities = self._store.entities(asked)
        try:
            return is_authorized_batch(questions, self._loaded.handle, entities)
        except Exception as error:  # noqa: BLE001 -- its words could echo the request
            raise EngineFailure(FailureCause.ENGINE_ERROR, f"`{type(error).__name__}` was raised") from None

    def _verdict(self, result: AuthzResult) -> Verdict:
        return verdict_of(
            result, self._loaded.policies, attributes=self._needs.attributes, revision=self.revision
        )


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    # As Cedar sees them: to Python, `True`, `1` and `1.0` are equal.
    return one is other or orjson.dumps(one) == orjson.dumps(other)


def _answered(ask: Callable[[T], Verdict], about: T) -> Verdict | EngineFailure:
    try:
        return ask(about)
    except EngineFailure as failure:
        return failure


def _stages(
    options: CedarOptions, policies: Iterable[Policy], names: Names, stable: StableEntities
) -> frozenset[Stage]:
    """The stages whose action some policy names or leaves open; the settings can say it otherwise."""
    if options.stages is not None:
        return frozenset(options.stages)
    permitted: set[Stage] = set()
    named: set[Stage] = set()
    for policy in policies:
        for stage in Stage:
            action = (names.action, stage.action)
            if policy.actions is not None:
                operator, entities = policy.actions
                above = stable.ancestors(action) if operator == "in" else ()
                if not {action, *above} & {*entities}:
                    continue
            named.add(stage)
            if policy.permits:
                permitted.add(stage)
    if not named:
        raise PolicyLoadError(
            f"policies `{options.policies.name}` name no stage's action, which would be for instance "
            f"`{shown((names.action, Stage.PRE_PROMPT.action))}`; correct them or set `namespace` or `stages`"
        )
    if named != permitted:
        without = ", ".join(f"`{stage}`" for stage in Stage if stage in named - permitted)
        raise PolicyLoadError(
            f"policies `{options.policies.name}` forbid at the stage {without} and permit nothing there: all "
            "of it would be denied; give `stages`, with it or without, or permit something"
        )
    return frozenset(named)


def _revision(options: CedarOptions, policies: LoadedPolicies, entities: str) -> str:
    parts = [policies.content, entities, *(f"{key}={name}" for key, name in sorted(options.types.items()))]
    parts += [options.namespace or "", *(f"{key}={name}" for key, name in sorted(options.parents.items()))]
    return sha256("\0".join(parts).encode()).hexdigest()[:16]
