"""Reads data files, JSON and YAML, as strictly as policies need: no key twice, JSON values alone, bounded."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

import yaml

from checkrein.errors import PolicyLoadError

__all__ = ["joined", "merged", "read_document"]

_MAX_VALUES: Final = 1_000_000
_MAX_DEPTH: Final = 64
_INTEGERS: Final = range(-(2**63), 2**63)


def read_document(name: str, content: bytes) -> dict[str, Any]:
    """Read a data file; JSON when its name says so, else YAML.

    Args:
        name: what messages call it.
        content: its bytes.

    Raises:
        PolicyLoadError: it holds no object, or a value that some engine would bend.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise PolicyLoadError(f"`{name}` is not UTF-8; save it as UTF-8") from None
    value = _json(name, text) if name.endswith((".json", ".manifest")) else _yaml(name, text)
    value = _Copier(name).plain(value, 0)
    if not isinstance(value, dict):
        raise PolicyLoadError(f"`{name}` must hold an object")
    return value


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Two objects as one; where both have a value that is not an object, the second one's."""
    both = dict(base)
    for key, value in over.items():
        mine = both.get(key)
        both[key] = merged(mine, value) if isinstance(mine, dict) and isinstance(value, dict) else value
    return both


def joined(base: Mapping[str, Any], more: Mapping[str, Any], name: str, at: str = "data") -> dict[str, Any]:
    """Two objects as one; unlike `merged`, two values at one place are an error, as in OPA.

    Raises:
        PolicyLoadError: naming the place.
    """
    both = dict(base)
    for key, value in more.items():
        mine = both.get(key)
        if key not in both:
            both[key] = value
        elif isinstance(mine, dict) and isinstance(value, dict):
            both[key] = joined(mine, value, name, f"{at}.{key}")
        else:
            raise PolicyLoadError(f"`{name}` gives `{at}.{key}` a second value; keep one of them")
    return both


def _json(name: str, text: str) -> Any:
    def unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) < len(pairs):
            raise PolicyLoadError(f"`{name}` has an object with the same key twice; keep one of them")
        return result

    def refuse(constant: str) -> NoReturn:
        raise PolicyLoadError(f"`{name}` holds `{constant}`, which is no JSON")

    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise PolicyLoadError(f"`{name}:{error.lineno}`: no JSON: {error.msg.lower()}") from None
    except (ValueError, RecursionError):
        raise PolicyLoadError(f"`{name}` is no JSON that an engine can hold") from None


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader; a key that is there twice is an error instead of the last one's win."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key `{key.value}` is there twice", key.start_mark
                )
            seen.add(str(key.value))
        super().flatten_mapping(node)


def _yaml(name: str, text: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 -- a safe loader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise PolicyLoadError(f"`{name}:{line}`: no YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise PolicyLoadError(f"`{name}` is no YAML that an engine can hold") from None


class _Copier:
    """Copies values and counts them: a small file with YAML aliases can stand for a very large one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.left = _MAX_VALUES

    def plain(self, value: Any, depth: int) -> Any:
        self.left -= 1
        if self.left < 0 or depth > _MAX_DEPTH:
            raise self._error(f"holds over `{_MAX_VALUES}` values or is nested over `{_MAX_DEPTH}`")
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, int | float):
            if not math.isfinite(value) or (isinstance(value, int) and value not in _INTEGERS):
                raise self._error("holds a number that is not finite or has over 64 bits")
            return value
        if isinstance(value, list):
            return [self.plain(one, depth + 1) for one in value]
        if isinstance(value, dict):
            if not all(isinstance(key, str) for key in value):
                raise self._error("has a key that is no string; quote it")
            return {self._text(key): self.plain(one, depth + 1) for key, one in value.items()}
        raise self._error(f"has a value of type `{type(value).__name__}`, which is no JSON; quote it")

    def _text(self, value: str) -> str:
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise self._error("holds a lone surrogate; write strict Unicode")
        return value

    def _error(self, problem: str) -> PolicyLoadError:
        return PolicyLoadError(f"`{self.name}` {problem}")
