"""What no test of any part depends on."""

import pytest


@pytest.fixture(autouse=True)
def far_deadline(monkeypatch):
    """Oso counts the time of the wall: a machine that stands still for a second is no wrong answer."""
    monkeypatch.setenv("POLAR_TIMEOUT_MS", "60000")
