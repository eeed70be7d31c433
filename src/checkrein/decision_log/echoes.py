"""Finds where the words of a policy or an engine repeat a call's text, and hides them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Final

from structlog.typing import EventDict

from checkrein.decision import Decision

from .encoding import encode

__all__ = ["Echoes", "hide", "speaks"]

_LONGEST: Final = 512
# A run of this many code points is an echo when it starts at a multiple of them in a text: so every text of
# 16 or more is found when it is repeated whole, every piece of 31 or more at any place, and in linear time.
_RUN: Final = 16
# With more findings than this nothing is shown, instead of being searched for each of them.
_MOST_FINDINGS: Final = 1000


def speaks(event: EventDict) -> bool:
    """Whether an event, laid out by `concluded`, has any words of a policy or an engine in it."""
    if event["obligations"] or event["reasons"]:
        return True
    for answer in event["answers"]:  # noqa: SIM110 -- a generator costs more than looking
        if "detail" in answer:
            return True
    return False


def hide(event: EventDict, repeats: Callable[[str], bool], longest_property: int) -> None:
    """Hide the messages, details and properties that must not be shown, marked `..._masked`; cut the others.

    Args:
        event: laid out by `concluded`.
        repeats: whether words must not be shown.
        longest_property: code points of a string of an obligation that are shown.
    """
    said = [(one, "message", _LONGEST) for one in event["reasons"] if "message" in one]
    said += [(one, "detail", _LONGEST) for one in event["answers"] if "detail" in one]
    for one in event["obligations"]:
        said += [(one["properties"], key, longest_property) for key in one["properties"]]
    for place, key, longest in said:
        value = place[key]
        if isinstance(value, bool | float | int | None):
            continue
        # Looked at further than is shown: a finding that the cut runs through is one as well.
        if repeats(value[: 2 * longest] if isinstance(value, str) else encode({key: value}).decode()):
            place[key], place[f"{key}_masked"] = "", True
        elif isinstance(value, str):
            place[key] = value[:longest]


class Echoes:
    """Tells whether words repeat a finding or a piece of the text of a call.

    Args:
        decision: whose call it is.
    """

    def __init__(self, decision: Decision) -> None:
        self._decision = decision

    def __call__(self, words: str) -> bool:
        """Whether these words do."""
        if len(self._decision.findings) > _MOST_FINDINGS or any(found in words for found in self._found):
            return True
        places = range(len(words) - _RUN + 1)
        return not self._runs.isdisjoint(words[place : place + _RUN] for place in places)

    @cached_property
    def _found(self) -> set[str]:
        findings = self._decision.findings
        joined = "\n".join(segment.text for segment in self._decision.request.segments) if findings else ""
        return {joined[one.start : one.end].strip() for one in findings} - {""}

    @cached_property
    def _runs(self) -> set[str]:
        document = self._decision.document
        if not document:
            return set()  # refused: nobody whose words these are has read the text
        texts = [segment.text for segment in self._decision.request.segments]
        texts.append(str(document.get("context", {}).get("tool", "")))
        return {text[at : at + _RUN] for text in texts for at in range(0, len(text) - _RUN + 1, _RUN)}
