"""Streams through a guarded model: held, bounded, cut, and as the model gave them."""

import pytest
from verdicts import REDACT

from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyDenied, guard

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


def test_an_unchanged_stream_comes_as_the_model_gave_it(lab):
    lab.upstream.reply = "one two three four five"
    point = lab.govern()

    guarded = list(guard(lab.chat(), point.pep).stream("hi"))
    bare = list(lab.chat().stream("hi"))

    assert [one.content for one in guarded] == [one.content for one in bare]
    assert len(guarded) > 5


def test_a_redacted_stream_keeps_usage_reason_and_id(lab):
    lab.upstream.reply = f"it is {lab.secret}"
    point = lab.govern({Stage.POST_COMPLETION: REDACT})

    chunks = list(guard(lab.chat(stream_usage=True), point.pep).stream("hi"))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk

    assert whole.content == "it is [REDACTED:secret]"
    assert whole.usage_metadata["total_tokens"] == 5
    assert whole.response_metadata["finish_reason"] == "stop"
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_stream_over_the_limit_is_given_up_and_denied(lab, streaming_way):
    lab.upstream.reply = "word " * 2000
    lab.upstream.pause_after(150)
    point = lab.govern(limits={"text": 400})

    done = lab.call(streaming_way, lambda model: guard(model, point.pep))
    lab.upstream.wait()

    assert done.error.code == "limit.text"
    assert "word" not in "".join([*map(repr, done.got), *done.seen])
    assert lab.upstream.aborted == 1
    assert [one.permitted for one in point.records] == [True, True, False]


def test_a_stream_over_the_limit_passes_under_monitor(lab):
    lab.upstream.reply = "word " * 300
    point = lab.govern(limits={"text": 400}, enforcement={"default": "monitor"})

    done = lab.call("stream", lambda model: guard(model, point.pep))

    assert done.text == "word " * 300
    assert [one.permitted for one in point.records] == [True, True, False]


def test_very_long_streams_are_held_in_fewer_pieces(lab, monkeypatch):
    monkeypatch.setattr("checkrein_langchain.streams.buffer._MOST_CHUNKS", 16)
    lab.upstream.reply = f"{'word ' * 300}{lab.secret}"
    permitting, redacting = lab.govern(), lab.govern({Stage.POST_COMPLETION: REDACT})

    permitted = lab.call("astream", lambda model: guard(model, permitting.pep))
    redacted = lab.call("stream", lambda model: guard(model, redacting.pep))

    assert permitted.text == lab.upstream.reply
    assert len(permitted.got) <= 18
    assert redacted.text == f"{'word ' * 300}[REDACTED:secret]"


def test_a_cut_stream_gives_nothing_out(lab, streaming_way):
    lab.upstream.reply = "zebra zebra zebra zebra"
    lab.upstream.hang_up_after(3)
    try:
        point = lab.govern()
        done = lab.call(streaming_way, lambda model: guard(model, point.pep))
    finally:
        lab.upstream.hang_up_after(None)

    assert done.error is not None
    assert not isinstance(done.error, PolicyDenied)
    assert "zeb" not in "".join([*map(repr, done.got), *done.seen])
