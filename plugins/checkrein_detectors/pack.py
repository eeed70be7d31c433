"""The pack: from the requested types to one scanner, from places in a view to spans of the raw text."""

from __future__ import annotations

import re
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from types import MappingProxyType
from typing import Final, NamedTuple

from checkrein.detection import Span
from checkrein.redaction import join_spans, redact

from .api_keys import API_KEY_MAX, find_api_keys
from .financial import CARD_MAX, IBAN_MAX, find_cards, find_ibans
from .injection import INJECTION_MAX, find_hidden, find_injections
from .lookalikes import ascii_table
from .normalising import View, view_of
from .passwords import PASSWORD_MAX, find_passwords
from .personal import EMAIL_MAX, SSN_MAX, find_emails, find_ssns
from .phones import PHONE_MAX, find_phones
from .private_keys import find_private_keys

__all__ = ["Pack", "PackScanner", "pack"]

Finder = Callable[[View], Iterable[tuple[int, int]]]
Finders = Sequence[tuple[str, Finder]]

# What the sender stretches with invisible characters may be twice as long as what is seen.
_STRETCH: Final = 2

_FINDERS: Final[Mapping[str, tuple[Finder, int | None]]] = {
    "api_key": (find_api_keys, API_KEY_MAX),
    "credit_card": (find_cards, CARD_MAX),
    "email": (find_emails, EMAIL_MAX),
    "iban": (find_ibans, IBAN_MAX),
    "injection": (find_injections, INJECTION_MAX),
    "password": (find_passwords, PASSWORD_MAX),
    "phone": (find_phones, PHONE_MAX),
    "private_key": (find_private_keys, None),
    "us_ssn": (find_ssns, SSN_MAX),
}

# How much text is read again with findings taken out: so many times its length, and some besides, so that the
# cost stays linear. What still moves after this is left to the second look after redaction, which denies.
_REREAD: Final = 2
_REREAD_FREE: Final = 200_000
# What separates a finding from its neighbours, whatever they are; and white space alone, unless a number is
# next, since the groups of a number are spaced too. And what may end a finding and turn what follows round.
_NEAR: Final = 4
_LEADING: Final = 12
_BEFORE: Final = re.compile(r"(?:(?s:.*)[,;!?()\[\]{}<>\"']\s*|[\x20-/:-~\s]*\s)?", re.ASCII)
_AFTER: Final = re.compile(r"(?:\s*[,;!?)\]}>\"'](?s:.*)|\.?\s[\x20-/:-~\s]*|\.)?", re.ASCII)
_LEADS_ON: Final = re.compile(
    r"(?:\b(?:not|dont|never|nicht|will|can|which|that|i|if|once|when|because)|n't)\Z",
    re.ASCII | re.IGNORECASE,
)


class Pack:
    """All nine detectors (`checkrein.detection.DetectorPack`)."""

    @property
    def max_spans(self) -> Mapping[str, int | None]:
        """Per type, the longest span in code points, with the words that it leans on; None when unbounded.

        A finding that is longer, because invisible characters stretch it or because it is no ordinary key, is
        told as several touching spans.
        """
        return _MAX_SPANS

    def scanner(self, types: frozenset[str]) -> PackScanner:
        """Compile a scanner.

        Args:
            types: what to look for; nothing else is searched.

        Raises:
            ValueError: a type is none of this pack's.
        """
        unknown = sorted(types - _FINDERS.keys())
        if unknown:
            raise ValueError(f"`{unknown[0]}` is no type of this pack; it has {', '.join(sorted(_FINDERS))}")
        ascii_table()  # built now and not during the first call
        finders = tuple((name, _FINDERS[name][0]) for name in sorted(types))
        return PackScanner(finders, hidden="injection" in types)


class PackScanner:
    """Finds what one set of types looks for (`checkrein.detection.BoundedScanner`).

    Args:
        finders: each type with what finds it.
        hidden: whether hidden writing counts as an injection.
    """

    def __init__(self, finders: Finders, *, hidden: bool) -> None:
        self._finders = finders
        self._hidden = hidden

    def __call__(self, text: str) -> list[Span]:
        """Every span.

        Args:
            text: any text, lone surrogates included.
        """
        return self.up_to(text, sys.maxsize)

    def up_to(self, text: str, most: int) -> list[Span]:
        """Every span, or more than `most` once so many have been found.

        Args:
            text: any text, lone surrogates included.
            most: how many are enough.
        """
        found = _Look(self._finders, self._hidden, most).once(text)
        if not found or len(found) > most:
            return found
        return _cut_to_size(_settled(text, found, _Look(self._finders, self._hidden, sys.maxsize)))


_MAX_SPANS: Final[Mapping[str, int | None]] = MappingProxyType(
    {name: None if longest is None else longest * _STRETCH for name, (_, longest) in _FINDERS.items()}
)


