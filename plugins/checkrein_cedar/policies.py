"""Loads Cedar policies: parses them once, reads their annotations, links templates, validates strictly."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Literal

import orjson
from cedarpy import PolicySet, Schema, policies_to_json_str, validate_policies
from pydantic import Field, TypeAdapter, ValidationError

from checkrein.errors import PolicyLoadError
from checkrein.strict import StrictModel
from checkrein.vocabulary import Reason

from .source import Statement, read_file, read_statements

__all__ = ["LoadedPolicies", "Policy", "load_policies", "load_schema"]

_MOST_TOLD: Final = 5
_LIBRARY_PREFIX: Final = re.compile(r"^for policy `[^`]*`, ")


class _Link(StrictModel):
    """As in Cedar's JSON policy format, `templateLinks`."""

    template: str = Field(alias="templateId")
    id: str = Field(alias="newId", min_length=1)
    values: Mapping[Literal["?principal", "?resource"], str | Mapping[Literal["type", "id"], str]]

    def slots(self) -> dict[str, Any]:
        """The values as the library takes them."""
        return {slot: dict(one) if isinstance(one, Mapping) else one for slot, one in self.values.items()}


class _Obligation(StrictModel):
    type: str = Field(min_length=1)
    properties: dict[str, Any] = Field(default_factory=dict)
    id: str | None = None


