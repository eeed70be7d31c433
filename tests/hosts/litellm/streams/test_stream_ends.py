"""How a stream ends that is denied: by a frame in its endpoint's shape, a status, a reply or an exception."""

from __future__ import annotations

import json
from typing import Any

import pytest
from governed_calls import LITELLMS_OWN_WARNINGS, SSN, point, said
from litellm.types.utils import Delta, ModelResponseStream, StreamingChoices
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from checkrein import AccessRequest, EnforcementPoint, Entity, Settings, Stage, denial_from
from checkrein.testing import StaticEngine, Upstream, deny, permit
from checkrein_litellm import CallDenied, PolicyClient
from checkrein_litellm.endpoints import ENDPOINTS
from checkrein_litellm.proxy.answer_stream import held_back
from checkrein_litellm.proxy.asker import Asker
from checkrein_litellm.proxy.gate import Gate
from checkrein_litellm.streams.last_frame import denial_frame
from checkrein_litellm.streams.reply import reply_stream
from checkrein_litellm.streams.sse import DONE, FrameReader

pytestmark = LITELLMS_OWN_WARNINGS

LONG = "".join(f"word {number} " for number in range(200))
PATHS = {
    "chat": "/v1/chat/completions",
    "completions": "/engines/m/completions",
    "messages": "/v1/messages",
    "responses": "/openai/v1/responses",
    "generate_content": "/v1beta/models/m:streamGenerateContent",
}
SSE = [(b"content-type", b"text/event-stream; charset=utf-8")]
PERSON = Entity(type="user", id="a")


@pytest.fixture
def pep():
    return EnforcementPoint(StaticEngine(deny("leak")), record=lambda _: None)


@pytest.fixture
def denied(pep):
    request = AccessRequest(
        stage=Stage.POST_COMPLETION, subject=PERSON, resource=Entity(type="model", id="m")
    )
    return CallDenied(pep.decide(request))


def frames(raw):
    reader = FrameReader(1_000_000)
    found = reader.take(raw)
    reader.close()
    return found


class Answer:
    """What a proxy sends after its gate let a request in."""

    def __init__(self, pep: EnforcementPoint, path: str) -> None:
        self.asker = Asker(pep)
        self.sent: list[dict[str, Any]] = []
        self.scope = {"type": "http", "method": "POST", "path": path, "headers": []}

    async def run(self, app: Any) -> Answer:
        async def send(message):
            self.sent.append(message)

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        await Gate(app, self.asker)(self.scope, receive, send)
        return self

    @property
    def body(self):
        return b"".join(one.get("body", b"") for one in self.sent)

    @property
    def whole(self):
        """Whether the last message says that it is the last."""
        return not self.sent[-1].get("more_body", False)


@pytest.mark.parametrize("name", PATHS)
def test_every_shape_names_the_decision_and_the_reasons(denied, name):
    told = frames(denial_frame(denied, PATHS[name], 7))
    error = told[0].data["error"]
    assert error["provider_specific_fields"] == denied.provider_specific_fields
    assert error["message"] == denied.message
    assert [one.data for one in told[1:]] == ([DONE] if name in {"chat", "completions", "responses"} else [])
    if name == "messages":
        assert (told[0].name, told[0].data["type"]) == ("error", "error")
    elif name == "generate_content":
        assert (error["code"], error["status"]) == (403, "PERMISSION_DENIED")
    else:
        assert (error["type"], error["code"]) == ("policy_denied", "403")
    if name == "responses":
        event = TypeAdapter(ResponseStreamEvent).validate_python(told[0].data)
        assert (event.type, event.sequence_number) == ("error", 7)


