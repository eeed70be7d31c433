"""Parts the text of a stream's chunks from all else, and puts back what may leave, in its place.

LangChain adds the chunks of an answer up: strings are joined, blocks of content are found again by their
`index`. So a text can leave piece by piece where its place in the sum is certain. Everything else is held to
the end; where something held would stand before a text, a reader is first shown where (a block of reasoning),
or the text is held as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk

from checkrein_langchain.text.reader import is_word

from .elements import Element, Run, are_apart, shape_of_thought

__all__ = ["Parted", "Parts", "UnevenError"]

# What tells how to read a chunk, and is added up to itself.
_ABOUT: Final = ("model_provider", "output_version")
_TEXTS: Final = (None, "text", "output_text")

Content = list[str | dict[str, Any]]


class UnevenError(ValueError):
    """What was added up is not what was parted."""


class Parted(NamedTuple):
    """One chunk.

    Args:
        texts: what is new of which run; a run is text that a reader sees as one.
        rest: all else, without the texts, or None where there is nothing.
    """

    texts: list[tuple[int, str]]
    rest: ChatGenerationChunk | None


class Parts:
    """The parts of one answer.

    `uneven` becomes true, for good, where a chunk goes on with something that had ended: text of it may have
    left as if it were complete. From there on chunks are not parted any more.
    """

    def __init__(self) -> None:
        self.uneven = False
        self._whole = False
        self._listed = False
        self._elements: list[Element] = []
        self._keyed: dict[Any, Element] = {}
        self._runs: list[Run] = []
        self._early = True
        self._next = 0
        self._id: str | None = None
        self._about: dict[str, Any] = {}

    @property
    def runs(self) -> int:
        """How many runs of text there are so far."""
        return len(self._runs)

    def take(self, chunk: ChatGenerationChunk) -> Parted:
        """Part one chunk; it is left alone."""
        message = chunk.message
        if type(message) is not AIMessageChunk:
            # Unknown kinds of messages are held whole, unless it is too late for that.
            self._whole = True
            self.uneven = self.uneven or bool(self._runs)
        if self._whole or self.uneven or not isinstance(message, AIMessageChunk):
            return Parted([], chunk)
        self._id = message.id or self._id
        for key in _ABOUT:
            value = message.response_metadata.get(key)
            if isinstance(value, str) and is_word(value):
                self._about[key] = value
        content = message.content
        texts: list[tuple[int, str]] = []
        rest: Content = []
        if isinstance(content, str) and not self._listed:
            if content:
                texts.append(self._string(content))
        else:
            self._listed = True
            for element in content if isinstance(content, list) else [content] if content else []:
                self._element(element, texts, rest)
                if self.uneven:
                    return Parted([], chunk)
        if not rest and _is_bare(chunk, message):
            return Parted(texts, None)
        held = message.model_copy(update={"content": rest})
        # Made anew: a copy would keep the text that the original was made with.
        return Parted(texts, ChatGenerationChunk(message=held, generation_info=chunk.generation_info))

    def give(self, run: int, text: str) -> list[ChatGenerationChunk]:
        """What leaves of a run's text that may leave.

        Args:
            run: the run.
            text: a piece of it, as it may leave.
        """
        given: list[ChatGenerationChunk] = []
        for entry, piece in self._runs[run].split(text):
            if not entry.early:
                entry.kept.append(piece)
            elif isinstance(entry.shape, dict):
                given.append(self._chunk([*self._shown_before(entry), {**entry.shape, "text": piece}]))
                entry.shown = True
            else:
                given.append(self._chunk(piece))
        return given

    def finish(
        self, whole: ChatGenerationChunk | None, rests: Mapping[int, str]
    ) -> list[ChatGenerationChunk]:
        """All that is left.

        Args:
            whole: what was held of the chunks, as one, as it may leave; it is changed.
            rests: what is left of each run.

        Raises:
            UnevenError: what was held is not what was parted.
        """
        for number, text in rests.items():
            for entry, piece in self._runs[number].split(text):
                entry.kept.append(piece)
        if self._whole and whole is not None and not self._runs:
            return [whole]
        last = whole or self._chunk("")
        chunks: list[ChatGenerationChunk] = []
        entries = self._elements
        if entries and entries[0].shape is None and entries[0].run is not None and entries[0].early:
            text = "".join(entries[0].kept)
            chunks += [self._chunk(text)] if text else []
            entries = entries[1:]
        message = last.message
        if not self._listed:
            message.content = ""
        elif isinstance(message.content, list):
            message.content = self._filled(entries, message.content)
        if isinstance(message, AIMessageChunk):
            message.chunk_position = "last"
        # Made anew: its text is computed once.
        return [*chunks, ChatGenerationChunk(message=message, generation_info=last.generation_info)]

    # The elements of the content

    def _string(self, text: str) -> tuple[int, str]:
        if not self._elements:
            self._add(Element(None, early=True, run=self._run_of_text()))
        return self._elements[-1].grow(text)

    def _element(self, element: Any, texts: list[tuple[int, str]], rest: Content) -> None:
        if isinstance(element, str):
            self._bare_string(element, texts, rest)
            return
        block: dict[str, Any] = element if isinstance(element, dict) else {}
        key = block.get("index")
        key = key if isinstance(key, int) or (isinstance(key, str) and key.startswith("lc_")) else None
        text = block.get("text") if block.get("type") in _TEXTS else None
        # An index is shown early only where it is no text.
        self._early = self._early and not (isinstance(key, str) and not is_word(key))
        entry = self._keyed.get(key) if key is not None else None
        if entry is not None:
            self._go_on(entry, block, text, texts, rest)
        elif isinstance(text, str):
            self._begin_text(key, block, text, texts, rest)
        else:
            shape = shape_of_thought(block) if key is not None else None
            self._early = self._early and shape is not None
            self._add(Element(shape, early=False, id=block.get("id")), key)
            rest.append(element)

    def _bare_string(self, text: str, texts: list[tuple[int, str]], rest: Content) -> None:
        last = self._elements[-1] if self._elements else None
        if last is None or last.shape != "":
            self._early = False
            last = Element("", early=False, run=self._run_of_text())
            self._add(last)
            rest.append("")
        texts.append(last.grow(text))

    def _begin_text(
        self, key: Any, block: dict[str, Any], text: str, texts: list[tuple[int, str]], rest: Content
    ) -> None:
        told = {name: block[name] for name in ("type", "index") if block.get(name) is not None}
        plain = block.keys() <= {"type", "text", "index"}
        last = self._elements[-1] if self._elements else None
        if key is None and plain and last is not None and last.shape == told and last.run is not None:
            texts.append(last.grow(text))
            return
        # What has no index cannot be added to: all of it leaves at once.
        self._early = self._early and (key is not None or plain)
        entry = Element(told if self._early else None, self._early, self._run_of_text(), block.get("id"))
        self._add(entry, key)
        rest.append({**block, "text": ""})
        if text:
            texts.append(entry.grow(text))

    def _go_on(
        self, entry: Element, block: dict[str, Any], text: Any, texts: list[tuple[int, str]], rest: Content
    ) -> None:
        if entry.run is None:
            self.uneven = isinstance(text, str) or are_apart(entry.id, block.get("id"))
            entry.id = entry.id or block.get("id")
            rest.append(block)
            return
        kind = block.get("type")
        if (
            are_apart(entry.id, block.get("id"))
            or kind not in _TEXTS
            or (text and self._elements[-1] is not entry)
        ):
            self.uneven = True
            return
        entry.id = entry.id or block.get("id")
        if not block.keys() <= {"type", "text", "index"}:
            rest.append({**block, "text": ""} if isinstance(text, str) else block)
        if isinstance(text, str) and text:
            texts.append(entry.grow(text))

    def _add(self, entry: Element, key: Any = None) -> None:
        self._elements.append(entry)
        if key is not None:
            self._keyed[key] = entry
        if entry.run is not None:
            entry.run.elements.append(entry)

    def _run_of_text(self) -> Run:
        """The run that a text belongs to which begins now."""
        before = self._elements[-1].run if self._elements else None
        if before is not None:
            return before
        self._runs.append(Run(len(self._runs)))
        return self._runs[-1]

    # The chunks that leave

    def _shown_before(self, entry: Element) -> Content:
        """The places of what stands before, so that a reader's sum has them in their order."""
        shapes: Content = []
        while self._next < len(self._elements) and self._elements[self._next] is not entry:
            before = self._elements[self._next]
            if isinstance(before.shape, dict) and not before.shown and "index" in before.shape:
                shapes.append({**before.shape, "text": ""} if before.run is not None else before.shape)
                before.shown = True
            self._next += 1
        return shapes

    def _chunk(self, content: str | Content) -> ChatGenerationChunk:
        message = AIMessageChunk(content=content, id=self._id, response_metadata=dict(self._about))
        return ChatGenerationChunk(message=message)

    def _filled(self, entries: list[Element], held: Content) -> Content:
        """What was held of the content, with what is left of the texts."""
        if len(held) < len(entries) or (len(held) > len(entries) and not self.uneven):
            raise UnevenError(f"`{len(held)}` elements of content were held of `{len(entries)}`")
        filled: Content = []
        for entry, element in zip(entries, held, strict=False):
            text = "".join(entry.kept)
            if isinstance(element, dict) and entry.run is not None:
                text += element.get("text") or ""
                bare = element.keys() <= {"type", "text", "index"}
                if text or not bare or not (entry.shown or "index" not in element):
                    filled.append({**element, "text": text})
            elif isinstance(element, str) and entry.run is not None:
                filled += [text + element] if text + element else []
            elif entry.run is None:
                filled.append(element)
            else:
                raise UnevenError("a text was held as something else")
        return [*filled, *held[len(entries) :]]


def _is_bare(chunk: ChatGenerationChunk, message: AIMessageChunk) -> bool:
    """Whether a chunk has nothing besides its content."""
    return not (
        chunk.generation_info
        or message.additional_kwargs
        or message.tool_call_chunks
        or message.tool_calls
        or message.invalid_tool_calls
        or message.usage_metadata
        or message.name
        or message.__pydantic_extra__
        or message.response_metadata.keys() - set(_ABOUT)
    )
