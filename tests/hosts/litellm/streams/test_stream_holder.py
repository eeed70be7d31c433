"""What holds the events of a stream: one law in every shape, however it is cut and wherever it is denied."""

from __future__ import annotations

import json
from typing import Any

import litellm
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from litellm.types.utils import Delta, ModelResponseStream, StreamingChoices

from checkrein import AccessRequest, EnforcementPoint, Entity, Settings, Stage
from checkrein.errors import RequestError
from checkrein.flow import run
from checkrein.testing import StaticEngine, deny, obligation, permit
from checkrein_litellm.denial import CallDenied
from checkrein_litellm.streams.chat import ChoicesShape
from checkrein_litellm.streams.google import GenerateShape
from checkrein_litellm.streams.holder import EventHolder
from checkrein_litellm.streams.messages import MessagesShape
from checkrein_litellm.streams.responses import ResponsesShape
from checkrein_litellm.streams.sse import FrameReader, frame
from checkrein_litellm.text.surfaces import UnwritableError

pytestmark = [
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*ReadOnly.*:UserWarning"),
]

SSN = "123-45-6789"
REDACTED = "[REDACTED:us_ssn]"
REDACT = permit(obligation("redact", types=["us_ssn"]))
LONG = "".join(f"word {number} " for number in range(60))
SIGNATURE = "EqoBCkgIARABGAIiQL8" * 6
BOTH = pytest.mark.parametrize("mode", ["hold", "window"])
MODEL = Entity(type="model", id="m")


class RefusedError(Exception):
    """What a host raises that refuses."""


class Host:
    def __init__(self, answer: Any, mode: str, **more: Any) -> None:
        self.engine = StaticEngine({**dict.fromkeys(Stage, permit()), Stage.POST_COMPLETION: answer})
        read = {"detectors": {"post_completion": ["us_ssn"]}, "stream": {"mode": mode}, **more}
        self.pep = EnforcementPoint(self.engine, Settings.model_validate(read), record=self.note)
        self.decisions: list[Any] = []
        self.limits = self.pep.settings.limits
        self.let_pass = False
        self.settled: list[Any] = []

    def note(self, decision: Any) -> None:
        self.decisions.append(decision)

    def gate(self):
        request = AccessRequest(
            stage=Stage.POST_COMPLETION,
            subject=Entity(type="user", id="a"),
            resource=MODEL,
            supports=frozenset({"redact", "replace"}),
        )
        return self.pep.stream(request, exception=CallDenied)

    def stand(self):
        pass

    def refuse(self, code, message):
        raise RefusedError(code)

    def write(self, decision, change):
        change()

    def settle(self, tokens):
        self.settled.append(tokens)


class Chat:
    """The events of each API, from what they say to what is read of them."""

    def shape(self):
        return ChoicesShape()

    def begin(self):
        return [self.chunk(Delta(role="assistant", content=""))]

    def text(self, piece):
        return self.chunk(Delta(content=piece))

    def think(self, piece):
        blocks = [{"type": "thinking", "thinking": piece}]
        return self.chunk(
            Delta(
                reasoning_content=piece,
                thinking_blocks=blocks,
                provider_specific_fields={"thinking_blocks": blocks},
            )
        )

    def thought(self):
        return [
            self.chunk(Delta(thinking_blocks=[{"type": "thinking", "thinking": "", "signature": SIGNATURE}]))
        ]

    def call(self, pieces):
        calls = [{"index": 0, "id": "call_123456", "function": {"name": "look_up", "arguments": ""}}]
        calls += [{"index": 0, "function": {"arguments": piece}} for piece in pieces]
        return [self.chunk(Delta(tool_calls=[one])) for one in calls]

    def end(self, *_):
        usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
        ended = self.chunk(Delta())
        ended.choices[0].finish_reason = "stop"
        return [ended, ModelResponseStream(id="chatcmpl-1", choices=[], usage=litellm.Usage(**usage))]

    def chunk(self, delta):
        choice = StreamingChoices(index=0, delta=delta)
        return ModelResponseStream(id="chatcmpl-1", choices=[choice], obfuscation="x8Jq Zt")

    def read(self, events):
        said = {"text": "", "thought": "", "arguments": ""}
        for event in events:
            for choice in event.choices:
                said["text"] += choice.delta.content or ""
                said["thought"] += getattr(choice.delta, "reasoning_content", None) or ""
                for call in getattr(choice.delta, "tool_calls", None) or ():
                    said["arguments"] += call.function.arguments or ""
        return said

    def whole(self, events):
        assert events[-1].usage.total_tokens == 3
        assert events[-2].choices[0].finish_reason == "stop"
        assert {event.id for event in events} == {"chatcmpl-1"}

    def raw(self, events):
        return "\n".join(event.model_dump_json() for event in events)


