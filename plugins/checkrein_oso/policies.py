"""Reads `.polar` files and makes knowledge bases of them; what Oso merely warns of is an error here."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

import orjson

from checkrein.engine import NativeTestResult
from checkrein.errors import PolicyLoadError

from .core import PANIC, Core, PolarError, Query, Source, place_in
from .evaluation import CLASS_IDS, NIL, Evaluation, InvalidValue
from .methods import Refusal
from .values import BASES

__all__ = ["ASKED", "Policies", "read_policies"]

_MAX_FILES: Final = 1_000
_MAX_SIZE: Final = 16 * 1024 * 1024
_PRELUDE: Final = "declarations"

# The types hold every rule of these names to what is asked: a `deny` of four parameters would never be.
_DECLARATIONS: Final = """
actor Principal {}
resource Target {}
type permit(subject, action, resource, context);
type deny(subject, action, resource, context, reason);
type obligation(subject, action, resource, context, obligation);
"""
ASKED: Final = {"permit": 4, "allow": 3, "deny": 5, "obligation": 5}
"""How many parameters each rule has that can be asked."""

_WORD: Final = re.compile(r"[A-Za-z_]\w*")
_COMMENT_OR_STRING: Final = re.compile(r'"(?:\\.|[^"\\])*"|#[^\n]*')
_AT: Final = re.compile(r"\s*at line \d+, column \d+.*", re.DOTALL)
_BLOCK: Final = re.compile(r"\b(?:actor|resource)\s+\w+\s*\{")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """Policy files that load.

    Args:
        name: what messages call them.
        sources: name and text of each file, sorted by name.
        rules: which of the rules that are asked exist.
        words: every word in the files: what may be shown in an error.
        revision: a hash of names and texts.
    """

    name: str
    sources: Sequence[Source] = field(repr=False)
    rules: frozenset[str] = frozenset()
    words: frozenset[str] = field(default=frozenset(), repr=False)
    revision: str

    def core(self) -> Core:
        """A knowledge base with these policies; they are known to load."""
        core = _new_core()
        core.load([*self.sources, (_PRELUDE, _DECLARATIONS)])
        return core

    def inline_tests(self, core: Core) -> Iterator[NativeTestResult]:
        """Ask every `?=`, Polar's own tests; a knowledge base hands each out once, the last one first."""
        while (query := core.next_inline_query()) is not None:
            file, line = place_in(query.source())
            name = f"{file}:{line}"
            try:
                passed = next(Evaluation().results(query), None) is not None
            except (PolarError, Refusal, InvalidValue) as error:
                yield NativeTestResult(
                    name=name, passed=False, detail=f"ended in an error: {said(error, self)}"
                )
            else:
                yield NativeTestResult(name=name, passed=passed, detail="" if passed else "does not hold")


def read_policies(path: Path) -> Policies:
    """Read a policy file, or every `.polar` file of a folder, and load them once.

    Raises:
        PolicyLoadError: they cannot be read or do not load, Oso warns of something in them, an inline query
            does not hold, or nothing could ever be permitted; the message names file and line.
    """
    sources = sorted(_files(path))
    if not sources:
        raise PolicyLoadError(f"`{path.name}` holds no `.polar` file; name the folder that does")
    core = _new_core()
    try:
        warnings = core.load([*sources, (_PRELUDE, _DECLARATIONS)])
    except PolarError as error:
        raise _located(path.name, error.message, error.file, error.line) from None
    texts = [text for _, text in sources]
    blocks = any(_BLOCK.search(_COMMENT_OR_STRING.sub("", text)) for text in texts)
    for warning in warnings:
        _refuse_warning(path.name, warning, blocks=blocks)
    rules = frozenset(name for name, arity in ASKED.items() if _exists(core, name, arity))
    if not rules & {"permit", "allow"}:
        raise PolicyLoadError(
            f"`{path.name}` has no rule `permit(subject, action, resource, context)` and no "
            "`allow(actor, action, resource)`: nothing would be permitted; write one"
        )
    digest = sha256(orjson.dumps(sources)).hexdigest()[:16]
    words = frozenset(word for text in texts for word in _WORD.findall(text))
    policies = Policies(name=path.name, sources=sources, rules=rules, words=words, revision=digest)
    for test in policies.inline_tests(core):
        if not test.passed:
            raise PolicyLoadError(f"`{test.name}`: the inline query {test.detail}")
    return policies


