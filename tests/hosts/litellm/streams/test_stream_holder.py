"""What holds the events of a stream: one law in every shape, however it is cut and wherever it is denied."""

from __future__ import annotations

import json
from typing import Any

import pytest
from governed_calls import LITELLMS_OWN_WARNINGS, REDACT, REDACTED, SSN
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_apis import APIS, SIGNATURE, Google, Messages, Responses, cut, stream

from checkrein import AccessRequest, EnforcementPoint, Entity, Settings, Stage
from checkrein.errors import RequestError
from checkrein.flow import run
from checkrein.testing import StaticEngine, deny, obligation, permit
from checkrein_litellm.denial import CallDenied
from checkrein_litellm.streams.holder import EventHolder
from checkrein_litellm.streams.sse import frame
from checkrein_litellm.text.surfaces import UnwritableError

pytestmark = LITELLMS_OWN_WARNINGS

LONG = "".join(f"word {number} " for number in range(60))
BOTH = pytest.mark.parametrize("mode", ["hold", "window"])
MODEL = Entity(type="model", id="m")


class RefusedError(Exception):
    """What a host raises that refuses."""


class Host:
    def __init__(self, answer: Any, mode: str, **more: Any) -> None:
        self.engine = StaticEngine({**dict.fromkeys(Stage, permit()), Stage.POST_COMPLETION: answer})
        read = {"detectors": {"post_completion": ["us_ssn"]}, "stream": {"mode": mode}, **more}
        self.pep = EnforcementPoint(self.engine, Settings.model_validate(read), record=self.note)
        self.decisions: list[Any] = []
        self.limits = self.pep.settings.limits
        self.let_pass = False
        self.settled: list[Any] = []

    def note(self, decision: Any) -> None:
        self.decisions.append(decision)

    def gate(self):
        request = AccessRequest(
            stage=Stage.POST_COMPLETION,
            subject=Entity(type="user", id="a"),
            resource=MODEL,
            supports=frozenset({"redact", "replace"}),
        )
        return self.pep.stream(request, exception=CallDenied)

    def stand(self):
        pass

    def refuse(self, code, message):
        raise RefusedError(code)

    def write(self, decision, change):
        change()

    def settle(self, tokens):
        self.settled.append(tokens)


class Held:
    """A holder that is fed: what has left after each chunk, and at the end."""

    def __init__(self, host, shape):
        self.holder = EventHolder(host, shape)
        self.left: list[Any] = []

    def feed(self, chunks):
        for chunk in chunks:
            try:
                self.left += run(self.holder.take(chunk))
            except CallDenied:
                self.left += self.holder.leftover()
                raise
        return self

    def finish(self):
        self.left += run(self.holder.finish())
        return self.left


@BOTH
@APIS
def test_a_permitted_stream_says_what_it_said(api, mode):
    made = api()
    said = [
        ("think", cut(f"hm {LONG}")),
        ("text", cut(f"it is {SSN} {LONG}")),
        ("call", cut('{"who": "me"}')),
    ]
    chunks = stream(made, *said)
    host = Host(permit(), mode)
    left = Held(host, made.shape()).feed(chunks).finish()
    read = made.read(left)
    assert read["thought"] == f"hm {LONG}"
    assert read["text"] == f"it is {SSN} {LONG}"
    assert json.loads(read["arguments"]) == {"who": "me"}
    made.whole(left)
    assert SIGNATURE in made.raw(left) or api is Responses
    assert host.settled[-1]["completion_tokens"] == 2
    if mode == "hold":
        assert made.raw(left) == made.raw(
            [frame(one) for one in made.data(chunks)] if api is Google else chunks
        )


@BOTH
@APIS
def test_what_is_redacted_is_so_wherever_it_is_told(api, mode):
    made = api()
    arguments = json.dumps({"who": SSN})
    said = [("think", cut(f"hm {SSN} {LONG}")), ("text", cut(f"{LONG}it is {SSN}")), ("call", cut(arguments))]
    left = Held(Host(REDACT, mode), made.shape()).feed(stream(made, *said)).finish()
    read = made.read(left)
    assert read["thought"] == f"hm {REDACTED} {LONG}"
    assert read["text"] == f"{LONG}it is {REDACTED}"
    assert json.loads(read["arguments"]) == {"who": REDACTED}
    assert SSN[4:] not in made.raw(left)
    made.whole(left)


@APIS
def test_in_a_window_thoughts_and_text_leave_before_the_end(api):
    made = api()
    chunks = stream(made, ("think", cut(LONG)), ("text", cut(LONG * 3)), ("call", cut('{"who": "me"}')))
    held = Held(Host(REDACT, "window"), made.shape()).feed(chunks[:-2])
    read = made.read(held.left)
    assert read["thought"] == LONG
    assert len(read["text"]) > len(LONG) * 2
    assert read["arguments"] == ""
    assert "look_up" not in made.raw(held.left)


