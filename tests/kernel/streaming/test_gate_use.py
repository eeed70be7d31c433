"""The gate of a stream as an object: wrong use, closing, cancelling."""

import asyncio

import pytest
from gated import delta, make, question

from checkrein.testing import permit
from checkrein.vocabulary import Stage


def test_a_gate_that_is_used_wrongly_says_so():
    pep, _, _ = make(permit())
    with pytest.raises(ValueError, match="no stage of a stream"):
        pep.stream(question(stage=Stage.PRE_PROMPT))
    with pytest.raises(ValueError, match="feed them"):
        pep.stream(question(segments=(delta("a"),)))
    gate = pep.stream(question())
    with pytest.raises(TypeError, match="`bytes`"):
        gate.feed(delta(b"a"))
    gate.feed(delta("a"))
    gate.end((0,))
    gate.end((7,))
    with pytest.raises(ValueError, match="was ended"):
        gate.feed(delta("b"))
    with pytest.raises(ValueError, match="twice"):
        gate.finish(segments=(delta("b"),))
    gate.finish()
    for call in (lambda: gate.feed(delta("b")), gate.finish, lambda: gate.end((0,))):
        with pytest.raises(RuntimeError, match="finished"):
            call()


def test_a_gate_can_be_closed_again_and_again_and_keeps_nothing():
    pep, _, records = make(permit(), mode="hold")
    gate = pep.stream(question())
    gate.feed(delta("secret"))
    gate.close()
    gate.close()
    assert records == []
    with pytest.raises(RuntimeError, match="closed"):
        gate.feed(delta("b"))
    assert "secret" not in repr(gate)


class WaitingEngine:
    """A remote engine that answers when it is told to."""

    name, remote, stages, revision = "waiting", True, frozenset(Stage), None

    def __init__(self):
        self.answered = asyncio.Event()
        self.asked = asyncio.Event()

    async def aevaluate(self, request):
        self.asked.set()
        await self.answered.wait()
        return permit()

    def evaluate(self, request):
        raise NotImplementedError


def test_a_cancellation_passes_and_loses_nothing_of_the_text():
    async def main():
        engine = WaitingEngine()
        pep, _, records = make(engine)
        gate = pep.stream(question())
        task = asyncio.create_task(gate.afeed(delta("a")))
        await engine.asked.wait()
        with pytest.raises(RuntimeError, match="another call"):
            await gate.afeed(delta("b"))
        with pytest.raises(RuntimeError, match="another call"):
            await gate.afinish()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert records == []
        engine.answered.set()
        assert await gate.afeed(delta("b")) == {(0,): "ab"}
        assert await gate.afinish() == {}
        assert [one.request.context["partial"] for one in records] == [True, False]

    asyncio.run(main())
