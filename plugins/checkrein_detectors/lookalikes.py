"""What is invisible and what looks like ASCII: the tables behind `normalising.py`, built once.

Sources: the general categories and decompositions of the Unicode Character Database (`unicodedata`), the
property Default_Ignorable_Code_Point (DerivedCoreProperties.txt), and, for letters that only look alike, the
idea of confusables in UTS 39, kept to the scripts in which ASCII words are imitated.
"""

# ruff: noqa: RUF001 -- ambiguous characters are the subject

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Final

__all__ = ["CONTROLS", "HIDDEN", "TABLE_END", "TAGS", "ascii_table"]

CONTROLS: Final = bytes((*range(0x09), *range(0x0E, 0x20), 0x7F))
"""The ASCII characters that show nothing and are no white space."""

HIDDEN: Final = "\0"
"""Stands in the table for what shows nothing by itself."""

TABLE_END: Final = 0x20000
"""The table covers the planes that hold alphabets and emoji; ideographs beyond have no ASCII look-alike."""

TAGS: Final = re.compile("[\U000e0000-\U000e0fff]+")
"""Tags and supplementary variation selectors: they show nothing either, and lie beyond the table."""

# Format characters that are drawn: Arabic, Syriac and Kaithi number signs.
_DRAWN: Final = frozenset(
    "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
)

# Ignorable by default though neither a format character nor a mark: fillers and reserved places.
_FILLERS: Final = ((0x115F, 0x1161), (0x2065, 0x2066), (0x3164, 0x3165), (0xFFA0, 0xFFA1), (0xFFF0, 0xFFFC))
# Where marks and format characters are; looking at every code point would be slow.
_MARKED_BLOCKS: Final = (
    (0x80, 0x10000),
    (0x10000, 0x12000),
    (0x13430, 0x13460),
    (0x16A00, 0x17000),
    (0x1BC00, 0x1BD00),
    (0x1CF00, 0x1D250),
    (0x1DA00, 0x1E960),
)
_DECOMPOSED_BLOCKS: Final = (
    (0x80, 0x3400),
    (0xA640, 0xAC00),
    (0xF900, 0x10000),
    (0x10E00, 0x10F00),
    (0x1D400, 0x1D800),
    (0x1F100, 0x1F200),
)

# Each ASCII character, and what passes for it. Upper and lower case are apart, because some keys are
# case-bound.
_ALIKE: Final = {
    "A": "АΑᎪᴀ", "B": "ВΒᏴʙ", "C": "СϹᏟ", "D": "ᎠꓓᴅĐÐ", "E": "ЕΕᎬᴇ", "F": "Ϝꓝ", "G": "ԌᏀɢ",
    "H": "НΗᎻʜ", "I": "\u0406\u0399\u04c0\u2160\u13c6\u026a", "J": "ЈᎫᴊ", "K": "КΚᏦᴋ", "L": "ԼᏞʟŁ",
    "M": "МΜᎷᴍ", "N": "ΝꓠɴИ", "O": "ОΟՕᴏØ", "P": "РΡᏢᴘ", "Q": "Ԛ", "R": "ᎡᏒʀЯ", "S": "ЅՏᏚꜱ",
    "T": "ТΤᎢᴛ", "U": "ՍᑌᴜЦ", "V": "ѴᏙᴠ", "W": "ԜᎳᴡШ", "X": "ХΧ", "Y": "ҮΥУʏ", "Z": "ΖᏃᴢ",
    "a": "аαɑա", "b": "ЬьƄɓв", "c": "сϲᴄ", "d": "ԁɗđ", "e": "еєεҽɛэ", "f": "ғƒ", "g": "ԍɡցģ",
    "h": "һհħн", "i": "іιıɩӏ", "j": "јϳ", "k": "кκҝ", "l": "\u217c\u0142\u026b",
    "m": "\u043c\u217f", "n": "пηոռ", "o": "оοօσø", "p": "рρ", "q": "ԛզ", "r": "гɾ", "s": "ѕƽς",
    "t": "тτŧ", "u": "υսʋц", "v": "νѵ", "w": "ԝωшɯ", "x": "хχ", "y": "уγүყ", "z": "ʐ",
    "-": "\u02d7\u2043\u2212\u2796\u06d4", ".": "\u3002\uff61\u2024\u0701",
    ":": "\u02d0\u2236\ua789\u05c3\u0703", "/": "\u2044\u2215\u29f8",
    "'": "\u2018\u2019\u201a\u201b\u2032\u02bc\u02b9\u2039\u203a",
    '"': "\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", "|": "\u2223\u01c0\u2502",
    "<": "\u2329\u27e8\u3008", ">": "\u232a\u27e9\u3009", "[": "\u3010\u3014", "]": "\u3011\u3015",
    "#": "\u266f", "*": "\u2217\u204e", " ": "\u2800", "\n": "\u0085\u2028\u2029",
}  # fmt: skip


@cache
def ascii_table() -> str:
    """A string to hand to `str.translate`: at each code point stands what it is read as, or `HIDDEN`.

    A string and not a mapping: a code point without an entry would cost an exception each.
    """
    table = [chr(point) for point in range(TABLE_END)]
    for point in _points(_DECOMPOSED_BLOCKS):
        char = chr(point)
        category = unicodedata.category(char)
        if category == "Zs":
            table[point] = " "
        elif category == "Pd":
            table[point] = "-"
        elif unicodedata.decomposition(char):
            table[point] = _base(char)
    for match in re.finditer(r"\d", "".join(table)):
        table[match.start()] = str(unicodedata.digit(match.group()))
    alike = {ord(char): read for read, chars in _ALIKE.items() for char in chars}
    for point, read in alike.items():
        table[point] = read
    for offset in range(26):
        # The letters of flags, of negative circles and of negative squares decompose to nothing.
        for first in (0x1F150, 0x1F170, 0x1F1E6):
            table[first + offset] = chr(ord("A") + offset)
    # A letter that looks alike once its accent is gone (`ї`): its base is looked up again.
    table = [alike.get(ord(read), read) for read in table]
    for point in _hidden():
        table[point] = HIDDEN
    return "".join(table)


def _hidden() -> Iterator[int]:
    """What shows nothing by itself: controls, format characters, fillers, marks."""
    yield from CONTROLS
    for point in _points(_MARKED_BLOCKS):
        char = chr(point)
        if unicodedata.category(char) in {"Cc", "Cf", "Me", "Mn"} and char not in _DRAWN and char != "\x85":
            yield point
    yield from _points(_FILLERS)


def _base(char: str) -> str:
    """The one character that is left of a decomposition without its marks; otherwise the character itself."""
    left = [
        part for part in unicodedata.normalize("NFKD", char) if unicodedata.category(part) not in {"Mn", "Me"}
    ]
    return left[0] if len(left) == 1 else char


def _points(blocks: Iterable[tuple[int, int]]) -> Iterator[int]:
    for first, end in blocks:
        yield from range(first, end)