class _Look(NamedTuple):
    """What looks, for what, and how many findings are enough."""

    finders: Finders
    hidden: bool
    most: int

    def once(self, text: str) -> list[Span]:
        """What each finder finds by itself; where that is more than enough, the rest is not looked for."""
        view = view_of(text)
        found: list[Span] = []
        for name, find in self.finders:
            places: Iterator[tuple[int, int]] = (
                (view.raw(start), view.raw(end)) for start, end in find(view)
            )
            if self.hidden and name == "injection":
                places = chain(places, find_hidden(text))
            found += self._counted(name, places)
            if len(found) > self.most:
                break
        return found

    def _counted(self, name: str, places: Iterator[tuple[int, int]]) -> list[Span]:
        """The places of one type, joined, and counted as often as so many more have come as are enough."""
        joined: list[Span] = []
        while len(joined) <= self.most and (more := [*islice(places, max(self.most, 1))]):
            joined = _joined(name, [*(span[1:] for span in joined), *more])
        return joined


def _joined(name: str, places: list[tuple[int, int]]) -> list[Span]:
    """Overlapping places of one type are one finding."""
    joined: list[Span] = []
    for start, end in sorted(places):
        if joined and start < joined[-1].end:
            joined[-1] = Span(name, joined[-1].start, max(joined[-1].end, end))
        else:
            joined.append(Span(name, start, end))
    return joined


def _stands_alone(text: str, span: Span) -> bool:
    """Whether nothing beside a finding can be read differently without it."""
    before, after = text[max(0, span.start - _NEAR) : span.start], text[span.end : span.end + _NEAR]
    if not (_BEFORE.fullmatch(before) and _AFTER.fullmatch(after)):
        return False
    return _LEADS_ON.search(text[max(span.start, span.end - _LEADING) : span.end]) is None


def _settled(text: str, found: list[Span], look: _Look) -> list[Span]:
    """Add what shows only when the findings are taken out, so that redaction leaves nothing to find.

    Two numbers glued together are neither; with one of them gone, the other is.
    """
    if all(_stands_alone(text, span) for span in found):
        return found
    budget = _REREAD * len(text) + _REREAD_FREE
    further = found
    while further:
        further = []
        for taken in _takings(found):
            if budget < 0:
                return found
            budget -= len(text)
            further += _uncovered(text, taken, found, look)
        found += further
    return found


def _takings(found: Sequence[Span]) -> Iterator[list[Span]]:
    """What a policy may take out: everything, one type alone, or all but one."""
    yield list(found)
    names = sorted({span.type for span in found})
    if len(names) > 1:
        for name in names:
            yield [span for span in found if span.type == name]
            yield [span for span in found if span.type != name]


def _uncovered(text: str, taken: Sequence[Span], found: Sequence[Span], look: _Look) -> Iterator[Span]:
    """What is found with some findings taken out, and was not before."""
    left, written = redact(text, taken)
    back = _WayBack(join_spans(taken), written)
    known: dict[str, list[tuple[int, int]]] = {}
    for name in {span.type for span in found}:
        known[name] = [span[1:] for span in _joined(name, [span[1:] for span in found if span.type == name])]
    for span in look.once(left):
        if back.is_written(span):
            continue
        start, end = back.start(span.start), back.end(span.end)
        same = known.get(span.type, [])
        index = bisect_right(same, (start, len(text))) - 1
        if index < 0 or same[index][1] < end:
            yield Span(span.type, start, end)


class _WayBack:
    """From offsets in a redacted text to those before; within a placeholder, to the finding's edge."""

    def __init__(self, spans: Sequence[Span], written: Sequence[tuple[int, int]]) -> None:
        self._spans = spans
        self._written = written
        self._starts = [start for start, _ in written]

    def is_written(self, span: Span) -> bool:
        index = bisect_right(self._starts, span.start) - 1
        return index >= 0 and span.end <= self._written[index][1]

    def start(self, place: int) -> int:
        index = bisect_right(self._starts, place) - 1
        if index < 0:
            return place
        past = place - self._written[index][1]
        return self._spans[index].start if past < 0 else self._spans[index].end + past

    def end(self, place: int) -> int:
        index = bisect_right(self._starts, place - 1) - 1
        if index < 0:
            return place
        return self._spans[index].end + max(0, place - self._written[index][1])


def _cut_to_size(found: list[Span]) -> list[Span]:
    by_type: dict[str, list[tuple[int, int]]] = {}
    for name, start, end in found:
        by_type.setdefault(name, []).append((start, end))
    spans: list[Span] = []
    for name, places in by_type.items():
        longest = _MAX_SPANS[name]
        for span in _joined(name, places):
            size = longest or span.end - span.start
            spans += (
                Span(name, start, min(start + size, span.end)) for start in range(span.start, span.end, size)
            )
    return spans


pack: Final = Pack()
"""What the entry points name."""