@APIS
def test_what_comes_after_a_call_of_a_tool_waits(api):
    made = api()
    chunks = stream(made, ("text", cut(LONG)), ("call", ['{"who": "', f'{SSN}"}}']), ("text", cut(LONG)))
    held = Held(Host(REDACT, "window"), made.shape()).feed(chunks)
    assert REDACTED not in made.raw(held.left)
    left = held.finish()
    assert made.read(left)["text"] == LONG * 2
    assert SSN not in made.raw(left)


@APIS
def test_a_denial_lets_nothing_more_leave(api):
    made = api()

    def answer(request):
        return deny("leak") if request.document["context"]["findings"] else permit()

    held = Held(Host(answer, "window"), made.shape())
    with pytest.raises(CallDenied):
        held.feed(stream(made, ("text", cut(f"{LONG}it is {SSN} {LONG}"))))
    assert f"{LONG}it is ".startswith(made.read(held.left)["text"])
    assert made.read(held.left)["text"]
    with pytest.raises(CallDenied):
        held.finish()


@BOTH
@APIS
def test_a_replacement_stands_for_everything(api, mode):
    made = api()
    verdict = permit(obligation("replace", text="withheld"))
    left = Held(Host(verdict, mode), made.shape()).feed(stream(made, ("text", cut(LONG)))).finish()
    assert made.read(left)["text"] == "withheld"
    assert "word" not in made.raw(left)
    made.whole(left)


@BOTH
@APIS
def test_monitoring_lets_every_chunk_pass_as_it_comes(api, mode):
    made = api()
    chunks = stream(made, ("text", cut(f"it is {SSN}")), ("call", ['{"who": "me"}']))
    host = Host(deny("no"), mode, enforcement={"default": "monitor"})
    held = Held(host, made.shape()).feed(chunks)
    assert held.left == chunks
    assert held.finish() == chunks
    assert [one.reasons[0].code for one in host.decisions] == ["no"]
    assert host.decisions[0].document["context"]["completion"]["text"].startswith(f"it is {SSN}")


@BOTH
@APIS
def test_a_stream_that_says_too_much_is_refused(api, mode):
    made = api()
    for said in (("text", cut("x" * 3000)), ("call", cut(json.dumps({"a": "x" * 30_000}), 100))):
        made = api()
        with pytest.raises((RefusedError, CallDenied, RequestError)):
            Held(Host(permit(), mode, limits={"text": 1000}), made.shape()).feed(stream(made, said)).finish()


@APIS
def test_a_text_that_goes_on_after_its_end_is_judged_as_one(api):
    made = api()
    chunks = stream(made, ("think", ["my number is 123-"]), ("text", cut(LONG)), ("think", ["45-6789, so"]))
    held = Held(Host(REDACT, "window"), made.shape()).feed(chunks)
    separate = api in {Messages, Responses}
    if separate:
        assert made.read(held.finish())["thought"] == "my number is 123-45-6789, so"
        return
    with pytest.raises((UnwritableError, CallDenied)):
        held.finish()
    assert "6789" not in made.raw(held.left)
    made = api()
    chunks = stream(made, ("think", ["so it is. "]), ("text", cut(LONG)), ("think", [f"{SSN} it is"]))
    left = Held(Host(REDACT, "window"), made.shape()).feed(chunks).finish()
    assert made.read(left)["thought"] == f"so it is. {REDACTED} it is"


pieces = st.sampled_from(["a ", "word, ", f"it is {SSN} ", f"{SSN} ", "ü\u2028 ", "\n", "12 ", "3-4 "])
turns = st.lists(
    st.tuples(st.sampled_from(["think", "text", "call"]), st.lists(pieces, min_size=1, max_size=12)),
    max_size=5,
)


@APIS
@settings(max_examples=60, deadline=None)
@given(said=turns, size=st.integers(1, 9), data=st.data())
def test_a_window_says_what_a_whole_says(api, said, size, data):
    # What is thought after the text began is another matter.
    order = {"think": 0, "text": 1, "call": 2}
    said = sorted(said, key=lambda turn: order[turn[0]])
    told = [
        (kind, cut(json.dumps({"a": "".join(one)}) if kind == "call" else "".join(one), size))
        for kind, one in said
    ][: data.draw(st.integers(0, 5))]
    if sum(kind == "call" for kind, _ in told) > 1:
        told = [one for one in told if one[0] != "call"]
    seen = []
    for mode in ("hold", "window"):
        made = api()
        left = Held(Host(REDACT, mode), made.shape()).feed(stream(made, *told)).finish()
        assert SSN not in made.raw(left)
        made.whole(left)
        seen.append(made.read(left))
    assert seen[0] == seen[1]
    for kind, key in (("think", "thought"), ("text", "text")):
        whole = "".join("".join(one) for what, one in told if what == kind)
        assert seen[0][key] == whole.replace(SSN, REDACTED)
