"""The stream of Google's `generateContent`: bytes that hold pieces of the answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from checkrein.errors import RequestError
from checkrein_litellm.text.leaves import Path, leaves, member
from checkrein_litellm.text.tokens import is_token

from .shape import Event, Piece, Step, dropped, faithful, number_of, own
from .sse import DONE, FrameReader, frame

__all__ = ["GenerateShape"]

# An answer's own book-keeping.
_ENVELOPE: Final = frozenset({"createTime", "modelVersion", "responseId", "usageMetadata"})
# What a candidate says about itself, in words of the API.
_FRAME: Final = frozenset({"avgLogprobs", "content", "finishReason", "index", "safetyRatings", "tokenCount"})
_CONTENT: Final = frozenset({"parts", "role"})
_ROLES: Final = ("model", "user")
_SIGNED: Final = frozenset({"text", "thought", "thoughtSignature", "thought_signature"})


class GenerateShape:
    """Text and thoughts flow; calls of functions wait.

    Args:
        limit: bytes of text that a stream may hold.
    """

    def __init__(self, limit: int) -> None:
        self._reader = FrameReader(limit)
        self._begun: dict[int, list[Path]] = {}

    def read(self, chunk: Any) -> Sequence[Event]:
        """The events that are complete with a chunk."""
        if isinstance(chunk, str):
            chunk = chunk.encode("utf-8", "surrogatepass")
        if not isinstance(chunk, bytes):
            raise RequestError("unsupported_answer", f"`{type(chunk).__name__}` is no piece of a stream")
        return [self._event(one.data) for one in self._reader.take(chunk)]

    def close(self) -> None:
        """End the stream."""
        self._reader.close()

    def rest(self, event: Event) -> Any:
        """The piece without the text."""
        rest = own(event.data)
        dropped(rest)
        for _, candidate in _candidates(rest):
            content = candidate.get("content")
            if isinstance(content, dict) and isinstance(content.get("parts"), list):
                content["parts"] = [
                    one for part in content["parts"] if (one := _without_text(part)) is not None
                ]
        return rest

    def silent(self, rest: Any) -> bool:
        """Whether it says an end, the usage, or signs what was thought."""
        if rest == DONE:
            return True
        if not isinstance(rest, dict) or rest.keys() - _ENVELOPE - {"candidates"}:
            return False
        return all(
            candidate.keys() <= _FRAME and all(part.keys() <= _SIGNED for part in _parts(candidate))
            for _, candidate in _candidates(rest)
        )

    def told(self, rest: Any, max_depth: int) -> Iterator[Piece]:
        """Every string that is not the API's own."""
        if not isinstance(rest, dict):
            return
        for key in [key for key in rest if key not in _ENVELOPE]:
            for leaf in leaves(rest, key, (key,), max_depth):
                of_role = leaf.path[-2:] == ("content", "role") and leaf.text in _ROLES
                if not of_role and not is_token(leaf.path):
                    yield None, leaf

    def saying(self, event: Event, path: Path, text: str) -> Any:
        """A piece with one part."""
        part: dict[str, Any] = {"text": text}
        if path[2] == "thought":
            part["thought"] = True
        candidate = {"content": {"parts": [part], "role": "model"}, "index": path[1]}
        names = {key: event.data[key] for key in ("modelVersion", "responseId") if key in event.data}
        return {"candidates": [candidate], **names}

    def written(self, data: Any) -> Any:
        """A frame without a name."""
        return frame(data)

    def outcome(self, events: Sequence[Any]) -> Sequence[Any]:
        """Every piece: the last that tells counts."""
        return [event for event in events if isinstance(event, dict)]

    def _event(self, data: Any) -> Event:
        if data == DONE:
            return Event(data)
        data = faithful(data)
        steps: list[Step] = []
        more = bool(data.keys() - _ENVELOPE - {"candidates"}) or not data.get("candidates")
        for index, candidate in _candidates(data):
            for part in _parts(candidate):
                steps += self._flows(index, part)
                more = more or _without_text(part) is not None
            more = more or any(value for key, value in candidate.items() if key not in {"content", "index"})
            more = more or bool((candidate.get("content") or {}).keys() - _CONTENT)
            if candidate.get("finishReason"):
                steps += [(path, None) for path in self._begun.get(index, ())]
        after = any(candidate.get("finishReason") for _, candidate in _candidates(data))
        return Event(data, tuple(steps), more, after)

    def _flows(self, index: int, part: Mapping[str, Any]) -> Iterator[Step]:
        text = part.get("text")
        if not isinstance(text, str) or not text:
            return
        kind = "thought" if part.get("thought") else "text"
        path: Path = ("candidates", index, kind)
        begun = self._begun.setdefault(index, [])
        if kind == "text":
            yield from ((one, None) for one in begun if one[2] == "thought")
        if path not in begun:
            begun.append(path)
        yield path, text


def _candidates(data: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    found = member(data, "candidates") if isinstance(data, dict) else None
    if found is not None and not (isinstance(found, list) and all(isinstance(one, dict) for one in found)):
        raise RequestError("unsupported_answer", "the stream has candidates that are none")
    return ((number_of(one, "index", place), one) for place, one in enumerate(found or ()))


def _parts(candidate: Mapping[str, Any]) -> list[dict[str, Any]]:
    content = candidate.get("content")
    parts = content.get("parts") if isinstance(content, dict) else None
    if content is not None and not isinstance(content, dict):
        raise RequestError("unsupported_answer", "the stream has a content that is none")
    if parts is not None and not (isinstance(parts, list) and all(isinstance(one, dict) for one in parts)):
        raise RequestError("unsupported_answer", "the stream has parts that are none")
    return parts or []


def _without_text(part: Mapping[str, Any]) -> dict[str, Any] | None:
    """The part, or what it says besides its text; None where that is nothing."""
    if not isinstance(part.get("text"), str):
        return dict(part)
    if part.keys() <= {"text", "thought"}:
        return None
    return {**part, "text": ""}
