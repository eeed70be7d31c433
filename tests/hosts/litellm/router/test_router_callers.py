"""For whom a governed router calls, and where."""

from __future__ import annotations

import asyncio

import pytest
from governed_calls import CALLING, WAYS, completed, outside, said
from routed_calls import both, chat, deployment, routed

from checkrein import acting_as
from checkrein.testing import StaticEngine, permit

pytestmark = CALLING


@WAYS
async def test_metadata_counts_only_where_it_is_trusted(way, eu):
    engine = StaticEngine(permit())
    settings = {"identity": {"litellm": {"metadata": {"id": "employee"}, "trusted": True}}}
    models = [deployment("m", eu, "one")]
    await chat(routed(engine, models, settings), way, model="m", metadata={"employee": "eve"})
    await chat(routed(engine, models), way, model="m", metadata={"employee": "eve"})
    with acting_as("alice"):
        await chat(routed(engine, models, settings), way, model="m", metadata={"employee": "eve"})
    assert [one["subject"]["id"] for one in engine.asked[::4]] == ["eve", "anonymous", "alice"]
    assert engine.asked[0]["context"]["identity"] == {"source": "metadata", "asserted": True}


async def test_no_parameter_of_a_call_says_for_whom_it_is_made(eu):
    router = routed(permit(), [deployment("m", eu, "one")])
    for claimed in ({"subject": {"id": "root"}}, "root"):
        with pytest.raises(TypeError, match="acting_as"):
            await router.acompletion(model="m", messages=said("x"), checkrein_identity=claimed)
    assert eu.requests == []


async def test_a_call_id_of_the_callers_is_kept_and_leads_nowhere(eu):
    engine = StaticEngine(permit())
    router = routed(engine, [deployment("m", eu, "one")])
    await asyncio.gather(
        *(
            router.acting_as(user).acompletion(model="m", messages=said(user), litellm_call_id="same")
            for user in ("alice", "bob")
        )
    )
    asked = {
        (one["subject"]["id"], one["context"]["prompt"]["text"])
        for one in engine.asked
        if one["stage"] == "pre_prompt"
    }
    assert asked == {("alice", "alice"), ("bob", "bob")}
    assert engine.asked[0]["context"]["environment"]["client_call_id"] == "same"


def test_only_governed_calls_are_made_for_a_subject(eu):
    router = routed(permit(), [deployment("m", eu, "one")])
    with pytest.raises(AttributeError, match="acting_as"):
        _ = router.acting_as("alice").abatch_completion
    with pytest.raises(TypeError, match="is no subject"):
        router.acting_as(None)


def test_a_synchronous_call_is_judged_where_no_event_loop_runs(eu, us):
    router = routed(outside, both(eu, us))
    assert completed(router, {"model": "gpt-4o", "messages": said("x")}) == "from the eu"


async def test_a_synchronous_call_is_judged_where_an_event_loop_runs(eu, us):
    router = routed(outside, both(eu, us))
    with acting_as("alice"):
        assert completed(router, {"model": "gpt-4o", "messages": said("x")}) == "from the eu"