def said(error: PolarError | Refusal | InvalidValue, policies: Policies) -> str:
    """What may be said of an error: words and places of the policy, never a value."""
    if isinstance(error, InvalidValue):
        return "a result is left open"
    if isinstance(error, PolarError) and error.kind == PANIC:
        return "the library panicked; a `not` over a variable that is open can do that"
    if isinstance(error, PolarError):
        problem, place = f"`{error.kind}`", (error.file, error.line)
    else:
        # A policy can build names from a prompt: only its own words are shown.
        word = error.word if error.word in policies.words else "..."
        problem, place = error.problem.format(word=word), (error.file, error.line)
    file, line = place
    known = {name for name, _ in policies.sources}
    return f"{problem}, at `{file}:{line}`" if file in known else problem


def _new_core() -> Core:
    return Core(
        {name: [CLASS_IDS[base] for base in bases] for name, bases in BASES.items()},
        {"nil": NIL},
    )


def _files(path: Path) -> Iterator[Source]:
    names = _in_folder(path) if path.is_dir() else [(path.name, path)]
    size = 0
    for count, (name, file) in enumerate(names, 1):
        if file.suffix != ".polar":
            raise PolicyLoadError(f"`{file.name}` is no `.polar` file; name one, or a folder of them")
        try:
            with file.open("rb") as opened:
                content = opened.read(_MAX_SIZE + 1)
            text = content.decode()
        except OSError as error:
            raise PolicyLoadError(f"`{name}` cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise PolicyLoadError(f"`{name}` is not UTF-8; save it as UTF-8") from None
        size += len(content)
        if count > _MAX_FILES or size > _MAX_SIZE:
            raise PolicyLoadError(
                f"`{path.name}` is over `{_MAX_FILES}` files or `{_MAX_SIZE}` bytes; split it"
            )
        yield name, text


def _in_folder(root: Path) -> Iterator[tuple[str, Path]]:
    for folder, folders, names in os.walk(root):
        # Hidden folders hold what is not meant: `.git`, or the other versions of a mounted ConfigMap.
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if name.endswith(".polar") and not name.startswith("."):
                file = Path(folder, name)
                yield file.relative_to(root).as_posix(), file


def _exists(core: Core, name: str, arity: int) -> bool:
    """Whether a rule is there: asking for one that is not is an error, and only that tells."""
    # Numbers: what a rule does with open variables can make the library panic.
    numbers = [{"value": {"Number": {"Integer": 0}}}] * arity
    try:
        query: Query = core.query(orjson.dumps({"value": {"Call": {"name": name, "args": numbers}}}))
        query.next_event()
    except PolarError as error:
        return error.kind != "QueryForUndefinedRule"
    return True


def _refuse_warning(name: str, warning: str, *, blocks: bool) -> None:
    if "does not contain an allow rule" in warning:
        return
    if "does not call the" in warning and "has_permission" in warning:
        if not blocks:
            return  # our own declarations are blocks without permissions
        warning = (
            "a block gives permissions and no rule asks for them; write "
            "`allow(actor, action, resource) if has_permission(actor, action, resource);`"
        )
    raise _located(name, warning, *place_in(warning))


def _located(name: str, problem: str, file: str | None, line: int | None) -> PolicyLoadError:
    text = " ".join(_AT.sub("", problem).split())
    where = f"`{file}:{line}`" if file else f"`{name}`"
    return PolicyLoadError(f"{where}: {text[:1].lower()}{text[1:]}")
