"""Finds API keys by their issuers' prefixes, JSON Web Tokens, and values beside a word such as `api_key`.

Sources: the prefixes that the issuers document for secret scanning; RFC 7519 for tokens; RFC 6750 for
`Bearer`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from string import ascii_letters, digits
from typing import Final

from .normalising import View

__all__ = ["API_KEY_MAX", "find_api_keys"]

API_KEY_MAX: Final = 1024

# Every key has a piece of sixteen such characters, and few words of prose do: without one there is nothing to
# look for.
_LONG: Final = b"a" * 16
_LONG_PIECES: Final = bytes(
    ord("a") if chr(octet) in f"{ascii_letters}{digits}+/=_-" else ord(" ") for octet in range(256)
)

# By issuer: what must be in the text, and the key. A pattern starts with its literal where it can, so that a
# search is one of plain text, and ends in a possessive run, so that it never looks twice.
_ISSUERS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = tuple(
    (literal, re.compile(pattern))
    for literal, pattern in (
        ("AKIA", r"AKIA(?<![A-Za-z0-9]AKIA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
        ("ASIA", r"ASIA(?<![A-Za-z0-9]ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
        ("gh", r"gh[oprsu]_[A-Za-z0-9]{30,}+"),
        ("github_pat_", r"github_pat_[A-Za-z0-9_]{22,}+"),
        ("glpat-", r"glpat-[A-Za-z0-9_-]{20,}+(?:\.[A-Za-z0-9_-]++){0,3}"),
        ("gl", r"gl(?:dt|ft|oas|ptt|rt|soat|cbt|imt|agent)-[A-Za-z0-9_-]{20,}+(?:\.[A-Za-z0-9_-]++){0,3}"),
        ("xox", r"xox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9-]{12,}+"),
        ("xapp-", r"xapp-[0-9]-[A-Za-z0-9-]{10,}+"),
        ("hooks.slack.com", r"hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9+/]{20,}+"),
        ("AIza", r"AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"),
        ("GOCSPX-", r"GOCSPX-[A-Za-z0-9_-]{24,}+"),
        ("ya29.", r"ya29\.[A-Za-z0-9_-]{20,}+"),
        ("_live_", r"[rs]k_live_[A-Za-z0-9]{10,}+"),
        ("_test_", r"[rs]k_test_[A-Za-z0-9]{10,}+"),
        ("whsec_", r"whsec_[A-Za-z0-9+/=]{24,}+"),
        ("hf_", r"hf_(?<![A-Za-z0-9]hf_)[A-Za-z0-9]{30,}+"),
        ("npm_", r"npm_(?<![A-Za-z0-9]npm_)[A-Za-z0-9]{36}(?![A-Za-z0-9])"),
        ("pypi-", r"pypi-AgE[A-Za-z0-9_-]{50,}+"),
        ("gsk_", r"gsk_(?<![A-Za-z0-9]gsk_)[A-Za-z0-9]{40,}+"),
        ("xai-", r"xai-(?<![A-Za-z0-9]xai-)[A-Za-z0-9]{40,}+"),
        ("pplx-", r"pplx-[A-Za-z0-9]{40,}+"),
        ("dapi", r"dapi(?<![A-Za-z0-9]dapi)[a-f0-9]{32}(?:-[0-9])?(?![A-Za-z0-9])"),
        ("dop_v1_", r"dop_v1_[a-f0-9]{60,}+"),
        ("shp", r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32,}+"),
        ("SG.", r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{32,}+"),
        ("dckr_pat_", r"dckr_pat_[A-Za-z0-9_-]{20,}+"),
        ("hvs.", r"hvs\.[A-Za-z0-9_-]{24,}+"),
        ("lsv2_", r"lsv2_(?:pt|sk)_[a-f0-9]{32}_[a-f0-9]{10}"),
        ("AGE-SECRET-KEY-1", r"AGE-SECRET-KEY-1[A-Z0-9]{50,}+"),
        (":AA", r"[0-9]{8,10}:AA[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])"),
        ("eyJ", r"eyJ(?<![A-Za-z0-9_-]eyJ)[A-Za-z0-9_-]{13,}+\.eyJ[A-Za-z0-9_-]{8,}+(?:\.[A-Za-z0-9_-]++)?"),
    )
)
_SK: Final = re.compile(r"sk-(?<![A-Za-z0-9]sk-)((?:[A-Za-z]{2,8}[0-9]{0,2}-)?[A-Za-z0-9_-]{16,}+)")
_CUES: Final = ("key", "token", "secret", "bearer")
_CUE: Final = re.compile(
    r"(?<!redacted:api_)(?<!redacted:private_)(?:(?:(?<=api)|(?<=api[\s_.-])|(?<=access)|(?<=access[\s_.-])"
    r"|(?<=secret)|(?<=secret[\s_.-])|(?<=auth[\s_.-])|(?<=private[\s_.-])|(?<=account)|(?<=account[\s_.-])"
    r"|(?<=encryption[\s_.-])|(?<=signing[\s_.-])|(?<=subscription[\s_.-])|(?<=license[\s_.-]))keys?|tokens?|secrets?|(?P<bearer>bearer))(?![a-z0-9])"
)
_SEPARATOR: Final = re.compile(
    r"""(?:[_ -](?:id|value))?(?:\\?["'`*]{1,2})?\]?(?:[ ]?\([^()\n]{1,40}\))?
    (?:[ ](?:for|to|of)[ ][^\n:=\[\]"']{1,40}?)?
    (?:\s{0,4}(?::=|=>|->|={1,3}|::?=?)(?:[ ]{0,3}(?:str|string)[ ]?=)?\*{0,2}|[ ](?:is|was)\b[ ]?[:=]?)
    \s{0,4}[bruf]?(?:\\?["'`(]){0,2}(?:bearer[ ]|token[ ]|basic[ ])?""",
    re.VERBOSE,
)
_BEARER: Final = re.compile(r"[ :]{1,3}[\"']?")
_VALUE: Final = re.compile(r"[A-Za-z0-9+/=_.~:-]{16,}+")
# An address, the name of a type, or a path of names in code.
_REFERENCE: Final = re.compile(
    r"https?:|//|[A-Z][A-Za-z0-9]*(?:Key|Token|Secret|Type)s?$|[A-Za-z_]\w{0,63}(?:(?:\.|::|->)[A-Za-z_]\w{0,63}){1,8}$"
)
_PIECE_LENGTH: Final = 16
_PIECE: Final = re.compile(rf"[A-Za-z0-9+/=_-]{{{_PIECE_LENGTH},}}+")
_LETTER: Final = re.compile(r"[A-Za-z]")
_DIGIT: Final = re.compile(r"[0-9]")
_CHUNK_LENGTH: Final = 8
_CHUNK: Final = re.compile(rf"[A-Za-z0-9+/]{{{_CHUNK_LENGTH},}}+")
_LONG_CHUNK: Final = re.compile(r"[A-Za-z0-9]{10,}+")


def find_api_keys(view: View) -> Iterator[tuple[int, int]]:
    """Keys of known issuers, tokens, and random-looking values that a word before them calls a key."""
    if _LONG not in view.octets.translate(_LONG_PIECES):
        return
    plain = view.plain
    for literal, pattern in _ISSUERS:
        if literal in plain:
            for match in pattern.finditer(plain):
                yield match.span()
    if "sk-" in plain:
        for match in _SK.finditer(plain):
            if _is_random(match.group(1)):
                yield match.span()
    if view.digits and any(map(view.lower.__contains__, _CUES)):
        yield from _named_keys(plain, view.lower)


def _named_keys(plain: str, lower: str) -> Iterator[tuple[int, int]]:
    run = _Run(plain, 0, 0)
    for cue in _CUE.finditer(lower):
        between = (_BEARER if cue["bearer"] else _SEPARATOR).match(lower, cue.end())
        if between is None:
            continue
        start = between.end()
        if not run.start <= start < run.end:
            # A run is looked through once, however many cues stand in it.
            value = _VALUE.match(plain, start)
            if value is None:
                continue
            run = _Run(plain, *value.span())
        if plain[run.end : run.end + 1] not in {"(", "["} and run.is_key(start):
            yield start, run.last


class _Run:
    """A run of characters that a value can have, and from which of its places on the rest looks like a key.

    Args:
        plain: the text.
        start: the first code point of the run.
        end: one past its last.
    """

    def __init__(self, plain: str, start: int, end: int) -> None:
        self._plain, self.start, self.end = plain, start, end
        self.last = start + len(plain[start:end].rstrip(".:"))
        pieces = (piece.end() - _PIECE_LENGTH for piece in _PIECE.finditer(plain, start, self.last))
        chunks = (_last_random(plain, *chunk.span()) for chunk in _CHUNK.finditer(plain, start, self.last))
        self._last_start = min(max(pieces, default=-1), max(chunks, default=-1))

    def is_key(self, start: int) -> bool:
        """Whether what begins there looks like a key, and not like an address or a name."""
        return start <= self._last_start and not _REFERENCE.match(self._plain, start, self.last)


def _last_random(plain: str, start: int, end: int) -> int:
    """The last place from which a chunk is still long enough and mixes letters and digits; -1 for none."""
    letter = next((at for at in range(end - 1, start - 1, -1) if plain[at].isalpha()), -1)
    digit = next((at for at in range(end - 1, start - 1, -1) if plain[at].isdigit()), -1)
    return min(end - _CHUNK_LENGTH, letter, digit)


def _is_random(text: str) -> bool:
    """Whether a piece of it mixes letters and digits, as words, names and dates do not."""
    return any(_LETTER.search(chunk) and _DIGIT.search(chunk) for chunk in _LONG_CHUNK.findall(text))
