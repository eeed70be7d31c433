"""What callers note in `metadata`: read once, written wherever it stands; LiteLLM's own notes are no text."""

from __future__ import annotations

import json
from copy import deepcopy

import pytest

from checkrein_litellm.endpoints import ENDPOINTS
from checkrein_litellm.text.request_fields import text_keys
from checkrein_litellm.text.surfaces import content_of, request_surfaces

SECRET = "one two 123"
OWN = {"user_api_key_alias": "his own key", "endpoint": "http://x.y/chat", "headers": {"a": "b c"}}


def in_the_proxy(sent, bucket="metadata", **more):
    """As the proxy hands it to its hooks."""
    metadata = {**deepcopy(sent), **OWN, "requester_metadata": {**deepcopy(sent), "headers": OWN["headers"]}}
    data = {"model": "m", "messages": [{"role": "user", "content": "hello"}], bucket: metadata, **more}
    return data if bucket == "metadata" else {**data, "metadata": deepcopy(sent)}


def read(data, call="acompletion"):
    return request_surfaces(data, text_keys(data, ENDPOINTS[call]), 32)


def texts(found):
    return [segment.text for segment in found.segments]


def write(data, call="acompletion"):
    found = read(data, call)
    found.write({one.path: "gone" for one in found.segments if one.text == SECRET})


@pytest.mark.parametrize(
    ("call", "bucket"), [("acompletion", "metadata"), ("aresponses", "litellm_metadata")]
)
@pytest.mark.parametrize("sent", [{"user_id": SECRET}, {"note": SECRET}, {"a": {"b": SECRET}}])
def test_what_a_caller_notes_is_read_once_and_written_in_every_copy(call, bucket, sent):
    data = in_the_proxy(sent, bucket)
    assert texts(read(data, call)) == ["hello", SECRET]
    write(data, call)
    assert SECRET not in json.dumps(data)
    assert data[bucket]["user_api_key_alias"] == "his own key"


@pytest.mark.parametrize("sent", [{SECRET: 1}, {"a": {SECRET: 1}}])
def test_the_name_of_a_note_is_read(sent):
    assert texts(read(in_the_proxy(sent))) == ["hello", SECRET]
    data = in_the_proxy({})
    data["metadata"] |= deepcopy(sent)
    data["proxy_server_request"] = {"body": {"litellm_metadata": sent}}
    assert texts(read(data)) == ["hello", SECRET]


def test_what_the_proxy_merges_out_of_the_other_bucket_is_read():
    data = in_the_proxy({})
    data["metadata"] |= {"user_id": SECRET, "another": "a b"}
    data["proxy_server_request"] = {"body": {"litellm_metadata": {"user_id": SECRET, "another": "a b"}}}
    assert texts(read(data)) == ["hello", SECRET, "a b"]
    write(data)
    assert data["metadata"]["user_id"] == "gone"


def test_a_session_is_read_wherever_it_came_from_and_written_in_every_copy():
    data = in_the_proxy({}, litellm_session_id=SECRET, litellm_trace_id=SECRET)
    data["metadata"]["session_id"] = SECRET
    assert texts(read(data)) == ["hello", SECRET]
    write(data)
    assert SECRET not in json.dumps(data)


def test_the_version_of_an_api_stands_in_an_address_and_is_read():
    assert texts(read(in_the_proxy({}, api_version=SECRET))) == ["hello", SECRET]


def test_notes_are_no_part_of_the_prompt():
    keys = ("messages",)
    assert content_of(in_the_proxy({"a": "b c"}), keys, 32) == content_of(in_the_proxy({}), keys, 32)
