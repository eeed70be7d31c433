"""Finds numbers of payment cards and bank accounts.

Sources: ISO/IEC 7812 (length, leading digits of the networks, Luhn), ISO 13616 and SWIFT's IBAN registry
(lengths). An IBAN's check digits and its country's structure are checked by python-stdnum.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from string import ascii_letters, digits
from typing import Final

from stdnum import iban

from .normalising import View

__all__ = ["CARD_MAX", "IBAN_MAX", "find_cards", "find_ibans"]

CARD_MAX: Final = 19 + 18 * 3
IBAN_MAX: Final = 34 + 33

_SHORTEST: Final = 13
_LONGEST: Final = 19
_RUN: Final = re.compile(r"[0-9](?:[ \t._-]{0,3}[0-9]){12,}+")
_GROUP: Final = re.compile(r"[0-9]+")
# How cards are printed. Another grouping counts only where no other digits stand beside it.
_PRINTED: Final = frozenset(
    {(4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3), (4, 4, 5), (6, 13), (4, 4, 4, 6)}
)
_FIRST_PRINTED: Final = frozenset(sizes[0] for sizes in _PRINTED)
_MOST_GROUPS: Final = 5
_SMALLEST_GROUP: Final = 3
# Leading digits and lengths of the networks that issue cards.
_NETWORK: Final = re.compile(
    r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})"  # Visa
    r"|(?:5[1-5][0-9]{2}|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}"  # Mastercard
    r"|3[47][0-9]{13}"  # American Express
    r"|3(?:0[0-59]|[689][0-9])[0-9]{11,16}"  # Diners Club
    r"|35[0-9]{14,17}"  # JCB
    r"|(?:50|5[6-8]|6[02357])[0-9]{11,17}|64[4-9][0-9]{10,16}"  # Maestro, Discover, UnionPay, RuPay
    r"|220[0-4][0-9]{12,15}"  # Mir
    r"|(?:8[12][0-9]{2}|9792)[0-9]{12}"  # RuPay, Troy
)
# Every second digit of a card counts twice, with the two digits of the product added.
_TWICE: Final = bytes.maketrans(b"0123456789", b"0246813579")

_LENGTHS: Final = {
    **dict.fromkeys(("NO",), 15),
    **dict.fromkeys(("BE",), 16),
    **dict.fromkeys(("DK", "FI", "FK", "FO", "GL", "NL", "SD"), 18),
    **dict.fromkeys(("MK", "SI"), 19),
    **dict.fromkeys(("AT", "BA", "EE", "KZ", "LT", "LU", "MN", "XK"), 20),
    **dict.fromkeys(("CH", "CR", "HR", "LI", "LV"), 21),
    **dict.fromkeys(("BG", "BH", "DE", "GB", "GE", "IE", "ME", "RS", "VA"), 22),
    **dict.fromkeys(("AE", "GI", "IL", "IQ", "OM", "SO", "TL"), 23),
    **dict.fromkeys(("AD", "CZ", "ES", "MD", "PK", "RO", "SA", "SE", "SK", "TN", "VG"), 24),
    **dict.fromkeys(("LY", "PT", "ST"), 25),
    **dict.fromkeys(("IS", "TR"), 26),
    **dict.fromkeys(("BI", "DJ", "FR", "GR", "IT", "MC", "MR", "SM"), 27),
    **dict.fromkeys(("AL", "AZ", "BY", "CY", "DO", "GT", "HN", "HU", "LB", "NI", "PL", "SV"), 28),
    **dict.fromkeys(("BR", "EG", "PS", "QA", "UA"), 29),
    **dict.fromkeys(("JO", "KW", "MU", "YE"), 30),
    **dict.fromkeys(("MT", "SC"), 31),
    "LC": 32,
    "RU": 33,
}
_IBAN_START: Final = re.compile(r"[0-9]{2}(?<=[A-Za-z]{2}[0-9]{2})")
# For each length, that many letters and digits with nothing but separators between them, and nothing that
# clings.
_IBANS: Final = {
    size: re.compile(rf"[A-Za-z0-9](?:[ \t._-]{{0,2}}[A-Za-z0-9]){{{size - 1}}}(?![A-Za-z0-9])")
    for size in {*_LENGTHS.values()}
}
# A letter counts as two digits (ISO 7064, MOD 97-10).
_FIGURES: Final = {char: str(int(char, 36)) for char in ascii_letters + digits}
_NOT_COMPACT: Final = str.maketrans("", "", " \t._-")


def find_cards(view: View) -> Iterator[tuple[int, int]]:
    """Card numbers of 13 to 19 digits that a network issues, usually grouped, with a right check digit."""
    if view.digits < _SHORTEST:
        return
    for run in _RUN.finditer(view.plain):
        yield from _cards_in(view.plain, run.start(), run.end())


def _cards_in(plain: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    groups = [match.span() for match in _GROUP.finditer(plain, start, end)]
    first = 0
    while first < len(groups):
        size = groups[first][1] - groups[first][0]
        if first and size not in _FIRST_PRINTED and size < _SHORTEST:
            first += 1
            continue
        found = None
        sizes: tuple[int, ...] = ()
        number = ""
        for last in range(first, len(groups)):
            begin, stop = groups[last]
            if len(number) + stop - begin > _LONGEST:
                break
            sizes += (stop - begin,)
            number += plain[begin:stop]
            alone = first == 0 and last == len(groups) - 1
            if len(number) >= _SHORTEST and _is_card(number, sizes, alone=alone):
                found = last if len(sizes) > 1 or not _is_part(plain, begin, stop) else found
        if found is None:
            first += 1
        else:
            yield groups[first][0], groups[found][1]
            first = found + 1


def _is_card(number: str, sizes: tuple[int, ...], *, alone: bool) -> bool:
    grouped = len(sizes) == 1 or sizes in _PRINTED
    if not grouped and alone:
        even = len({*sizes[:-1]}) == 1 and sizes[-1] <= sizes[0]
        grouped = even or (len(sizes) <= _MOST_GROUPS and min(sizes) >= _SMALLEST_GROUP)
    return grouped and _NETWORK.fullmatch(number) is not None and _is_checked(number)


def _is_checked(number: str) -> bool:
    """Luhn's check, on ASCII digits; a long text has hundreds of thousands of candidates."""
    octets = number.encode()
    total = sum(octets[-1::-2]) + sum(octets[-2::-2].translate(_TWICE))
    return (total - ord("0") * len(octets)) % 10 == 0


