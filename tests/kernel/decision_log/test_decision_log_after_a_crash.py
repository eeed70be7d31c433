"""A log whose last line was cut off: what is written next is a line of its own."""

import json

import pytest

from checkrein.decision_log import DecisionLog
from checkrein.decision_log.settings import DecisionLogSettings


@pytest.fixture
def write(tmp_path):
    """`write(name, ...)`: events by a process of their own, as far as the file can tell."""

    def events(*names, to="log.jsonl"):
        log = DecisionLog(DecisionLogSettings.model_validate({"to": to}, context={"base": tmp_path}))
        for name in names:
            log.event(name)
        log.close()

    return events


def readable(path):
    told = []
    for line in path.read_bytes().splitlines():
        try:
            told.append(json.loads(line)["event"])
        except ValueError:
            told.append(None)
    return told


@pytest.mark.parametrize("cut", [1, 2, 20])
def test_a_line_that_was_cut_off_swallows_none_of_those_that_follow(write, tmp_path, cut):
    path = tmp_path / "log.jsonl"
    write("one", "two")
    path.write_bytes(path.read_bytes()[:-cut])
    write("three", "four")
    write("five")
    whole = "two" if cut == 1 else None
    assert readable(path) == ["one", whole, "three", "four", "five"]


def test_a_file_that_ends_with_a_line_or_is_empty_gets_no_empty_line(write, tmp_path):
    path = tmp_path / "log.jsonl"
    path.touch()
    write("one")
    write("two")
    assert readable(path) == ["one", "two"]
    assert b"\n\n" not in path.read_bytes()
    assert not path.read_bytes().startswith(b"\n")


def test_several_writers_of_a_file_that_was_cut_off_lose_nothing(write, tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"event": "cut')
    options = DecisionLogSettings.model_validate({"to": "log.jsonl"}, context={"base": tmp_path})
    logs = [DecisionLog(options) for _ in range(3)]
    for log in logs:
        log.event("one")
    for log in logs:
        log.close()
    assert [name for name in readable(path) if name] == ["one"] * 3


def test_what_rotation_left_behind_is_not_mended_in_the_new_file(write, tmp_path):
    path = tmp_path / "log.jsonl"
    write("one")
    path.write_bytes(path.read_bytes()[:-5])
    path.rename(tmp_path / "log.jsonl.1")
    write("two")
    assert readable(path) == ["two"]
    assert not (tmp_path / "log.jsonl.1").read_bytes().endswith(b"\n")
