"""Patterns in linear time, in place of the library's, which are backtracking regular expressions.

A pattern is an automaton held in one integer; each character costs a few operations on it, whatever the
value is, so a caller cannot choose a slow one. A value with a `.` or `..` segment is refused: it names
another thing than it spells.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from checkrein.errors import EngineFailure, FailureCause

__all__ = ["PATTERNS", "REFUSED", "Pattern"]

Pattern = Callable[[str], bool]
"""Whether a value matches."""

REFUSED: Final[Mapping[str, str]] = {
    "keyMatch2": "takes `:name` for a wildcard: `model:gpt-4o` would match every model; use `keyMatch3`",
    "keyMatch4": "is a backtracking regular expression; use `keyMatch3`",
    "keyMatch5": "is a backtracking regular expression; use `keyMatch3`",
    "regexMatch": "is a backtracking regular expression that a caller can stall; use `keyMatch`, `globMatch` "
    "or `contains`, or name a linear one of your own under `functions`",
    "timeMatch": "reads this host's local clock; compare `r.ctx.environment.time` instead",
}
"""Functions of Casbin's that a matcher may not call, and why."""

_MAX_LENGTH: Final = 1024
_PARAMETER: Final = re.compile(r"\{[^{}/]+\}")


class _Part(NamedTuple):
    """What one place of a pattern takes: these characters (None = any), once or as often as they come."""

    chars: frozenset[str] | None
    negated: bool = False
    repeats: bool = False


_ANY: Final = _Part(None, repeats=True)
_NO_SLASH: Final = _Part(frozenset("/"), negated=True)
_WITHIN: Final = _Part(frozenset("/"), negated=True, repeats=True)


def _key_match(pattern: str) -> Pattern:
    """`keyMatch`: one `*` at the end takes everything."""
    head, star, rest = pattern.partition("*")
    if rest:
        raise ValueError(
            "`keyMatch` ignores what follows the first `*`; end the pattern there, or use `globMatch`"
        )
    if not star:
        return lambda value: _whole(value) == pattern
    return lambda value: _whole(value).startswith(head)


def _key_match3(pattern: str) -> Pattern:
    """`keyMatch3`: `{name}` takes a part of a segment, `/*` everything below."""
    parts: list[_Part] = []
    place = 0
    while place < len(pattern):
        if parameter := _PARAMETER.match(pattern, place):
            parts += (_NO_SLASH, _WITHIN)
            place = parameter.end()
            continue
        char = pattern[place]
        if char == "*" and place and pattern[place - 1] == "/":
            parts.append(_ANY)
        elif char in "*{}":
            raise ValueError("`keyMatch3` takes `{name}`, and `*` only after a `/`")
        else:
            parts.append(_Part(frozenset(char)))
        place += 1
    return _automaton(parts)


def _glob_match(pattern: str) -> Pattern:
    """`globMatch`: `*` and `?` stay within a segment, `**` does not, `[a-z]` and `[!a-z]` are sets."""
    parts: list[_Part] = []
    place = 0
    while place < len(pattern):
        char = pattern[place]
        if char == "*":
            end = place
            while end < len(pattern) and pattern[end] == "*":
                end += 1
            parts.append(_WITHIN if end - place == 1 else _ANY)
            place = end
            continue
        if char == "[":
            part, place = _set(pattern, place + 1)
            parts.append(part)
            continue
        if char in "{}\\]":
            raise ValueError(f"`globMatch` has no `{char}`; write one row for each alternative")
        parts.append(_NO_SLASH if char == "?" else _Part(frozenset(char)))
        place += 1
    return _automaton(parts)


def _set(pattern: str, place: int) -> tuple[_Part, int]:
    end = pattern.find("]", place)
    inner = pattern[place:end]
    negated = inner.startswith(("!", "^"))
    inner = inner[1:] if negated else inner
    if end < 0 or not inner or "/" in inner or "[" in inner:
        raise ValueError("a set of `globMatch` is not closed, is empty, or holds `/` or `[`")
    chars: set[str] = set()
    index = 0
    while index < len(inner):
        if inner[index + 1 : index + 2] == "-" and index + 2 < len(inner):
            low, high = ord(inner[index]), ord(inner[index + 2])
            if not low <= high < low + 256:
                raise ValueError("a range of `globMatch` runs backwards or is over 256 characters")
            chars.update(map(chr, range(low, high + 1)))
            index += 3
        else:
            chars.add(inner[index])
            index += 1
    return _Part(frozenset(chars | {"/"} if negated else chars), negated=negated), end + 1


def _automaton(parts: Sequence[_Part]) -> Pattern:
    merged: list[_Part] = []
    for part in parts:
        if part.repeats and merged and merged[-1].repeats:
            # Two in a row take what the wider one takes.
            merged[-1] = _ANY if _ANY in (part, merged[-1]) else part
        else:
            merged.append(part)
    repeating = sum(1 << place for place, part in enumerate(merged) if part.repeats)
    by_char: dict[str, int] = {}
    others = 0
    alphabet = frozenset().union(*(part.chars or frozenset() for part in merged))
    for place, part in enumerate(merged):
        if part.chars is None or part.negated:
            others |= 1 << place
    for char in alphabet:
        by_char[char] = sum(
            1 << place
            for place, part in enumerate(merged)
            if part.chars is None or (char in part.chars) is not part.negated
        )
    begin = 1 | ((1 & repeating) << 1)
    accept = 1 << len(merged)

    def matches(value: str) -> bool:
        states = begin
        for char in _whole(value):
            taken = states & by_char.get(char, others)
            states = ((taken & ~repeating) << 1) | (taken & repeating)
            states |= (states & repeating) << 1
            if not states:
                return False
        return bool(states & accept)

    return matches


def _whole(value: str) -> str:
    if "." in value:
        path = value.replace("\\", "/")
        # The type before the first colon is ours: `tool:..` is the tool `..`.
        segments = (
            path.split("/") if ":" not in path else [*path.split("/"), *path.partition(":")[2].split("/")]
        )
        if "." in segments or ".." in segments:
            raise EngineFailure(
                FailureCause.REQUEST_REJECTED,
                "a value that a pattern is asked about has a `.` or `..` segment",
            )
    return value


_COMPILERS: Final[Mapping[str, Callable[[str], Pattern]]] = {
    "globMatch": _glob_match,
    "keyMatch": _key_match,
    "keyMatch3": _key_match3,
}


def _bounded(compiler: Callable[[str], Pattern]) -> Callable[[str], Pattern]:
    def compile_(pattern: str) -> Pattern:
        if len(pattern) > _MAX_LENGTH:
            raise ValueError(f"a pattern is over `{_MAX_LENGTH}` characters")
        return compiler(pattern)

    return compile_


PATTERNS: Final[Mapping[str, Callable[[str], Pattern]]] = {
    name: _bounded(compiler) for name, compiler in _COMPILERS.items()
}
"""Compiles a pattern, by its function; raises `ValueError` for one that would not mean what it says."""
