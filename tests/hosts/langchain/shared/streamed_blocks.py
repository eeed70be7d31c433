"""Blocks of content as models stream them, and the secret in them."""

from langchain_core.messages import AIMessageChunk

SECRET = "§¤¶§¤¶§¤¶"
CLEAN = "[REDACTED:secret]"
LONG = "word " * 40


def text(value, index=None, **more):
    told = {"type": "text", "text": value, **({} if index is None else {"index": index}), **more}
    return AIMessageChunk([told])


def block(kind, index=None, **more):
    return AIMessageChunk([{"type": kind, **({} if index is None else {"index": index}), **more}])


def early(chunks):
    """All that left before the last chunk."""
    return chunks[:-1]


def call(index, name=None, args="", id=None):
    told = {"type": "tool_call_chunk", "index": index, "name": name, "args": args, "id": id}
    return AIMessageChunk("", tool_call_chunks=[told])
