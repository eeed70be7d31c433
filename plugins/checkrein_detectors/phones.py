"""Finds telephone numbers: international ones, and US and Canadian ones as they are written at home.

A cheap pattern proposes, the phonenumbers library (Google's libphonenumber metadata) decides. Its own matcher
is not used: it is slow. A national number of another country is found only with its country code, since
nothing in a text says which country a bare one belongs to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from phonenumbers import NumberParseException, is_valid_number, parse

from .normalising import View

__all__ = ["PHONE_MAX", "find_phones"]

PHONE_MAX: Final = 128

_EXTENSION: Final = r"(?:[ ,]{0,2}(?:x|ext\.?|extension)[ :]{0,2}[0-9]{1,6}(?![0-9]))?"
_INTERNATIONAL: Final = re.compile(r"\+[ ]?\(?[1-9](?:[ \t./()-]{0,3}[0-9]){6,16}(?![0-9])")
# Behind the dialling prefix a country code by itself: a number with leading zeros is no call abroad.
_DIALLED: Final = re.compile(
    r"0(?:0(?<![0-9A-Za-z._/#-]00)|11(?<![0-9A-Za-z._/#-]011))[ -]?[1-9][0-9]{0,2}[ -]"
    r"(?:[ \t./()-]{0,3}[0-9]){5,14}(?![0-9])"
)
_NATIONAL: Final = re.compile(
    r"[(2-9](?:(?:(?<=\()[2-9][0-9]{2}\)[ \t.-]{0,2}|(?<=[2-9])[0-9]{2}[ \t/-])[2-9][0-9]{2}[ \t-]"
    r"|(?:(?<=\()[2-9][0-9]{2}\)\.?|(?<=[2-9])[0-9]{2}\.)[2-9][0-9]{2}\.)[0-9]{4}(?![0-9]|[-.][0-9])"
)
# Read just before a national number: the prefix of a long-distance call, or what makes it a piece of
# something else. Neither looks back over more characters than these: both would be tried at each of more.
_PREFIX: Final = 3
_LONG_DISTANCE: Final = re.compile(r"(?<![0-9A-Za-z+._/#-])1[ \t.-]?\Z")
_CLINGS: Final = re.compile(r"[0-9A-Za-z_+#]\Z|[0-9A-Za-z_][-./]\Z|[0-9][ \t]\Z")
_EXTENDED: Final = re.compile(_EXTENSION, re.IGNORECASE)
_CUES: Final = (
    "phone",
    "tel",
    "mobile",
    "cell",
    "call",
    "fax",
    "whatsapp",
    "sms",
    "text",
    "dial",
    "reach",
    "ring",
)
_CUED: Final = re.compile(
    r"(?<![a-z:])(?:(?:tele)?phone|tel|mobile|cell|call|fax|whatsapp|sms|text|dial|reach|ring)(?![a-z])"
    r"[^0-9\[\]+]{0,32}(?:\+?1)?([2-9][0-9]{2}[2-9][0-9]{6})(?![0-9])"
)
# What makes ten digits the number of something else. Read just before them.
_OTHER: Final = re.compile(
    r"(?<![a-z])(?:order|invoice|ticket|case|ref(?:erence)?|tracking|sku|part|serial|account|acct|po|id|isbn|item|model"
    r"|version|policy|claim|booking|confirmation|transaction|batch|lot|request|issue|job|document"
    r"|product)"
    r"(?:[\s.:#-]{0,3}(?:id|no|nr|num|number|code|is|was))?[\s.:#=-]{0,3}\Z"
)
_LOOK_BACK: Final = 32
_LAST_GROUP: Final = re.compile(r"[ \t./()-]+[0-9]+\Z")
_QUESTIONS: Final = 4000


def find_phones(view: View) -> Iterator[tuple[int, int]]:
    """Telephone numbers that exist in a numbering plan; not numbers of orders, dates, cards or accounts."""
    if view.digits < 7:  # noqa: PLR2004 -- the shortest with its country code
        return
    plan = _NumberingPlan()
    yield from _international(view.plain, plan)
    if view.digits >= 10 and b"0000" in view.shape:  # noqa: PLR2004 -- ten digits, the last four together
        yield from _national(view, plan)


def _international(plain: str, plan: _NumberingPlan) -> Iterator[tuple[int, int]]:
    plus = plain.find("+")
    while plus >= 0:
        match = _INTERNATIONAL.match(plain, plus)
        if match is not None and not plain[plus - 1 : plus].isdigit():
            size = plan.size_of(match.group())
            if size:
                yield plus, _extended(plain, plus + size)
                plus += size - 1
        plus = plain.find("+", plus + 1)
    if "00" in plain or "011" in plain:
        for match in _DIALLED.finditer(plain):
            prefix = 3 if plain.startswith("011", match.start()) else 2
            size = plan.size_of("+" + match.group()[prefix:])
            if size:
                yield match.start(), _extended(plain, match.start() + size + prefix - 1)


def _national(view: View, plan: _NumberingPlan) -> Iterator[tuple[int, int]]:
    plain, lower = view.plain, view.lower
    for match in _NATIONAL.finditer(plain):
        start = match.start()
        before = lower[max(0, start - _LOOK_BACK) : start]
        prefix = _LONG_DISTANCE.search(before[-_PREFIX:])
        if prefix is not None:
            start -= len(prefix.group())
            before = before[: -len(prefix.group())]
        elif _CLINGS.search(before[-_PREFIX:]):
            continue
        if not _OTHER.search(before) and plan.has(match.group(), "US"):
            yield start, _extended(plain, match.end())
    if b"0000000000" in view.shape and any(map(lower.__contains__, _CUES)):
        for match in _CUED.finditer(lower):
            before = lower[max(0, match.start(1) - _LOOK_BACK) : match.start(1)]
            if not _OTHER.search(before) and plan.has(match.group(1), "US"):
                yield match.start(1), _extended(plain, match.end(1))


def _extended(plain: str, end: int) -> int:
    match = _EXTENDED.match(plain, end)
    return match.end() if match else end


class _NumberingPlan:
    """Asks phonenumbers, but only so often for one text.

    A question costs some twenty microseconds. Behind the last one every candidate counts: a text made of
    thousands of near misses is no text that deserves the benefit of the doubt.
    """

    def __init__(self) -> None:
        self._left = _QUESTIONS

    def has(self, candidate: str, region: str | None) -> bool:
        """Whether the plan of a region, or of the candidate's own country code, has this number."""
        if self._left <= 0:
            return True
        self._left -= 1
        try:
            return is_valid_number(parse(candidate.replace("\t", " "), region))
        except NumberParseException:
            return False

    def size_of(self, candidate: str) -> int:
        """How much of a candidate is a number: all of it, or less its last group or two; 0 for nothing."""
        for _ in range(3):
            if self.has(candidate, None):
                return len(candidate)
            shorter = _LAST_GROUP.sub("", candidate)
            if shorter == candidate:
                break
            candidate = shorter
        return 0
