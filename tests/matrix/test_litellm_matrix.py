"""No function of LiteLLM's, no router and no proxy leaks, whatever the engine does: counted at both ends."""

from dataclasses import replace

import pytest
from bypass_counting import IN_ANSWER, IN_PROMPT, Fault, all_sent, characters, count
from bypass_litellm import MECHANISMS, call, faults_for, shows
from bypass_proxy import WAYS, DeniedByProxyError
from bypass_proxy import call as ask

from checkrein import PolicyDenied, Stage
from checkrein.testing import Failure

pytestmark = [
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*ReadOnly.*:UserWarning"),
    # What LiteLLM's asynchronous text completions leave open.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]
CELLS = [
    pytest.param(mechanism, way, mode, fault, id=f"{mechanism}, {way}, {mode}, {fault}")
    for mechanism, one in MECHANISMS.items()
    for way, called in one.ways.items()
    for mode in (("hold", "window") if called.streams else ("hold",))
    for fault in faults_for(called, mode)
]


# LiteLLM takes its time for each piece of a stream. The secrets still stand across two of them.
PIECE = 15


@pytest.fixture(autouse=True)
def _larger_pieces(upstream, monkeypatch):
    monkeypatch.setattr(upstream, "chunk_size", PIECE)


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
async def test_nothing_leaks(  # noqa: PLR0913, PLR0917 -- what a cell is about, and where it is
    mechanism, way, mode, fault, lab, upstream, cell, monkeypatch
):
    called = MECHANISMS[mechanism].ways[way]
    monkeypatch.setattr("litellm.cache", None)

    came, records = await call(MECHANISMS[mechanism], called, mode, fault, lab)

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
def test_no_proxy_leaks(  # noqa: PLR0913, PLR0917 -- what a cell is about, and where it is
    way, mode, fault, proxies, upstream, cell
):
    asked, proxy = WAYS[way], proxies[mode]()

    came = ask(asked, fault, proxy, upstream)

    upstream.wait()
    sent = all_sent(upstream)
    counted = count(fault, came, sent, DeniedByProxyError)
    cell("LiteLLM", "proxy", way if mode == "hold" else f"{way}, {mode}", fault, counted)
    judged(fault, asked, counted, came, sent)
    if fault.watches and (asked.answers or fault.stage is not Stage.POST_COMPLETION):
        assert proxy.denied_by_now(str(fault)) == {fault.stage}


def test_whoever_is_denied_cools_no_deployment_of_a_proxy_down(proxies, upstream):
    proxy = proxies["hold"]()
    whole = replace(WAYS["chat"], model="gpt-4o-cool")
    asked = [replace(WAYS[name], model="gpt-4o-cool") for name in ("chat", "chat, streamed", "responses")]

    for fault in faults_for(whole, "hold"):
        for way in asked if fault.refuses else ():
            assert isinstance(ask(way, fault, proxy, upstream).error, DeniedByProxyError)

    assert ask(whole, Fault("permit"), proxy, upstream).error is None
    # What failures of the provider come to there, by whomever.
    broken = replace(whole, replies=Failure(500))
    for _ in range(12):
        ask(broken, Fault("permit"), proxy, upstream)
    assert "cooldown" in str(ask(whole, Fault("permit"), proxy, upstream).error)