_LINKS: Final = TypeAdapter(list[_Link])
_OBLIGATIONS: Final = TypeAdapter(list[_Obligation])


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a determining policy adds to a verdict.

    Args:
        id: its `@id`, or `file:line` where it has none; of a linked template, the link's.
        file: where it stands, relative to the folder that the settings name.
        line: where it starts there, from 1; of a linked template, the template's.
        permits: permit or forbid.
        reason: of `@code` and `@reason`, or None where it has neither.
        obligations: of `@obligation`, as JSON, or None.
        actions: what its scope names: `("==" | "in", entities)`; None where it leaves the action open.
    """

    id: str
    file: str
    line: int
    permits: bool
    reason: Reason | None
    obligations: bytes | None
    actions: tuple[str, tuple[tuple[str, str], ...]] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedPolicies:
    """A policy set.

    Args:
        handle: parsed.
        policies: by the library's own ids: what can determine a decision.
        forms: static policies and templates in Cedar's JSON form.
        content: everything that can change an answer.
    """

    handle: PolicySet = field(repr=False)
    policies: Mapping[str, Policy]
    forms: Sequence[Mapping[str, Any]] = field(repr=False)
    content: str = field(repr=False)


def load_schema(path: Path) -> Schema:
    """Read a schema, `.cedarschema` or `.json`.

    Raises:
        PolicyLoadError: it is no schema.
    """
    text = read_file(path)
    try:
        return Schema.from_json_str(text) if path.suffix == ".json" else Schema.from_str(text)
    except ValueError as error:
        raise PolicyLoadError(f"`{path.name}` is no Cedar schema: {error}") from None


def load_policies(path: Path, links: Path | None, schema: Schema | None) -> LoadedPolicies:
    """Load what a file or a folder holds.

    Args:
        path: a `.cedar` file or a folder of them.
        links: a JSON file of `{templateId, newId, values}`; templates are named by `@id` or `file:line`.
        schema: what the policies are validated against, strictly.

    Raises:
        PolicyLoadError: naming file, line and policy.
    """
    statements = read_statements(path)
    text = "\n".join(statement.text for statement in statements)
    templates: dict[str, tuple[str, Statement, Policy]] = {}
    policies: dict[str, Policy] = {}
    forms: list[Mapping[str, Any]] = []
    known: dict[str, str] = {}
    for index, statement in enumerate(statements):
        form, is_template = _form(statement)
        policy = _policy(statement, form)
        _unique(policy.id, statement.place, known)
        forms.append(form)
        # The library numbers what it parses in the order of the text.
        if is_template:
            templates[policy.id] = (f"policy{index}", statement, policy)
        else:
            policies[f"policy{index}"] = policy
    handle = PolicySet.from_str(text)
    if len(handle) != len(policies):
        raise PolicyLoadError(f"policies `{path.name}` are read in two ways; report it with the file")
    if schema is not None:
        _validate(text, schema, [statement.place for statement in statements], known)
    linked = "" if links is None else read_file(links)
    if links is not None:
        handle = _linked(handle, _read_links(links, linked), templates, policies, known, schema)
    return LoadedPolicies(handle=handle, policies=policies, forms=forms, content=f"{text}\0{linked}")


def _form(statement: Statement) -> tuple[Mapping[str, Any], bool]:
    try:
        parsed = orjson.loads(policies_to_json_str(statement.text))
    except orjson.JSONDecodeError:
        raise PolicyLoadError(f"`{statement.place}`: nests too deeply; split the policy") from None
    except ValueError as error:
        raise PolicyLoadError(f"`{statement.place}`: does not parse: {error}") from None
    static, templates = parsed["staticPolicies"], parsed["templates"]
    if len(static) + len(templates) != 1:
        raise PolicyLoadError(f"`{statement.place}`: is no single policy; report it with the file")
    return next(iter((templates or static).values())), bool(templates)


def _policy(statement: Statement, form: Mapping[str, Any]) -> Policy:
    annotations = form.get("annotations", {})
    permits = form["effect"] == "permit"
    for key in annotations.keys() - {"id", "code", "reason", "obligation"}:
        # Cedar takes any annotation: a misspelt obligation would permit without it.
        if get_close_matches(key.lower(), ["obligation"], cutoff=0.75):
            raise PolicyLoadError(f"`{statement.place}`: `@{key}` is unknown; write `@obligation`")
    for key in ("id", "code"):
        if key in annotations and not annotations[key]:
            raise PolicyLoadError(f"`{statement.place}`: `@{key}` is empty; give it a value or take it out")
    reason = None
    if "code" in annotations or annotations.get("reason"):
        code = annotations.get("code") or ("permitted" if permits else "denied")
        reason = Reason(code=code, message=annotations.get("reason") or "")
    obligations = None
    if "obligation" in annotations:
        obligations = _obligations(annotations["obligation"], statement)
    return Policy(
        id=annotations.get("id") or statement.place,
        file=statement.file,
        line=statement.line,
        permits=permits,
        reason=reason,
        obligations=obligations,
        actions=_actions(form["action"]),
    )


def _obligations(text: str | None, statement: Statement) -> bytes:
    try:
        value = orjson.loads(text or "")
        # orjson lets the last of two equal keys win.
        json.loads(text or "", object_pairs_hook=_no_repeats)
        _OBLIGATIONS.validate_python(value)
    except (ValueError, RecursionError):
        raise PolicyLoadError(
            f"`{statement.place}`: `@obligation` is malformed; write a JSON array of `{{type, properties}}`"
        ) from None
    return orjson.dumps(value)


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key is there twice")
    return value


def _actions(scope: Mapping[str, Any]) -> tuple[str, tuple[tuple[str, str], ...]] | None:
    if scope["op"] == "All":
        return None
    entities = scope["entities"] if "entities" in scope else [scope["entity"]]
    return scope["op"], tuple((one["type"], one["id"]) for one in entities)


def _unique(name: str, place: str, known: dict[str, str]) -> None:
    if name in known:
        raise PolicyLoadError(f"`{place}`: the id `{name}` is that of `{known[name]}` too; give it another")
    known[name] = place


def _validate(text: str, schema: Schema, places: Sequence[str], known: Mapping[str, str]) -> None:
    result = validate_policies(text, schema)
    if result.validation_passed:
        return
    names = {place: name for name, place in known.items()}
    problems = []
    for error in result.errors:
        number = error.policy_id.removeprefix("policy")
        place = places[int(number)] if number.isdigit() and int(number) < len(places) else ""
        problems.append(_problem(place, names.get(place, ""), error.error))
    raise PolicyLoadError(_told(problems))


def _problem(place: str, name: str, said: str) -> str:
    called = f" (`{name}`)" if name != place else ""
    return f"`{place}`{called}: {_LIBRARY_PREFIX.sub('', said)}"


def _told(problems: Sequence[str]) -> str:
    more = len(problems) - _MOST_TOLD
    return "; ".join(problems[:_MOST_TOLD]) + (f"; and `{more}` more" if more > 0 else "")


def _read_links(path: Path, text: str) -> list[_Link]:
    try:
        return _LINKS.validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise PolicyLoadError(
            f"`{path.name}`: `{where}`: {first['msg'].lower()}; a link is `{{templateId, newId, values}}`"
        ) from None


def _linked(  # noqa: PLR0913, PLR0917 -- a load has these parts
    handle: PolicySet,
    links: Iterable[_Link],
    templates: Mapping[str, tuple[str, Statement, Policy]],
    policies: dict[str, Policy],
    known: dict[str, str],
    schema: Schema | None,
) -> PolicySet:
    batch: list[dict[str, Any]] = []
    for number, link in enumerate(links):
        if link.template not in templates:
            raise PolicyLoadError(
                f"link `{link.id}`: `{link.template}` is no template's `@id` or `file:line`"
            )
        library_id, statement, policy = templates[link.template]
        _unique(link.id, f"link `{link.id}`", known)
        batch.append({"template_id": library_id, "new_id": f"link{number}", "values": link.slots()})
        try:
            alone = PolicySet.from_str(statement.text).with_linked("policy0", "link", link.slots())
        except ValueError as error:
            raise PolicyLoadError(
                f"link `{link.id}`: does not fill the slots of `{policy.id}` ({statement.place}): {error}"
            ) from None
        if schema is not None:
            # Only text is validated: what the library prints of the link alone is the policy that it makes.
            result = validate_policies(str(alone), schema)
            if not result.validation_passed:
                said = [f"link `{link.id}`: {_LIBRARY_PREFIX.sub('', one.error)}" for one in result.errors]
                raise PolicyLoadError(_told(said))
        policies[f"link{number}"] = Policy(
            id=link.id,
            file=policy.file,
            line=policy.line,
            permits=policy.permits,
            reason=policy.reason,
            obligations=policy.obligations,
            actions=policy.actions,
        )
    return handle.with_linked_batch(batch)
