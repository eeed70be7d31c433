"""Finds passwords that stand in text beside a word that says what they are.

The word alone is no finding, and neither is talk about passwords, code that names where one comes from, a
type or a mask: `password reset`, `my password is wrong`, `password: str`, `password = os.environ["PW"]`,
`password: ****`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from .normalising import View
from .password_talk import NOT_A_PASSWORD, REQUIREMENTS

__all__ = ["PASSWORD_MAX", "find_passwords"]

_VALUE_MAX: Final = 256
PASSWORD_MAX: Final = _VALUE_MAX + 128
_SHORTEST: Final = 3
_LOOK_BACK: Final = 64

_STEMS: Final = ("pass", "pw", "kennwort", "contrasena", "identified by")
_STEM: Final = re.compile("mot de pass|pass|pw|kennwort|contrasena|identified by")
# `pass` and `pw` by themselves mean other things too: what follows must look the part.
_CUE: Final = re.compile(
    r"(?P<sure>passwor[dt]|(?<!no)passwd|(?P<phrase>pass[ ]?phrase)|passcode|kennwort|contrasena|mot de passe"
    r"|identified by|(?<![a-z])pwd|(?<=[_-])pwd)|(?<![a-z])(?:pass|pw)"
)
_SEPARATOR: Final = re.compile(
    r"""(?:s|[0-9]{1,2})?(?![a-z0-9_-])
    (?:\\?["'`*]{1,2})?\]?                                            # the end of a quoted or emphasised key
    (?:[ ]?\([^()\n]{1,40}\))?
    (?P<whose>[ ](?:for|to|on|of|at|in|fur|pour|para|de)[ ](?:[^\n:=\[\]"'.]|\.(?=\w)){1,48}?)?
    (?:[ \t]{0,4}(?P<assigned>:=|=>|->|={1,3}|::?[ \t]?=?)
       (?:[ \t]{0,3}(?:str|string)=|[ \t]{0,3}[a-z_][a-z_.|\[\]]{0,40}[ ]=(?=[ ]))?        # the type, in code
       (?:\*{1,2}|</[a-z]{1,8}>){0,2}
      |[ \t]{1,4}(?:is|was|are|ist|lautet|est|es)\b
       (?:[ ](?:now|just|simply|set[ ]to|still|currently))?[ ]?[:=]?
      |[ ](?P<changed>to)\b|(?P<beside>[ ]{1,2})(?=['"][^\s'"`]+['"]))
    [ \t]{0,4}""",
    re.VERBOSE,
)
_OPTION: Final = re.compile(r"[ \t]{1,4}(?=[^\s=-])")
_OPTION_NAME: Final = re.compile(r"(?:^|\s)--?[a-z0-9-]{0,32}\Z")
_CHANGED: Final = re.compile(r"\b(?:chang|set|reset|updat|switch)[a-z]{0,4}\b")
_QUOTED: Final = re.compile(
    rf"""[bruf]?(?:\\?"([^"\n]{{1,{_VALUE_MAX}}}?)\\?"|\\?'([^'\n]{{1,{_VALUE_MAX}}}?)\\?'|`([^`\n]{{1,{_VALUE_MAX}}})`)"""
)
_TOKEN: Final = re.compile(rf"""[\\"'`*(]{{0,2}}([^\s<]{{1,{_VALUE_MAX}}})""")
_REST_OF_LINE: Final = re.compile(rf"[^\n\"]{{1,{_VALUE_MAX}}}")
_SEVERAL_WORDS: Final = re.compile(r"(?:[A-Za-z0-9]{2,16}[ -]){3,11}[A-Za-z0-9]{2,16}[.,;]?\s*$")
_TAG: Final = re.compile(r"<[a-z0-9:._-]{0,48}\Z")
_ELEMENT: Final = re.compile(rf"[^<>\n]{{0,64}}>([^<>\s][^<>\n]{{0,{_VALUE_MAX - 1}}})</")
_USERINFO: Final = re.compile(rf"://[^\s:/@\"'<>]{{0,64}}:([^\s/@\"'<>]{{3,{_VALUE_MAX}}})@")
# Where the next part of a query, of a connection string or of a list begins.
_NEXT_PART: Final = re.compile(
    r"[&;](?=[A-Za-z])|,(?=[\s\"']{0,2}[A-Za-z_-]{1,32}[\"']?\s?[:=])|[\"'](?=[,}\])])|\\[\"n]|\[REDACTED:"
)
_TRAILING: Final = ".,;:)]}>\"'`\\"

_PLACEHOLDER: Final = re.compile(
    r"\[?redacted|<[^>]*>?$|\{|\$[{(]|\$[a-z_]+$|%[a-z_]+%$|[x*#.?_-]+$|\[[a-z _-]*\]?$|your[_ -]|https?://|\W+$"
)
# A call, an index, an attribute or a name that says itself that it holds a secret: code, not the secret.
_CODE: Final = re.compile(r"(?:await |new )?[A-Za-z_$][\w$]*(?:(?:\.|->|::)[A-Za-z_$][\w$]*)*(?:[(\[]|$)")
_NAMES: Final = re.compile(
    r"passw|pwd|passphrase|secret|credential|getpass|environ|config|setting|input|param|args?\b|field|vault"
)
_SAYS_SO: Final = re.compile(r"[a-z_]*passw(?:d|ord)[a-z_]*\Z")
_DOTTED: Final = re.compile(r"[A-Za-z_$][A-Za-z_$]*(?:\.[A-Za-z_$]\w*)+$")
_WORD: Final = re.compile(r"[A-Za-z]+(?:[-'][A-Za-z]+)*$")
# What follows may have been redacted: it was there all the same.
_PROSE: Final = re.compile(
    r"[\"']*(?:[ \t]+(?!(?:and|or|but|so|please|for|if|to|on|in)\b)(?:[A-Za-z(]|\[REDACTED:)|\[REDACTED:)"
)
_STRONG: Final = re.compile(r"(?=.*[A-Za-z])(?=.*[0-9])[^`]{6,}\Z", re.DOTALL)


def find_passwords(view: View) -> Iterator[tuple[int, int]]:
    """Passwords behind a cue and a separator, in query strings, elements, options and addresses."""
    plain, lower = view.plain, view.lower
    at = plain.find("://")
    while at >= 0:
        match = _USERINFO.match(plain, at)
        if match is not None and not _is_no_quoted_secret(match.group(1), said=False):
            yield match.span(1)
        at = plain.find("://", at + 3)
    if not any(map(lower.__contains__, _STEMS)):
        return
    for stem in _STEM.finditer(lower):
        cue = _CUE.match(lower, stem.start())
        if cue is None or lower.startswith("redacted:", max(0, cue.start() - len("redacted:"))):
            continue  # no word of its own, or a placeholder of ours
        value = _value_after(plain, lower, cue)
        if value is not None:
            yield value


def _value_after(plain: str, lower: str, cue: re.Match[str]) -> tuple[int, int] | None:
    start, end = cue.span()
    before = lower[max(0, start - _LOOK_BACK) : start]
    if _TAG.search(before):
        element = _ELEMENT.match(plain, end)
        if element is not None and not _PLACEHOLDER.match(element.group(1).lower()):
            return element.span(1)
    separator = _SEPARATOR.match(lower, end)
    if separator is None:
        option = _OPTION.match(plain, end) if _OPTION_NAME.search(before) else None
        return None if option is None else _token_at(plain, option.end(), cue, said=False)
    if separator["changed"] and not _CHANGED.search(before):
        return None
    if separator["beside"] and (separator["whose"] or not cue["sure"]):
        return None
    said = separator["assigned"] is None
    quoted = _QUOTED.match(plain, separator.end())
    if quoted is None:
        return _token_at(plain, separator.end(), cue, said=said)
    place = quoted.span(quoted.lastindex or 0)
    value = plain[place[0] : place[1]]
    likely = cue["sure"] or _STRONG.match(value)
    return place if likely and not _is_no_quoted_secret(value, said=said) else None


def _token_at(plain: str, place: int, cue: re.Match[str], *, said: bool) -> tuple[int, int] | None:
    token = _TOKEN.match(plain, place)
    if token is None:
        return None
    start, stop = token.span(1)
    part = _NEXT_PART.search(plain, start, stop)
    if part is not None:
        stop = part.start()
    value = plain[start:stop].rstrip(_TRAILING)
    stop = start + len(value)
    if cue["phrase"] and not said and value.lower() not in REQUIREMENTS:
        line = _REST_OF_LINE.match(plain, start)
        if line is not None and _SEVERAL_WORDS.match(line.group()):
            return line.span()
    if not (cue["sure"] or _STRONG.match(value)) or _is_no_secret(value, plain, stop, said=said):
        return None
    return start, stop


def _is_no_quoted_secret(value: str, *, said: bool) -> bool:
    low = value.strip().lower()
    return (
        not low
        or bool(_PLACEHOLDER.match(low))
        or (said and low in NOT_A_PASSWORD)
        or low in {"pass", "pwd"}
        or bool(_SAYS_SO.match(low))
    )


def _is_no_secret(value: str, plain: str, stop: int, *, said: bool) -> bool:
    low = value.lower()
    if len(value) < _SHORTEST or low in NOT_A_PASSWORD or _PLACEHOLDER.match(low):
        return True
    code = None if said else _CODE.match(value)
    if code is not None and (code.group().endswith(("(", "[")) or plain[stop : stop + 1] in {"(", "["}):
        return True
    if code is not None and (_NAMES.search(low) or _DOTTED.match(value)):
        return True
    if _WORD.match(value) is None:
        return False
    # A plain word: a password when nothing but the end of the line or of the clause follows.
    if said and low.endswith(("ing", "ed")):
        return True
    return _PROSE.match(plain, stop) is not None
