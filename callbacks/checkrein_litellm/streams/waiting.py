"""The texts of a stream that wait for its end: calls of tools, and whatever tells a text again."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from checkrein import Origin, Segment
from checkrein_litellm.text.leaves import Leaf, Path
from checkrein_litellm.text.surfaces import Surfaces, UnwritableError

from .shape import Shape, put

__all__ = ["HeldTexts"]


class HeldTexts:
    """Reads what is held, and writes what becomes of its texts.

    Args:
        shape: how the stream is read.
        rests: what is held, in order.
        flowed: texts that flow, and where: told again, they are no texts of their own.
        max_depth: longest path that is read.

    Raises:
        RequestError: it is nested over the limit.
    """

    def __init__(
        self, shape: Shape, rests: Sequence[Any], flowed: Mapping[str, Sequence[Path]], max_depth: int
    ) -> None:
        self._again: list[tuple[Sequence[Path], Sequence[Leaf]]] = []
        self._surfaces = Surfaces()
        told: dict[str, list[Sequence[Leaf]]] = {}
        for number, parts in enumerate(_joined(shape, rests, max_depth)):
            text = "".join(part.text for part in parts)
            if parts[0].kind or parts[0].container is None:
                told[f"\0{number}"] = [parts]
            elif text in flowed:
                self._again.append((flowed[text], parts))
            else:
                told.setdefault(text, []).append(parts)
        below: Path | None = None
        for copies in told.values():
            first = copies[0][0]
            inside = below is not None and first.path[: len(below)] == below
            if self._surfaces.add(copies, "assistant", Origin.ASSISTANT, told=inside) and first.kind:
                below = first.path

    @property
    def segments(self) -> list[Segment]:
        """The texts, in order."""
        return self._surfaces.segments

    def uninspected(self, before: int) -> list[dict[str, Any]]:
        """What is no text, for the context.

        Args:
            before: how many segments come first.
        """
        return [{**one, "segment": one["segment"] + before} for one in self._surfaces.uninspected]

    def write(self, texts: Mapping[Path, str], flowed: Mapping[Path, str]) -> None:
        """Write new texts where the old ones stand.

        Args:
            texts: by path of a segment.
            flowed: what became of the texts that flow.

        Raises:
            UnwritableError: one of them cannot be changed, or JSON would break.
        """
        told = {segment.path: segment.text for segment in self.segments}
        self._surfaces.write(
            {path: text for path, text in texts.items() if path in told and told[path] != text}
        )
        for paths, (first, *others) in self._again:
            became = {flowed[path] for path in paths}
            if len(became) > 1:
                raise UnwritableError("a text that is told again became two")
            put(first.container, first.key, became.pop())
            for other in others:
                put(other.container, other.key, "")


def _joined(shape: Shape, rests: Sequence[Any], max_depth: int) -> Sequence[Sequence[Leaf]]:
    """The strings, the pieces of one together."""
    found: dict[Hashable, list[Leaf]] = {}
    for number, rest in enumerate(rests):
        for place, (key, leaf) in enumerate(shape.told(rest, max_depth)):
            one = leaf._replace(path=("held", number, *leaf.path))
            found.setdefault((number, place) if key is None else ("pieces", key), []).append(one)
    return list(found.values())
