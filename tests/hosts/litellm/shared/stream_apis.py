"""The streams of each API, made of what they are to say, and read as their callers read them."""

from __future__ import annotations

import json
from typing import Any

import litellm
import pytest
from litellm.types.utils import Delta, ModelResponseStream, StreamingChoices

from checkrein_litellm.streams.chat import ChoicesShape
from checkrein_litellm.streams.google import GenerateShape
from checkrein_litellm.streams.messages import MessagesShape
from checkrein_litellm.streams.responses import ResponsesShape
from checkrein_litellm.streams.sse import FrameReader, frame

SIGNATURE = "EqoBCkgIARABGAIiQL8" * 6


class Chat:
    """The chunks of chat completions."""

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
    """Events that come as bytes."""

    def raw(self, events):
        return b"".join(events).decode()

    def data(self, events):
        reader = FrameReader(1_000_000)
        found = [one.data for chunk in events for one in reader.take(chunk)]
        reader.close()
        return found


class Messages(Bytes):
    """The events of Anthropic's messages."""

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
    """The chunks of Google's `streamGenerateContent`."""

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
    """The events of OpenAI's responses."""

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