class Bytes:
    def raw(self, events):
        return b"".join(events).decode()

    def data(self, events):
        reader = FrameReader(1_000_000)
        found = [one.data for chunk in events for one in reader.take(chunk)]
        reader.close()
        return found


class Messages(Bytes):
    def __init__(self):
        self.index = -1
        self.open = ""

    def shape(self):
        return MessagesShape(100_000)

    def begin(self):
        message = {"id": "msg_1", "model": "claude-3-5", "content": [], "usage": {"input_tokens": 1}}
        return [self.event("message_start", message=message), self.event("ping")]

    def text(self, piece):
        return self.delta("text", {"type": "text_delta", "text": piece}, {"type": "text", "text": ""})

    def think(self, piece):
        block = {"type": "thinking", "thinking": "", "signature": ""}
        return self.delta("thinking", {"type": "thinking_delta", "thinking": piece}, block)

    def thought(self):
        if self.open != "thinking":
            return []
        signed = {"type": "signature_delta", "signature": SIGNATURE}
        return [self.event("content_block_delta", index=self.index, delta=signed)]

    def call(self, pieces):
        block = {"type": "tool_use", "id": "toolu_123456", "name": "look_up", "input": {}}
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
        return [self.delta("tool_use", one, block) for one in deltas]

    def end(self, *_):
        stopped = self.stop()
        delta = {"stop_reason": "end_turn", "stop_sequence": None}
        return [
            stopped + self.event("message_delta", delta=delta, usage={"output_tokens": 2}),
            self.event("message_stop"),
        ]

    def delta(self, kind, delta, block):
        begun = b""
        if self.open != kind:
            begun = self.stop()
            self.index += 1
            self.open = kind
            begun += self.event("content_block_start", index=self.index, content_block=block)
        return begun + self.event("content_block_delta", index=self.index, delta=delta)

    def stop(self):
        return self.event("content_block_stop", index=self.index) if self.open else b""

    def event(self, kind, **more):
        return frame({"type": kind, **more}, kind)

    def read(self, events):
        said = {"text": "", "thought": "", "arguments": ""}
        for one in self.data(events):
            delta = one.get("delta", {})
            said["text"] += delta.get("text", "")
            said["thought"] += delta.get("thinking", "")
            said["arguments"] += delta.get("partial_json", "")
        return said

    def whole(self, events):
        data = self.data(events)
        assert [data[0]["type"], data[-1]["type"]] == ["message_start", "message_stop"]
        begun: list[int] = []
        for one in data:
            if one["type"] == "content_block_start":
                begun.append(one["index"])
            elif one["type"].startswith("content_block"):
                assert one["index"] == begun[-1]
        assert begun == sorted(set(begun))


class Google(Bytes):
    def shape(self):
        return GenerateShape(100_000)

    def begin(self):
        return []

    def text(self, piece):
        return self.part({"text": piece})

    def think(self, piece):
        return self.part({"text": piece, "thought": True})

    def thought(self):
        return [self.part({"text": "", "thoughtSignature": SIGNATURE})]

    def call(self, pieces):
        return [self.part({"functionCall": {"name": "look_up", "args": json.loads("".join(pieces))}})]

    def end(self, *_):
        usage = {"promptTokenCount": 1, "candidatesTokenCount": 2, "totalTokenCount": 3}
        candidate = {
            "content": {"parts": [{"text": ""}], "role": "model"},
            "finishReason": "STOP",
            "index": 0,
        }
        return [frame({"candidates": [candidate], "usageMetadata": usage})]

    def part(self, part):
        candidate = {"content": {"parts": [part], "role": "model"}, "finishReason": None, "index": 0}
        return frame({"candidates": [candidate], "modelVersion": "gemini-2.0"})

    def read(self, events):
        said = {"text": "", "thought": "", "arguments": ""}
        for one in self.data(events):
            for part in one["candidates"][0]["content"]["parts"]:
                said["thought" if part.get("thought") else "text"] += part.get("text", "")
                if "functionCall" in part:
                    said["arguments"] += json.dumps(part["functionCall"]["args"])
        return said

    def whole(self, events):
        last = self.data(events)[-1]
        assert last["candidates"][0]["finishReason"] == "STOP"
        assert last["usageMetadata"]["totalTokenCount"] == 3


