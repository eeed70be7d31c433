"""What every test of the detectors asks for: the pieces of a text that a detector takes for a finding."""

from collections.abc import Callable

import pytest

from checkrein_detectors import pack

SCANNERS = {name: pack.scanner(frozenset({name})) for name in pack.max_spans}


@pytest.fixture
def found() -> Callable[[str, str], list[str]]:
    """`found(type, text)`: the pieces of the text, in order."""

    def pieces(name: str, text: str) -> list[str]:
        return [text[span.start : span.end] for span in sorted(SCANNERS[name](text))]

    return pieces
