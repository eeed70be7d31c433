"""The provider that governed functions call."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from checkrein.testing import Upstream


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream("the number is 123-45-6789, as you know") as server:
        yield server