class Responses:
    def __init__(self):
        self.items: list[Any] = []
        self.number = -1

    def shape(self):
        return ResponsesShape(frozenset({"be kind"}))

    def begin(self):
        response = {"id": "resp_1", "instructions": "be kind", "output": [], "status": "in_progress"}
        return [self.event("response.created", response=response)]

    def text(self, piece):
        return self.piece("message", "response.output_text", "content_index", piece)

    def think(self, piece):
        return self.piece("reasoning", "response.reasoning_summary_text", "summary_index", piece)

    def thought(self):
        return []

    def call(self, pieces):
        return [
            self.piece("function_call", "response.function_call_arguments", None, piece) for piece in pieces
        ]

    def piece(self, kind, base, number, text):
        events = []
        if not self.items or self.items[-1]["type"] != kind:
            events += self.done()
            self.items.append({"type": kind, "id": f"item_{len(self.items)}", "base": base, "said": ""})
            item = {"type": kind, "id": self.items[-1]["id"], "content": []}
            events.append(self.event("response.output_item.added", item=item, **self.at()))
        self.items[-1]["said"] += text
        place = {} if number is None else {number: 0}
        events.append(
            self.event(f"{base}.delta", delta=text, logprobs=[], obfuscation="x8 Jq", **place, **self.at())
        )
        return events

    def at(self):
        return {"output_index": len(self.items) - 1, "item_id": self.items[-1]["id"]}

    def done(self):
        if not self.items:
            return []
        item = self.items[-1]
        key = "arguments" if item["type"] == "function_call" else "text"
        number = "summary_index" if item["type"] == "reasoning" else "content_index"
        told = self.event(f"{item['base']}.done", **{key: item["said"], number: 0}, **self.at())
        return [told, self.event("response.output_item.done", item=self.whole_item(item), **self.at())]

    def whole_item(self, item):
        if item["type"] == "function_call":
            return {"type": "function_call", "name": "look_up", "arguments": item["said"]}
        if item["type"] == "reasoning":
            return {"type": "reasoning", "summary": [{"type": "summary_text", "text": item["said"]}]}
        return {
            "type": "message",
            "content": [{"type": "output_text", "text": item["said"], "logprobs": [1]}],
        }

    def end(self, *_):
        done = self.done()
        response = {
            "id": "resp_1",
            "instructions": "be kind",
            "output": [self.whole_item(one) for one in self.items],
            "status": "completed",
            "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
        }
        return [*done, self.event("response.completed", response=response)]

    def event(self, kind, **more):
        self.number += 1
        return {"type": kind, "sequence_number": self.number, **more}

    def read(self, events):
        said = {"text": "", "thought": "", "arguments": ""}
        keys = {
            "output_text": "text",
            "reasoning_summary_text": "thought",
            "function_call_arguments": "arguments",
        }
        for one in events:
            _, base, *end = one["type"].split(".")
            if end == ["delta"]:
                said[keys[base]] += one["delta"]
        return said

    def whole(self, events):
        assert [one["sequence_number"] for one in events] == list(range(len(events)))
        last = events[-1]["response"]
        said = self.read(events)
        again = {"text": "", "thought": "", "arguments": ""}
        for item in last["output"]:
            again["text"] += "".join(part["text"] for part in item.get("content", ()))
            again["thought"] += "".join(part["text"] for part in item.get("summary", ()))
            again["arguments"] += item.get("arguments", "")
        assert again == said

    def raw(self, events):
        return json.dumps(events)


