"""No function of LiteLLM's, no router and no proxy leaks, whatever the engine does: counted at both ends."""

import pytest
from bypass_counting import IN_ANSWER, IN_PROMPT, all_sent, characters, count
from bypass_litellm import MECHANISMS, call, faults_for, shows
from bypass_proxy import WAYS, DeniedByProxy
from bypass_proxy import call as ask

from checkrein import PolicyDenied, Stage

pytestmark = [
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*ReadOnly.*:UserWarning"),
    # What LiteLLM's asynchronous text completions leave open.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.usefixtures("swept"),
]
CELLS = [
    pytest.param(mechanism, way, mode, fault, id=f"{mechanism}, {way}, {mode}, {fault}")
    for mechanism, one in MECHANISMS.items()
    for way, called in one.ways.items()
    for mode in (("hold", "window") if called.streams else ("hold",))
    for fault in faults_for(called, mode)
]


def judged(fault, way, counted, came, sent):
    """What must hold of a cell beside the counts of another one."""
    assert counted.leaks == 0, counted
    assert counted.outcome == shows(fault, way), came.seen
    if way.denied:
        assert sent == []
    elif fault.kind in {"permit", "monitor"}:
        # What the counts would see if it leaked.
        assert way.cached == (characters(IN_PROMPT, "".join(sent)) == 0)
        assert way.answers == (characters(IN_ANSWER, came.seen) > 0)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("mechanism", "way", "mode", "fault"), CELLS)
async def test_nothing_leaks(mechanism, way, mode, fault, upstream, cell, litellm_alone):
    called = MECHANISMS[mechanism].ways[way]

    came, records = await call(MECHANISMS[mechanism], called, mode, fault, upstream)

    upstream.wait()
    sent = all_sent(upstream)
    counted = count(fault, came, sent, PolicyDenied)
    cell("LiteLLM", mechanism, way if mode == "hold" else f"{way}, {mode}", fault, counted)
    judged(fault, called, counted, came, sent)
    assert records
    if fault.watches and (called.answers or fault.stage is not Stage.POST_COMPLETION):
        denied = [one for one in records if not one.permitted]
        assert {one.request.stage for one in denied} == {fault.stage}
        assert not any(one.enforced for one in denied)


PROXIED = [
    pytest.param(way, mode, fault, id=f"{way}, {mode}, {fault}")
    for mode in ("hold", "window")
    for way, asked in WAYS.items()
    if mode == "hold" or asked.streams
    for fault in faults_for(asked, mode)
]


@pytest.mark.parametrize(("way", "mode", "fault"), PROXIED)
def test_no_proxy_leaks(way, mode, fault, proxies, upstream, cell):
    asked, proxy = WAYS[way], proxies[mode]()

    came = ask(asked, fault, proxy, upstream)

    upstream.wait()
    sent = all_sent(upstream)
    counted = count(fault, came, sent, DeniedByProxy)
    cell("LiteLLM", "proxy", way if mode == "hold" else f"{way}, {mode}", fault, counted)
    judged(fault, asked, counted, came, sent)
    if fault.watches and (asked.answers or fault.stage is not Stage.POST_COMPLETION):
        assert proxy.denied_by_now(str(fault)) == {fault.stage}
