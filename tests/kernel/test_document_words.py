"""The words of ASCII text are counted in its bytes; the count is that of `str.split` all the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkrein import AccessRequest, Entity, Origin, Segment, Stage
from checkrein.detection import Detectors
from checkrein.document import build
from checkrein.settings import Limits

ASCII = st.text(st.characters(max_codepoint=0x7F))
ANY = st.text(st.characters(exclude_categories=("Cs",)))


def words(*texts: str) -> int:
    segments = tuple(
        Segment(path=(index,), role="user", origin=Origin.USER, text=text) for index, text in enumerate(texts)
    )
    request = AccessRequest(
        stage=Stage.PRE_PROMPT,
        subject=Entity(type="user", id="alice"),
        resource=Entity(type="model", id="gpt-4o"),
        segments=segments,
    )
    evaluation = build(request, detectors=Detectors({}, {}), models={}, limits=Limits())
    count: int = evaluation.document["context"]["prompt"]["words"]
    return count


@given(texts=st.lists(ASCII | ANY, max_size=4))
def test_the_words_of_all_segments_are_those_of_the_joined_text(texts: list[str]) -> None:
    assert words(*texts) == len("\n".join(texts).split())


@pytest.mark.parametrize("code", range(0x80))
def test_every_ascii_character_parts_words_or_does_not_as_split_has_it(code: int) -> None:
    text = f"one{chr(code)}two{chr(code) * 2}"
    assert words(text, text) == 2 * len(text.split())
