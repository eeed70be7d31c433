"""What looks like a signature or an identifier: told where it is no text, and read where it could be one."""

from __future__ import annotations

import pytest

from checkrein_litellm.text.surfaces import answer_surfaces, request_surfaces

SEALED = "FORBIDDEN-my-ssn-is-123-45-6789-and-this-is-some-more-padding-to-be-long"
KEYS = {
    "encrypted_content": "encrypted",
    "signature": "signature",
    "thoughtSignature": "signature",
    "thought_signature": "signature",
}


def texts(found):
    return [segment.text for segment in found.segments]


@pytest.mark.parametrize("key", KEYS)
def test_what_is_sealed_is_told(key):
    part = {"type": "text", "text": "hello you", key: SEALED}
    found = request_surfaces({"messages": [{"role": "user", "content": [part]}]}, (), 32)
    assert texts(found) == ["hello you"]
    assert found.uninspected == [{"kind": KEYS[key], "segment": 0}]
    assert [one["kind"] for one in answer_surfaces({"content": [part]}, 32).uninspected] == [KEYS[key]]


@pytest.mark.parametrize("key", KEYS)
def test_what_is_too_short_to_be_sealed_is_read(key):
    part = {"type": "text", "text": "hello you", key: "it is 123-45-6789"}
    found = request_surfaces({"messages": [{"role": "user", "content": [part]}]}, (), 32)
    assert texts(found) == ["hello you", "it is 123-45-6789"]
    assert found.uninspected == []


@pytest.mark.parametrize(
    "text", ["call_" + "4" * 16, "msg-123456789", "file-41111111-1111-1111-1111-abcdefabcdef"]
)
def test_digits_behind_the_beginning_of_an_identifier_are_read(text):
    assert texts(request_surfaces({"user": text}, ["user"], 32)) == [text]


@pytest.mark.parametrize(
    "text",
    [
        "call_12345678",
        "chatcmpl-68a1b2c3d4e5f60718293a4b",
        "toolu_01A09q90qw90lq917835lq9",
        "resp_682e0b8f12345678912c8191b",
        "msg_0192f3a4-12ab-7c34-9876-abcdef012345",
    ],
)
def test_an_identifier_is_no_text(text):
    assert texts(request_surfaces({"user": text}, ["user"], 32)) == []
