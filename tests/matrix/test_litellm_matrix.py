"""No function of LiteLLM's, no router and no proxy leaks, whatever the engine does: counted at both ends."""

import litellm
import pytest
from bypass_counting import (
    IN_ANSWER,
    IN_PROMPT,
    MODEL_STAGES,
    all_sent,
    characters,
    count,
    faults,
    watched,
)
from bypass_litellm import MECHANISMS, call, shows

from checkrein import PolicyDenied, Stage

pytestmark = [
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*ReadOnly.*:UserWarning"),
    # What LiteLLM's asynchronous text completions leave open.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.usefixtures("swept"),
]
FAULTS = [*faults(MODEL_STAGES), *watched(MODEL_STAGES)]
CELLS = [
    (mechanism, way, mode)
    for mechanism, one in MECHANISMS.items()
    for way, called in one.ways.items()
    for mode in (("hold", "window") if called.streams else ("hold",))
]


def judged(fault, way, counted, came, sent, records):
    """The rest of what must hold of a cell that leaks nothing."""
    assert counted.leaks == 0, counted
    assert records
    assert counted.outcome == shows(fault, way), came.seen
    if way.denied and not fault.watches:
        assert sent == []
    if fault.kind == "permit" and not way.denied:
        # What the counts would see if it leaked.
        assert way.cached == (characters(IN_PROMPT, "".join(sent)) == 0)
        assert way.answers == (characters(IN_ANSWER, came.seen) > 0)


@pytest.mark.parametrize("fault", FAULTS, ids=str)
@pytest.mark.parametrize(("mechanism", "way", "mode"), CELLS)
async def test_nothing_leaks(mechanism, way, mode, fault, upstream, cell, litellm_alone):
    called = MECHANISMS[mechanism].ways[way]

    came, records = await call(MECHANISMS[mechanism], called, mode, fault, upstream)

    upstream.wait()
    sent = all_sent(upstream)
    counted = count(fault, came, sent, PolicyDenied)
    cell("LiteLLM", mechanism, way if mode == "hold" else f"{way}, {mode}", fault, counted)
    judged(fault, called, counted, came, sent, records)
    if fault.watches and not called.denied and (called.answers or fault.stage is not Stage.POST_COMPLETION):
        assert [one.request.stage for one in records if not one.permitted][:1] == [fault.stage]
