"""Events that a tool wrote: joined as their readers join them, and never more than policy would judge."""

from __future__ import annotations

import pytest

from checkrein.settings import Limits
from checkrein_langchain.text.tool_outputs import Output
from checkrein_langchain.tools.held_writing import HeldWriting


@pytest.fixture
def held():
    """`held(events, **limits)`: what is judged of them beside a short result, and what leaves of it then."""

    def make(events, beside="found", **limits):
        left, holding = [], HeldWriting(Limits.model_validate(limits))
        for event in events:
            holding.writer(left.append)(event)
        judged = holding.events(Output(beside))

        def leave(change=lambda _: None):
            change(judged)
            holding.give_out(judged)
            return left

        return judged, leave

    return make


@pytest.mark.parametrize("shape", [lambda one: {"type": "delta", "text": one}, lambda one: ["delta", [one]]])
def test_what_stands_across_a_field_of_several_events_is_judged_in_one(held, shape):
    judged, leave = held([shape("4111 1111 "), shape("1111 1111")])
    assert "4111 1111 1111 1111" in judged["joined"]

    def redact(judged):
        judged["joined"] = [
            one.replace("4111 1111 1111 1111", "[REDACTED:credit_card]") for one in judged["joined"]
        ]

    assert leave(redact) == []


def test_what_stands_across_events_of_several_shapes_is_judged_in_one(held):
    judged, _ = held(["4111 1111 ", {"text": "1111 1111"}])
    assert "4111 1111 1111 1111" in judged["joined"]


def test_what_was_not_changed_leaves_whatever_its_shape(held):
    events = [
        {"type": "delta", "text": "one "},
        {"type": "delta", "text": "two"},
        3,
        None,
        {"a long key": []},
    ]
    assert held(events)[1]() == events


@pytest.mark.parametrize("odd", [object(), {"at": object()}, b"octets", "\ud800", {("a", "b"): 1}])
def test_an_event_that_cannot_be_judged_takes_no_other_along(held, odd):
    assert held(["one", odd, "two"])[1]() == ["one", "two"]


def test_an_event_that_is_endless_takes_no_other_along(held):
    endless = []
    endless.append(endless)
    assert held(["one", endless])[1]() == ["one"]


@pytest.mark.parametrize(
    ("limits", "event"),
    [({"segments": 50}, "x"), ({"text": 1000}, "x" * 100), ({"nodes": 500}, [1] * 100)],
    ids=["pieces", "text", "nodes"],
)
def test_of_more_than_policy_would_judge_nothing_is_kept(limits, event):
    left = []
    holding = HeldWriting(Limits.model_validate(limits))
    write = holding.writer(left.append)
    for _ in range(100):
        write(event)
        assert len(holding._kept) <= 50
    assert holding._kept == []
    assert holding.events(Output("found")) is None
    assert left == []


@pytest.mark.parametrize(
    ("limits", "events", "beside"),
    [({"text": 1000}, ["x" * 100], "y" * 900), ({"segments": 10}, ["x"] * 4, ["y z"] * 6)],
    ids=["text", "pieces"],
)
def test_events_that_are_too_many_beside_the_result_do_not_take_it_along(held, limits, events, beside):
    assert held(events, **limits)[0] is not None
    assert held(events, beside, **limits)[0] is None
