"""The reader of answers: whole ones in any pieces, and nothing that is not exactly one."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkrein.errors import EngineFailure
from checkrein_opa import wire
from checkrein_opa.wire import AnswerReader

COUNTED = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{"result":true}'
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'6;x=y\r\n{"resu\r\n9\r\nlt":true}\r\n0\r\nTrailer: of no use\r\n\r\n'
)
INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" + COUNTED


def read(data, cuts=()):
    reader = AnswerReader()
    whole = False
    places = sorted({0, len(data), *(cut % len(data) for cut in cuts)})
    for start, end in pairwise(places):
        assert not whole
        whole = reader.feed(data[start:end])
    return reader, whole or reader.end()


@given(st.sampled_from([COUNTED, CHUNKED, INTERIM]), st.lists(st.integers(min_value=0), max_size=20))
def test_an_answer_is_the_same_in_whatever_pieces_it_comes(data, cuts):
    reader, whole = read(data, cuts)
    assert whole
    assert reader.keep
    assert (reader.response().status, reader.response().body) == (200, b'{"result":true}')


@given(st.sampled_from([COUNTED, CHUNKED]), st.integers(0, 200), st.binary(max_size=3))
def test_a_damaged_answer_is_whole_unfinished_or_refused_and_nothing_else(data, place, damage):
    place %= len(data)
    try:
        reader, whole = read(data[:place] + damage + data[place + len(damage) :])
    except EngineFailure as failure:
        assert failure.cause == "invalid_answer"  # noqa: PT017 -- it need not be raised
    else:
        assert whole is reader._whole


@given(st.binary(max_size=300))
def test_noise_is_refused_or_unfinished(noise):
    try:
        _, whole = read(noise) if noise else (None, False)
    except EngineFailure as failure:
        assert failure.cause == "invalid_answer"  # noqa: PT017 -- it need not be raised
    else:
        assert not whole


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}",
        b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.9 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2,2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nX: y\r\ncONTENT-lENGTH:2, 2\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n Content-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nX: a\x01b\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nX: a\rContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nX: a\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nX: a\r\n Content-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\tX: a\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\n{}",
        b"HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nno trailer\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;" + b"x" * 40_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 21 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 40_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: " + b"a" * 40_000 + b"\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 9_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 2_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 2_000 + COUNTED,
        b"HTTP/1.1 100 Continue\r\nX: " + b"a" * 40_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: yyyyyyyyyy\r\n" * 4000,
        COUNTED + b"x",
        COUNTED + COUNTED,
        b"HTTP/1.1 204 No Content\r\n\r\n{}",
    ],
)
def test_what_is_not_exactly_one_answer_is_invalid(data):
    with pytest.raises(EngineFailure) as caught:
        read(data)
    assert caught.value.cause == "invalid_answer"


@pytest.mark.parametrize(
    ("head", "kept"),
    [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2", True),
        ("HTTP/1.1 200\r\nContent-Length: 2", True),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2", True),
        ("HTTP/1.1 200 OK\r\ncontent-length:2\r\nconnection: keep-alive", True),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: x, Close", False),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2", False),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive", False),
    ],
)
def test_a_connection_is_kept_only_where_both_ends_know_it(head, kept):
    reader, whole = read(f"{head}\r\n\r\n{{}}".encode())
    assert whole
    assert reader.keep is kept


def test_an_answer_without_a_length_ends_with_its_connection():
    reader, whole = read(b'HTTP/1.0 200 OK\r\n\r\n{"result":true}')
    assert whole
    assert not reader.keep
    assert reader.response().body == b'{"result":true}'


def test_an_answer_of_unbounded_size_is_refused_on_the_way():
    reader = AnswerReader()
    reader.feed(b"HTTP/1.0 200 OK\r\n\r\n")
    reader.feed(b" " * wire.MAX_BODY)
    with pytest.raises(EngineFailure, match="over `8388608` bytes"):
        reader.feed(b" ")


def test_chunks_are_bounded_together():
    reader = AnswerReader()
    reader.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(8):
        reader.feed(b"100000\r\n" + b" " * 0x100000 + b"\r\n")
    with pytest.raises(EngineFailure, match="over `8388608` bytes"):
        reader.feed(b"1\r\n \r\n")


def test_a_chunk_is_refused_once_too_much_of_it_has_come():
    reader = AnswerReader()
    reader.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n")
    reader.feed(b" " * wire.MAX_BODY)
    with pytest.raises(EngineFailure, match="over `8388608` bytes"):
        reader.feed(b" ")


def test_what_frames_the_chunks_is_bounded_with_them():
    reader = AnswerReader()
    reader.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"1;" + b"x" * 30_000 + b"\r\n \r\n"
    for _ in range(300):
        reader.feed(chunk)
    with pytest.raises(EngineFailure, match="over `8388608` bytes"):
        reader.feed(chunk * 20)


def test_what_is_refused_is_not_repeated():
    with pytest.raises(EngineFailure) as caught:
        read(b"HTTP/1.1 200 OK\r\nSECRET\r\n\r\n")
    assert "SECRET" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_body_is_not_shown_by_accident():
    reader, _ = read(COUNTED)
    assert "true" not in repr(reader.response())