APIS = pytest.mark.parametrize("api", [Chat, Messages, Google, Responses])


def flat(value):
    return [one for part in value for one in flat(part)] if isinstance(value, list) else [value]


def stream(api, *said):
    """A stream that says something: `("text", pieces)`, `("think", pieces)`, `("call", pieces)`."""
    events = [api.begin()]
    for kind, pieces in said:
        events.append(api.call(pieces) if kind == "call" else [getattr(api, kind)(piece) for piece in pieces])
        if kind == "think":
            events.append(api.thought())
    return flat([*events, api.end()])


def cut(text, size=7):
    return [text[start : start + size] for start in range(0, len(text), size)]


class Held:
    """A holder that is fed: what has left after each chunk, and at the end."""

    def __init__(self, host, shape):
        self.holder = EventHolder(host, shape)
        self.left: list[Any] = []

    def feed(self, chunks):
        for chunk in chunks:
            try:
                self.left += run(self.holder.take(chunk))
            except CallDenied:
                self.left += self.holder.leftover()
                raise
        return self

    def finish(self):
        self.left += run(self.holder.finish())
        return self.left


@BOTH
@APIS
def test_a_permitted_stream_says_what_it_said(api, mode):
    made = api()
    said = [
        ("think", cut(f"hm {LONG}")),
        ("text", cut(f"it is {SSN} {LONG}")),
        ("call", cut('{"who": "me"}')),
    ]
    chunks = stream(made, *said)
    host = Host(permit(), mode)
    left = Held(host, made.shape()).feed(chunks).finish()
    read = made.read(left)
    assert read["thought"] == f"hm {LONG}"
    assert read["text"] == f"it is {SSN} {LONG}"
    assert json.loads(read["arguments"]) == {"who": "me"}
    made.whole(left)
    assert SIGNATURE in made.raw(left) or api is Responses
    assert host.settled[-1]["completion_tokens"] == 2
    if mode == "hold":
        assert made.raw(left) == made.raw(
            [frame(one) for one in made.data(chunks)] if api is Google else chunks
        )


@BOTH
@APIS
def test_what_is_redacted_is_so_wherever_it_is_told(api, mode):
    made = api()
    arguments = json.dumps({"who": SSN})
    said = [("think", cut(f"hm {SSN} {LONG}")), ("text", cut(f"{LONG}it is {SSN}")), ("call", cut(arguments))]
    left = Held(Host(REDACT, mode), made.shape()).feed(stream(made, *said)).finish()
    read = made.read(left)
    assert read["thought"] == f"hm {REDACTED} {LONG}"
    assert read["text"] == f"{LONG}it is {REDACTED}"
    assert json.loads(read["arguments"]) == {"who": REDACTED}
    assert SSN[4:] not in made.raw(left)
    made.whole(left)


@APIS
def test_in_a_window_thoughts_and_text_leave_before_the_end(api):
    made = api()
    chunks = stream(made, ("think", cut(LONG)), ("text", cut(LONG * 3)), ("call", cut('{"who": "me"}')))
    held = Held(Host(REDACT, "window"), made.shape()).feed(chunks[:-2])
    read = made.read(held.left)
    assert read["thought"] == LONG
    assert len(read["text"]) > len(LONG) * 2
    assert read["arguments"] == ""
    assert "look_up" not in made.raw(held.left)


@APIS
def test_what_comes_after_a_call_of_a_tool_waits(api):
    made = api()
    chunks = stream(made, ("text", cut(LONG)), ("call", ['{"who": "', f'{SSN}"}}']), ("text", cut(LONG)))
    held = Held(Host(REDACT, "window"), made.shape()).feed(chunks)
    assert REDACTED not in made.raw(held.left)
    left = held.finish()
    assert made.read(left)["text"] == LONG * 2
    assert SSN not in made.raw(left)


@APIS
def test_a_denial_lets_nothing_more_leave(api):
    made = api()

    def answer(request):
        return deny("leak") if request.document["context"]["findings"] else permit()

    held = Held(Host(answer, "window"), made.shape())
    with pytest.raises(CallDenied):
        held.feed(stream(made, ("text", cut(f"{LONG}it is {SSN} {LONG}"))))
    assert f"{LONG}it is ".startswith(made.read(held.left)["text"])
    assert made.read(held.left)["text"]
    with pytest.raises(CallDenied):
        held.finish()


