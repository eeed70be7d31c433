"""Finds private keys: PEM blocks (RFC 7468; OpenSSH's and encrypted ones), OpenPGP's, SSH2's and PuTTY's.

A block whose last line is missing is a finding to the end of its body, and one whose first line is missing
from the beginning of its body: half a key is still a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from .normalising import View

__all__ = ["find_private_keys"]

_BEGIN: Final = re.compile(r"-{4,5} ?BEGIN (?:[A-Z0-9]{1,12} ){0,4}PRIVATE KEY(?: BLOCK)? ?-{4,5}")
_END: Final = re.compile(r"-{4,5} ?END (?:[A-Z0-9]{1,12} ){0,4}PRIVATE KEY(?: BLOCK)? ?-{4,5}")
# Headers, lines of base64 (line ends perhaps escaped as in JSON, or quoted as in an answered mail), and a
# shorter last line or two.
_GAP: Final = r"(?:\\[nrt]|[\s>\"'+|])"
_BODY: Final = re.compile(
    rf"(?:{_GAP}*+[A-Z][A-Za-z0-9-]{{1,32}}: [^\n]{{0,256}}+)*+(?:{_GAP}*+[A-Za-z0-9+/_-]{{16,}}+={{0,2}})*+"
    rf"(?:{_GAP}++[A-Za-z0-9+/=]{{1,80}}+(?=\r?\n|\\[nr]|[\"']|$)){{0,2}}"
)
_LINE: Final = re.compile(r"[\s>]{0,8}[A-Za-z0-9+/=]{4,}+\s{0,4}$|[A-Z][A-Za-z0-9-]{1,32}: .*$|\s{0,8}$")
_MATERIAL: Final = re.compile(r"[A-Za-z0-9+/=]{16}")
# A mention in prose is short; a key is not, however it is broken up.
_SHORT: Final = 64
_PUTTY: Final = "PuTTY-User-Key-File-"
_PUTTY_BLOCK: Final = re.compile(
    r"PuTTY-User-Key-File-[0-9]:[^\n]{0,256}+"
    r"(?:\n(?:[A-Z][A-Za-z0-9-]{1,32}: [^\n]*+|[A-Za-z0-9+/=]{4,80}\r?(?=\n|$)))++"
)


def find_private_keys(view: View) -> Iterator[tuple[int, int]]:
    """Whole blocks, header and footer included."""
    plain = view.plain
    if _PUTTY in plain:
        for match in _PUTTY_BLOCK.finditer(plain):
            if "Private-Lines:" in match.group():
                yield match.span()
    if " KEY" not in plain:
        return
    marks = [(*match.span(), True) for match in _BEGIN.finditer(plain)]
    marks += [(*match.span(), False) for match in _END.finditer(plain)]
    marks.sort()
    for index, (start, end, opens) in enumerate(marks):
        after = marks[index + 1] if index + 1 < len(marks) else None
        if not opens:
            if index and marks[index - 1][2]:
                continue
            first, last = _begin_of(plain, start, marks[index - 1][1] if index else 0), end
            body = plain[first:start]
        elif after is not None and not after[2]:
            first, last = start, after[1]
            body = plain[end : after[0]]
        else:
            rest = _BODY.match(plain, end, after[0] if after else len(plain))
            first, last = start, rest.end() if rest is not None else end
            body = plain[end:last]
        if _MATERIAL.search(body) or len(body) - body.count(" ") >= _SHORT:
            yield first, last


def _begin_of(plain: str, end: int, floor: int) -> int:
    """Where the lines of base64 before a footer without a header begin."""
    begin = end
    while begin > floor:
        line = plain.rfind("\n", floor, begin - 1) + 1 or floor
        if not _LINE.match(plain[line:begin]):
            break
        begin = line
    return begin
