"""What is printed cannot style, steer or break a terminal, nor a machine that reads it."""

import json
from io import BytesIO, TextIOWrapper

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from checkrein.cli.render import clean, plain, print_json, show


@given(st.text(st.characters(codec=None)))
def test_clean_text_holds_no_control_character_but_tab_and_line_feed(text):
    kept = clean(text)
    kept.encode()
    assert all(char in "\t\n" or char.isprintable() or char.isspace() or ord(char) > 0xA0 for char in kept)
    assert not set(kept) & set("\x00\x07\x08\r\x1b\x7f\x85\x9b\u2028\u202e\u2066")


def test_clean_leaves_every_written_language_alone():
    text = "Grüße, 你好, שלום, नमस्ते, 👩‍👩‍👧 tab\tline\n"
    assert clean(text) == text


def test_markup_is_text(capsys):
    show([plain("[red]stop[/red] :smile: [link=http://x]y[/link]")])
    assert capsys.readouterr().out == "[red]stop[/red] :smile: [link=http://x]y[/link]\n"


def test_a_pipe_gets_no_colour_and_no_trailing_blanks(capsys):
    show([Text("denied   ", style="red"), Text("")])
    assert capsys.readouterr().out == "denied\n\n"


def test_a_long_word_is_folded_and_not_cut(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    show([plain("x" * 100)])
    assert capsys.readouterr().out.replace("\n", "") == "x" * 100


def test_a_terminal_without_the_character_shows_its_code(monkeypatch):
    stream = TextIOWrapper(BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", stream)
    show([plain("naïve")])
    stream.flush()
    assert stream.buffer.getvalue() == b"na\\xefve\n"


@pytest.mark.parametrize("value", ["\x1b[31m", "\x9b31m", "\ud800", "é\n"])
def test_json_is_ascii_and_reads_back(capsys, value):
    print_json({"text": value})
    written = capsys.readouterr().out
    assert written.isascii()
    assert written.replace("\n", "").isprintable()
    assert json.loads(written) == {"text": value}