@BOTH
@APIS
def test_a_replacement_stands_for_everything(api, mode):
    made = api()
    verdict = permit(obligation("replace", text="withheld"))
    left = Held(Host(verdict, mode), made.shape()).feed(stream(made, ("text", cut(LONG)))).finish()
    assert made.read(left)["text"] == "withheld"
    assert "word" not in made.raw(left)
    made.whole(left)


@BOTH
@APIS
def test_monitoring_lets_every_chunk_pass_as_it_comes(api, mode):
    made = api()
    chunks = stream(made, ("text", cut(f"it is {SSN}")), ("call", ['{"who": "me"}']))
    host = Host(deny("no"), mode, enforcement={"default": "monitor"})
    held = Held(host, made.shape()).feed(chunks)
    assert held.left == chunks
    assert held.finish() == chunks
    assert [one.reasons[0].code for one in host.decisions] == ["no"]
    assert host.decisions[0].document["context"]["completion"]["text"].startswith(f"it is {SSN}")


@BOTH
@APIS
def test_a_stream_that_says_too_much_is_refused(api, mode):
    made = api()
    for said in (("text", cut("x" * 3000)), ("call", cut(json.dumps({"a": "x" * 30_000}), 100))):
        made = api()
        with pytest.raises((RefusedError, CallDenied, RequestError)):
            Held(Host(permit(), mode, limits={"text": 1000}), made.shape()).feed(stream(made, said)).finish()


@APIS
def test_a_text_that_goes_on_after_its_end_is_judged_as_one(api):
    made = api()
    chunks = stream(made, ("think", ["my number is 123-"]), ("text", cut(LONG)), ("think", ["45-6789, so"]))
    held = Held(Host(REDACT, "window"), made.shape()).feed(chunks)
    separate = api in {Messages, Responses}
    if separate:
        assert made.read(held.finish())["thought"] == "my number is 123-45-6789, so"
        return
    with pytest.raises((UnwritableError, CallDenied)):
        held.finish()
    assert "6789" not in made.raw(held.left)
    made = api()
    chunks = stream(made, ("think", ["so it is. "]), ("text", cut(LONG)), ("think", [f"{SSN} it is"]))
    left = Held(Host(REDACT, "window"), made.shape()).feed(chunks).finish()
    assert made.read(left)["thought"] == f"so it is. {REDACTED} it is"


pieces = st.sampled_from(["a ", "word, ", f"it is {SSN} ", f"{SSN} ", "ü\u2028 ", "\n", "12 ", "3-4 "])
turns = st.lists(
    st.tuples(st.sampled_from(["think", "text", "call"]), st.lists(pieces, min_size=1, max_size=12)),
    max_size=5,
)


@pytest.mark.parametrize("api", [Chat, Messages, Google, Responses])
@settings(max_examples=60, deadline=None)
@given(said=turns, size=st.integers(1, 9), data=st.data())
def test_a_window_says_what_a_whole_says(api, said, size, data):
    # What is thought after the text began is another matter.
    order = {"think": 0, "text": 1, "call": 2}
    said = sorted(said, key=lambda turn: order[turn[0]])
    told = [
        (kind, cut(json.dumps({"a": "".join(one)}) if kind == "call" else "".join(one), size))
        for kind, one in said
    ][: data.draw(st.integers(0, 5))]
    if sum(kind == "call" for kind, _ in told) > 1:
        told = [one for one in told if one[0] != "call"]
    seen = []
    for mode in ("hold", "window"):
        made = api()
        left = Held(Host(REDACT, mode), made.shape()).feed(stream(made, *told)).finish()
        assert SSN not in made.raw(left)
        made.whole(left)
        seen.append(made.read(left))
    assert seen[0] == seen[1]
    for kind, key in (("think", "thought"), ("text", "text")):
        whole = "".join("".join(one) for what, one in told if what == kind)
        assert seen[0][key] == whole.replace(SSN, REDACTED)