def _is_part(plain: str, start: int, end: int) -> bool:
    """Whether a group of digits is a side of a decimal point, or a stretch of a hexadecimal number."""
    if plain[start - 2 : start].endswith(".") and plain[start - 2 : start - 1].isdigit():
        return True
    if plain[end : end + 1] == "." and plain[end + 1 : end + 2].isdigit():
        return True
    return plain[start - 1 : start].isalpha() and plain[end : end + 1].isalpha()


def find_ibans(view: View) -> Iterator[tuple[int, int]]:
    """IBANs of the registry's countries, in one piece or grouped, with right check digits and structure."""
    plain = view.plain
    if b"aa00" not in view.shape:
        return
    for match in _IBAN_START.finditer(plain):
        start = match.start() - 2
        size = _LENGTHS.get(plain[start : start + 2].upper())
        if size is None or not _stands_free(plain, start):
            continue
        number = _IBANS[size].match(plain, start)
        if number is not None and _is_iban(number.group().translate(_NOT_COMPACT)):
            yield number.span()


def _is_iban(number: str) -> bool:
    """Whether a compact number is one; its check digits are looked at first, since that is quickly done."""
    figures = "".join(map(_FIGURES.__getitem__, number[4:] + number[:4]))
    return int(figures) % 97 == 1 and bool(iban.is_valid(number, check_country=False))


def _stands_free(plain: str, start: int) -> bool:
    return not plain[start - 1 : start].isalnum() or plain[max(0, start - 4) : start].lower() == "iban"
