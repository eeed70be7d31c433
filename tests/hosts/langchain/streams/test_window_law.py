"""Any answer in any pieces streams as what a whole answer is, and no prefix holds a part of a finding."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessageChunk

from checkrein_langchain import guard

CLEAN = "[REDACTED:secret]"
SECRETS = re.compile("[§¤¶]{1,9}")
ALIKE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

words = st.sampled_from(["word ", "tail\n", "é", "😀", " ", "§", "¤¶", "§¤¶§¤¶§¤¶", "[REDACTED:", "secret]"])
texts = st.lists(words, max_size=120).map("".join)


def cut(text, sizes):
    """A text in pieces of these sizes, the last one repeated."""
    pieces = []
    for size in [*sizes, *[sizes[-1]] * len(text)]:
        if text:
            pieces.append(text[:size])
            text = text[size:]
    return pieces


@pytest.fixture
def stream(redacting, told):
    """Streams chunks as a guarded model does."""

    def streamed(*chunks):
        redacting.records.clear()
        return guard(told(*chunks), redacting.pep).stream("hi")

    return streamed


@pytest.fixture
def answer(lab, redacting):
    """Streams a text of a provider, in pieces of a size, and answers it whole."""
    before = lab.upstream.chunk_size

    def answered(text, size):
        lab.upstream.reply, lab.upstream.chunk_size = text, size
        redacting.records.clear()
        lab.upstream.clear()
        model = guard(lab.chat(), redacting.pep)
        return model.stream("hi"), model.invoke("hi")

    yield answered
    lab.upstream.chunk_size = before


def holds_to_the_law(chunks, raw):
    """What has left is at any time a beginning of the redacted whole."""
    clean = SECRETS.sub(CLEAN, raw)
    said = ""
    for chunk in chunks:
        said += chunk.text
        assert clean.startswith(said)
        assert not SECRETS.search(repr(chunk))
    assert said == clean


@ALIKE
@given(text=texts, sizes=st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_any_text_in_any_pieces(stream, text, sizes):
    chunks = [AIMessageChunk(one) for one in cut(text, sizes)] or [AIMessageChunk("")]

    holds_to_the_law(stream(*chunks), text)


@settings(parent=ALIKE, max_examples=25)
@given(text=texts.filter(bool), size=st.integers(1, 60))
def test_any_text_in_any_pieces_of_a_provider(answer, text, size):
    chunks, whole = answer(text, size)

    holds_to_the_law(chunks, text)
    assert whole.content == SECRETS.sub(CLEAN, text)


def text_block(index, text):
    return {"type": "text", "text": text, "index": index}


def other_block(index, text):
    return {"type": "reasoning", "reasoning": text, "index": index}


blocks = st.lists(
    st.tuples(st.sampled_from([text_block, other_block]), st.lists(texts, min_size=1, max_size=5)),
    max_size=6,
)


@ALIKE
@given(blocks=blocks, first=st.sampled_from([0, "lc_"]))
def test_any_blocks_in_any_pieces(stream, add_up, blocks, first):
    raw = []
    for number, (make, pieces) in enumerate(blocks):
        index = number if first == 0 else f"lc_{number}"
        raw += [AIMessageChunk([make(index, piece)]) for piece in pieces]
    raw = raw or [AIMessageChunk([])]

    chunks = list(stream(*raw))

    whole, bare = add_up(chunks), add_up(raw)
    assert not SECRETS.search("".join(repr(one) for one in chunks))
    assert [one["type"] for one in whole.content] == [one["type"] for one in bare.content]
    assert [one["index"] for one in whole.content] == [one["index"] for one in bare.content]
    assert runs(whole.content) == [SECRETS.sub(CLEAN, one) for one in runs(bare.content)]


def runs(content):
    """The texts that a reader sees as one, and those of the other blocks."""
    found, last = [], None
    for one in content:
        text = one.get("text", one.get("reasoning"))
        if one["type"] == last == "text":
            found[-1] += text
        else:
            found.append(text)
        last = one["type"]
    return found


pieces = st.lists(
    st.one_of(
        texts.map(AIMessageChunk),
        st.builds(lambda index, text: AIMessageChunk([text_block(index, text)]), st.integers(0, 2), texts),
        st.builds(lambda index, text: AIMessageChunk([other_block(index, text)]), st.integers(0, 2), texts),
        texts.map(lambda text: AIMessageChunk([text])),
        texts.map(lambda text: AIMessageChunk([{"type": "text", "text": text}])),
        texts.map(lambda text: AIMessageChunk([{"type": "new", "said": text}])),
        texts.map(lambda text: AIMessageChunk("", additional_kwargs={"refusal": text})),
        texts.map(
            lambda text: AIMessageChunk(
                "",
                tool_call_chunks=[
                    {"type": "tool_call_chunk", "index": 0, "name": None, "args": text, "id": None}
                ],
            )
        ),
    ),
    min_size=1,
    max_size=10,
)


@settings(parent=ALIKE, max_examples=150)
@given(raw=pieces)
def test_no_stream_of_whatever_shape_lets_a_part_of_a_finding_out(stream, raw):
    """Whether it passes or is denied."""
    seen = []

    try:
        seen.extend(repr(chunk) for chunk in stream(*raw))
    except Exception as error:  # noqa: BLE001 -- nor does an error
        seen.append(repr(error))

    assert not SECRETS.search("".join(seen))
