"""Finds what names a person: e-mail addresses and US Social Security numbers.

Sources: RFC 5321 and 5322 for the shape of an address as people write it (no quoted local part, no address
literal), RFC 6531 for addresses in other alphabets; the Social Security Administration's rules for numbers
that are never issued.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from .normalising import View

__all__ = ["EMAIL_MAX", "SSN_MAX", "find_emails", "find_ssns"]

EMAIL_MAX: Final = 64 + 256
SSN_MAX: Final = 128

_DOMAIN_MAX: Final = 256
_DOMAIN: Final = re.compile(
    r"@(?:[A-Za-z0-9][A-Za-z0-9-]{0,62}\.){1,8}(?:xn--[A-Za-z0-9-]{2,59}|[A-Za-z]{2,24})"
)
# Read backwards from the `@`, so that a long run without one costs nothing.
_LOCAL: Final = re.compile(r"[A-Za-z0-9_%+'~&#$*!^|-][A-Za-z0-9._%+'~&#$*!^|-]{0,63}")
_LEADING: Final = re.compile(r"[.%+'~&#$*!^|-]*")
# Scripts that write no spaces: their text may touch an address without belonging to it.
_UNSPACED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff"
    "\u2e80-\ua4cf\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff66-\uffdc"
)
_WIDE_LOCAL: Final = re.compile(rf"(?:[^\W{_UNSPACED}]|[.%+'~&#$*!^|-]){{1,64}}")
_WIDE_DOMAIN: Final = re.compile(
    rf"@(?:[^\W_{_UNSPACED}](?:[^\W_{_UNSPACED}]|-){{0,62}}\.){{1,8}}"
    rf"(?:xn--[A-Za-z0-9-]{{2,59}}|[^\W\d_{_UNSPACED}]{{2,24}})"
)
_UNSPACED_ADDRESS: Final = re.compile(r"@[^\W_]{1,32}\.[^\W\d_]{2,8}")
_UNSPACED_LOCAL: Final = re.compile(r"\w{1,32}")
# `logo@2x.png` is a picture, `git@host:team/project` an address of a repository.
_PICTURE: Final = re.compile(r"@[1-9]x\.(?:avif|gif|heic|jpe?g|png|svg|webp)(?![A-Za-z0-9.-])", re.IGNORECASE)

# The boundaries are looked at after the first digits: a pattern that starts with a look-behind is tried
# everywhere. A bound run of digits and dashes is another number, and letters before make it a part number.
_DASHED: Final = re.compile(
    r"[0-8][0-9]{2}(?<!000)(?<!666)(?<![0-9A-Za-z][0-9]{3})(?<![0-9A-Za-z][-.][0-9]{3})"
    r"[ \t]?-[ \t]?(?!00)[0-9]{2}[ \t]?-[ \t]?(?!0000)[0-9]{4}(?![0-9]|[-.][0-9])"
)
_SPACED: Final = re.compile(
    r"[0-8][0-9]{2}(?<!000)(?<!666)(?<![0-9A-Za-z][0-9]{3})(?<![0-9A-Za-z][-.][0-9]{3})(?<![0-9] [0-9]{3})"
    r"[ \t](?!00)[0-9]{2}[ \t](?!0000)[0-9]{4}(?![0-9]|[-.][0-9]|[ \t][0-9])"
)
_BARE: Final = (
    r"[0-8][0-9]{2}(?<!000)(?<!666)(?:(?!00)[0-9]{2}(?!0000)[0-9]{4}"
    r"|[-./\s]{1,3}(?!00)[0-9]{2}[-./\s]{1,3}(?!0000)[0-9]{4})(?![0-9])"
)
_CUES: Final = ("ssn", "social", "soc sec", "soc. sec")
# Not the cue in a placeholder of ours. Between a cue and its number stand words, never brackets or other
# digits.
_CUE: Final = re.compile(
    r"(?<!REDACTED:us_)(?:(?<![A-Za-z])(?i:ssn)|(?<=[a-z])SSN|(?<=[a-z])Ssn)[sS]?(?![A-Za-z])"
    r"|(?i:social[\s_-]{0,3}(?:security|sec\b|insurance)|\bsoc\.?\s{0,3}sec\b)"
)
_AFTER_CUE: Final = re.compile(rf"[^0-9\[\]]{{0,40}}({_BARE})")
_NEXT: Final = re.compile(rf"(?:[\s,;/&]|\band\b|\bor\b){{1,6}}({_BARE})")
_BEFORE_CUE: Final = re.compile(
    rf"(?<![0-9])({_BARE})[\s,(=:-]{{0,3}}(?:(?:is|was|as|for|my|his|her|their|your|our|the|an?|us)[\s-]{{1,3}}){{0,4}}\Z",
    re.IGNORECASE,
)
_LOOK_BACK: Final = 64


def find_emails(view: View) -> Iterator[tuple[int, int]]:
    """E-mail addresses, of other alphabets too."""
    plain = view.plain
    at = plain.find("@")
    while at >= 0:
        place = _email_at(view, at)
        if place is not None:
            yield place
        at = plain.find("@", at + 1)


def _email_at(view: View, at: int) -> tuple[int, int] | None:
    plain = view.plain
    wide = view.folded is not plain
    domain = _DOMAIN.match(plain, at, at + _DOMAIN_MAX)
    if wide:
        further = _WIDE_DOMAIN.match(view.folded, at, at + _DOMAIN_MAX)
        if further is not None and (domain is None or further.end() > domain.end()):
            domain = further
    elif domain is None:
        return None
    before = view.folded[max(0, at - 64) : at]
    local = (_WIDE_LOCAL if wide else _LOCAL).match(before[::-1])
    if wide and (domain is None or local is None):
        domain = domain or _UNSPACED_ADDRESS.match(view.folded, at, at + _DOMAIN_MAX)
        local = local or _UNSPACED_LOCAL.match(before[::-1])
    if domain is None or local is None or before.endswith("."):
        return None
    text = local.group()[::-1]
    leading = _LEADING.match(text)
    start = at - len(text) + (leading.end() if leading else 0)
    if start == at or _PICTURE.match(plain, at):
        return None
    if plain[start:at] == "git" and plain[domain.end() : domain.end() + 1] in {":", "/"}:
        return None
    return start, domain.end()


def find_ssns(view: View) -> Iterator[tuple[int, int]]:
    """US Social Security numbers; without separators only beside a word that says what they are."""
    if view.digits < 9 or b"0000" not in view.shape:  # noqa: PLR2004 -- nine digits, the last four together
        return
    plain = view.plain
    for pattern in (_DASHED, _SPACED):
        for match in pattern.finditer(plain):
            yield match.span()
    if not any(map(view.lower.__contains__, _CUES)):
        return
    for cue in _CUE.finditer(plain):
        number = _AFTER_CUE.match(plain, cue.end())
        while number is not None:
            yield number.span(1)
            number = _NEXT.match(plain, number.end())
        start = max(0, cue.start() - _LOOK_BACK)
        number = _BEFORE_CUE.search(plain[start : cue.start()])
        if number is not None:
            yield start + number.start(1), start + number.end(1)
