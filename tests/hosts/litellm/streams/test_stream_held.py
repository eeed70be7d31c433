"""What of a stream waits for its end: read as one text, however it is cut and often as it is told."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litellm.types.utils import Delta, ModelResponseStream, StreamingChoices

from checkrein_litellm.streams.chat import ChoicesShape
from checkrein_litellm.streams.google import GenerateShape
from checkrein_litellm.streams.messages import MessagesShape
from checkrein_litellm.streams.responses import ResponsesShape
from checkrein_litellm.streams.sse import frame
from checkrein_litellm.streams.waiting import HeldTexts
from checkrein_litellm.text.surfaces import UnwritableError

pytestmark = pytest.mark.filterwarnings("ignore:.*ReadOnly.*:UserWarning")

SECRET = "one two 123"


def chunk(content=None, index=0, **more):
    delta = Delta(content=content, **more)
    return ModelResponseStream(choices=[StreamingChoices(index=index, delta=delta)])


def rests_of(shape, chunks):
    events = [event for one in chunks for event in shape.read(one)]
    return [shape.rest(event) for event in events if event.more]


def held(shape, chunks, flowed=None):
    rests = rests_of(shape, chunks)
    return HeldTexts(shape, rests, flowed or {}, 32), rests


def texts(found):
    return [segment.text for segment in found.segments]


def said(rests):
    return "".join(one if isinstance(one, str) else str(one) for one in rests)


def test_the_pieces_of_a_tool_call_go_by_its_number():
    def piece(index, name, arguments):
        function = {"name": name, "arguments": arguments}
        return {"index": index, "id": None, "type": "function", "function": function}

    chunks = [
        chunk(tool_calls=[piece(0, "f", '{"a":')]),
        chunk(tool_calls=[piece(1, "g", '{"b": 1')]),
        chunk(tool_calls=[piece(0, None, f'"{SECRET}"}}'), piece(1, None, "}")]),
    ]
    found, rests = held(ChoicesShape(), chunks)
    assert texts(found) == [f'{{"a":"{SECRET}"}}', '{"b": 1}']
    path = found.segments[0].path
    with pytest.raises(UnwritableError):
        found.write({path: "no json"}, {})
    found.write({path: '{"a":"gone"}'}, {})
    assert SECRET not in said(rests)
    assert SECRET in said(chunks)


def test_what_a_stream_repeats_is_read_once_and_written_everywhere():
    chunks = [chunk("x"), chunk("y")]
    for one in chunks:
        one.citations = [SECRET, "https://x.y"]
    found, rests = held(ChoicesShape(), chunks)
    assert texts(found) == [SECRET, "https://x.y"]
    found.write({found.segments[0].path: "gone"}, {})
    assert [one.citations for one in rests] == [["gone", "https://x.y"]] * 2


def test_the_input_of_a_tool_stays_json():
    start = {"type": "tool_use", "id": "toolu_123456", "name": "look_up", "input": {}}
    chunks = [
        frame({"type": "content_block_start", "index": 0, "content_block": start}),
        *(
            frame(
                {
                    "type": "content_block_delta",
                    "index": 0,
                    "delta": {"type": "input_json_delta", "partial_json": one},
                }
            )
            for one in ('{"a": "one', " two 123", '"}')
        ),
    ]
    found, rests = held(MessagesShape(10_000), chunks)
    assert texts(found) == [f'{{"a": "{SECRET}"}}']
    with pytest.raises(UnwritableError):
        found.write({found.segments[0].path: "withheld"}, {})
    found.write({found.segments[0].path: '{"a": "gone"}'}, {})
    assert [one["delta"]["partial_json"] for one in rests[1:]] == ['{"a": "gone"}', "", ""]


@pytest.mark.parametrize("whole", [True, False])
def test_the_pieces_of_arguments_and_their_whole_are_one_text(whole):
    at = {"item_id": "fc_123456", "output_index": 0}
    pieces = [
        {"type": "response.function_call_arguments.delta", "delta": one, **at}
        for one in ('{"a": ', f'"{SECRET}"}}')
    ]
    done = {"type": "response.function_call_arguments.done", "arguments": f'{{"a": "{SECRET}"}}', **at}
    found, rests = held(ResponsesShape(frozenset()), [*pieces, done] if whole else pieces)
    assert texts(found) == [f'{{"a": "{SECRET}"}}']
    with pytest.raises(UnwritableError):
        found.write({found.segments[0].path: "withheld"}, {})
    found.write({found.segments[0].path: '{"a": 1}'}, {})
    assert [one["delta"] for one in rests[:2]] == ['{"a": 1}', ""]
    assert SECRET not in said(rests)


def test_what_is_no_text_is_told():
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{'A' * 80}"}}
    found, _ = held(ChoicesShape(), [chunk("x", images=[image])])
    assert found.uninspected(3) == [{"kind": "image", "segment": 3}]
    part = {"inlineData": {"mimeType": "image/png", "data": "A" * 80}}
    candidate = {"content": {"parts": [part], "role": "model"}, "index": 0}
    found, _ = held(GenerateShape(10_000), [frame({"candidates": [candidate]})])
    assert [one["kind"] for one in found.uninspected(0)] == ["image"]


def test_a_text_that_flowed_and_is_told_again_is_told_as_it_left():
    item = {"type": "message", "content": [{"type": "output_text", "text": SECRET}]}
    done = {"type": "response.output_item.done", "output_index": 0, "item": item}
    path = ("output", 0, "response.output_text", 0)
    found, rests = held(ResponsesShape(frozenset()), [done], {SECRET: [path]})
    assert texts(found) == []
    found.write({}, {path: "gone"})
    assert rests[0]["item"]["content"][0]["text"] == "gone"


def test_a_text_that_became_two_cannot_be_told_again():
    item = {"type": "message", "content": [{"type": "output_text", "text": SECRET}]}
    done = {"type": "response.output_item.done", "output_index": 0, "item": item}
    paths = [("output", index, "response.output_text", 0) for index in range(2)]
    found, _ = held(ResponsesShape(frozenset()), [done], {SECRET: paths})
    with pytest.raises(UnwritableError):
        found.write({}, {paths[0]: "gone", paths[1]: SECRET})


# Strings that could stand anywhere in a chunk, and are to be found wherever they do.
places = st.sampled_from(
    [
        ("choices", 0, "text"),
        ("choices", 0, "delta", "content"),
        ("choices", 0, "delta", "refusal"),
        ("choices", 0, "delta", "reasoning_content"),
        ("choices", 0, "delta", "unknown"),
        ("choices", 0, "delta", "audio", "transcript"),
        ("choices", 0, "delta", "tool_calls", 0, "function", "arguments"),
        ("choices", 0, "delta", "provider_specific_fields", "a", 0),
        ("choices", 0, "message", "content"),
        ("choices", 0, "unknown"),
        ("citations", 0),
        ("unknown",),
    ]
)


@given(where=st.lists(places, min_size=1, max_size=6, unique=True), finish=st.sampled_from([None, "stop"]))
def test_nothing_that_a_chunk_says_is_missed(where, finish):
    told = {place: f"secret number {index}" for index, place in enumerate(where)}
    made = {"choices": [{"index": 0, "finish_reason": finish, "delta": {}}]}
    for place, text in told.items():
        holder = made
        for key, following in pairwise(place):
            if isinstance(holder, dict):
                holder = holder.setdefault(key, [] if isinstance(following, int) else {})
            else:
                if not holder:
                    holder.append([] if isinstance(following, int) else {})
                holder = holder[0]
        if isinstance(holder, list):
            holder.append(text)
        else:
            holder[place[-1]] = text
    shape = ChoicesShape()
    (event,) = shape.read(made)
    flowing = [text for _, text in event.steps if text]
    waiting = texts(HeldTexts(shape, [shape.rest(event)] if event.more else [], {}, 32))
    assert sorted(flowing + waiting) == sorted(told.values())
