"""However often a text repeats what a detector looks for, no part of it is looked through again and again.

What is counted is work, and never time: how many characters a detector went through.
"""

import pytest

from checkrein_detectors import api_keys, pack

KEY = "q1w2e3r4t5y6u7i8"


class _Counted(api_keys._Run):
    """A run that tells how long the runs were that were looked through."""

    looked_at = 0

    def __init__(self, plain: str, start: int, end: int) -> None:
        super().__init__(plain, start, end)
        _Counted.looked_at += end - start


@pytest.mark.parametrize(
    "unit",
    [
        "-secret=",
        "-secret=1",
        "/api_key:",
        "token=abcdefgh-",
        "secret=key for bearer ",
        f"secret={KEY}.",
        "secret=a(",
    ],
)
def test_characters_in_which_very_many_names_of_keys_stand_are_looked_through_once(unit, monkeypatch):
    monkeypatch.setattr(api_keys, "_Run", _Counted)
    _Counted.looked_at = 0
    text = "1 " + unit * 2_000 + KEY
    for _ in api_keys._named_keys(text, text.lower()):
        pass
    assert _Counted.looked_at <= 2 * len(text)


@pytest.mark.parametrize("gap", ["", "x", "-", "1", "/"])
def test_of_many_names_in_one_run_each_that_a_key_follows_is_a_finding(gap):
    text = f"api_key={gap}secret={KEY} token: {KEY}"
    scan = pack.scanner(frozenset({"api_key"}))
    covered = {place for span in scan(text) for place in range(span.start, span.end)}
    assert set(range(text.index(KEY), text.index(KEY) + len(KEY))) <= covered
    assert set(range(text.rindex(KEY), len(text))) <= covered


def test_what_follows_the_last_letters_and_digits_of_a_run_is_no_key():
    text = f"secret={KEY}-secret=--------------------"
    scan = pack.scanner(frozenset({"api_key"}))
    assert [(span.start, span.end) for span in scan(text)] == [(len("secret="), len(text))]
    alone = "secret=--------------------1"
    assert not scan(alone)


@pytest.mark.parametrize("line", ["ssh-ed25519", "a" * 257], ids=["short", "endless"])
def test_the_first_line_of_a_putty_key_ends_soon_or_begins_none(line):
    key = f"PuTTY-User-Key-File-3: {line}\nEncryption: none\nPrivate-Lines: 1\n{'A' * 44}\n"
    assert bool(pack.scanner(frozenset({"private_key"}))(key)) is (len(line) < 256)