@pytest.mark.parametrize("raised", [False, True])
@pytest.mark.parametrize("name", PATHS)
async def test_whatever_litellm_makes_of_a_denied_stream_its_end_is_the_denial(pep, denied, name, raised):
    async def app(scope, receive, send):
        call = answer.asker.begin(None, {})
        await send({"type": "http.response.start", "status": 200, "headers": SSE})
        await send({"type": "http.response.body", "body": b"data: {}\n\n", "more_body": True})
        call.denial = denied.decision
        if raised:
            raise RuntimeError("the socket would drop")
        await send({"type": "http.response.body", "body": b"data: withheld\n\n", "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    answer = Answer(pep, PATHS[name])
    await answer.run(app)
    assert answer.body == b"data: {}\n\n" + denial_frame(denied, PATHS[name], 1)
    assert answer.whole


async def test_a_stream_denied_before_its_first_frame_has_a_status(pep, denied):
    async def app(scope, receive, send):
        answer.asker.begin(None, {}).denial = denied.decision
        await send({"type": "http.response.start", "status": 200, "headers": SSE})
        await send({"type": "http.response.body", "body": b"data: LiteLLM's own\n\n", "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    answer = Answer(pep, PATHS["responses"])
    await answer.run(app)
    assert answer.sent[0]["status"] == 403
    assert json.loads(answer.body)["error"]["provider_specific_fields"] == denied.provider_specific_fields


async def test_a_failure_of_the_proxy_itself_stays_one(pep):
    async def app(scope, receive, send):
        answer.asker.begin(None, {})
        await send({"type": "http.response.start", "status": 200, "headers": SSE})
        raise RuntimeError("broken")

    answer = Answer(pep, PATHS["chat"])
    with pytest.raises(RuntimeError, match="broken"):
        await answer.run(app)


@pytest.mark.parametrize(
    "operation", ["chat", "text_completion", "messages", "responses", "generate_content"]
)
@pytest.mark.parametrize(
    "asked",
    [
        {"response_format": {"type": "json_schema"}},
        {"text": {"format": {"type": "json_schema"}}},
        {"tool_choice": "required"},
        {"tool_choice": {"type": "tool", "name": "x"}},
        {"tool_choice": {"type": "any"}},
        {"generationConfig": {"responseSchema": {"type": "object"}}},
    ],
)
def test_whoever_cannot_read_a_text_gets_no_reply(denied, operation, asked):
    assert reply_stream(denied, operation, {"model": "m", **asked}) == []
    assert reply_stream(denied, operation, {"model": "m", "tool_choice": "auto"})


def chunk(text):
    return ModelResponseStream(choices=[StreamingChoices(index=0, delta=Delta(content=text))])


@pytest.mark.parametrize("mode", ["hold", "window"])
async def test_another_model_goes_on_with_an_answer_only_while_all_of_it_is_held(mode):
    read = {"detectors": {"post_completion": ["us_ssn"]}, "stream": {"mode": mode}}
    engine = StaticEngine(permit())
    asker = Asker(EnforcementPoint(engine, Settings.model_validate(read), record=lambda _: None))
    data: dict[str, Any] = {"model": "first"}
    call = asker.begin(None, data, ENDPOINTS["acompletion"])
    call.model = "first"

    async def chunks():
        yield chunk(f"{LONG}{LONG}")
        call.model = "second"
        yield chunk(SSN)

    given: list[Any] = []
    failed: CallDenied | None = None
    try:
        async for one in held_back(asker, call, data, chunks()):
            given.append(one)  # noqa: PERF401 -- what came before a denial counts
    except CallDenied as error:
        failed = error
    assert given
    if mode == "hold":
        assert failed is None
        assert [one["resource"]["id"] for one in engine.asked] == ["second"]
    else:
        assert failed is not None
        assert failed.code == "unsupported_answer"
        assert SSN not in str(given)


def test_a_reply_of_the_responses_api_is_made_of_its_events(denied):
    told = [one.data for one in frames(b"".join(reply_stream(denied, "responses", {"model": "m"})))]
    events = [TypeAdapter(ResponseStreamEvent).validate_python(one) for one in told]
    assert events[-1].response.output_text == str(denied)
    assert events[-1].response.incomplete_details.reason == "content_filter"
    assert [one.sequence_number for one in events] == list(range(len(events)))


def test_an_unknown_kind_of_call_gets_no_reply(denied):
    assert reply_stream(denied, "embeddings", {"model": "m"}) == []


async def test_what_left_before_a_denial_in_one_piece_is_read_outside_of_the_proxy_too():
    def answer(request):
        return deny("leak") if request.document["context"].get("findings") else permit()

    answers = {**dict.fromkeys(Stage, permit()), Stage.POST_COMPLETION: answer}
    settings = {"detectors": {"post_completion": ["us_ssn"]}, "stream": {"mode": "window"}}
    client = PolicyClient(point(answers, settings))
    with Upstream(f"{LONG}{LONG}it is {SSN} {LONG}") as upstream:
        stream = await client.anthropic_messages(
            model="anthropic/claude-3-5-sonnet-20241022",
            messages=said("hi"),
            max_tokens=50,
            stream=True,
            api_base=upstream.url.removesuffix("/v1"),
            api_key="k",
        )
        read, failed = b"", None
        try:
            async for chunk in stream:
                read += chunk
        except CallDenied as error:
            failed = error
        await stream.aclose()
    assert denial_from(failed).reasons == ("leak",)
    left = "".join(one.data.get("delta", {}).get("text", "") for one in frames(read))
    assert f"{LONG}{LONG}it is ".startswith(left)
    assert len(left) == failed.decision.document["context"]["released"]
