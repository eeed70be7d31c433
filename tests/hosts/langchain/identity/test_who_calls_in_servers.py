"""Who calls: kept in the streams that a server gives out."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from callers import answering, who
from fastapi import FastAPI
from langchain_core.runnables import RunnableLambda
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from checkrein import acting_as
from checkrein.vocabulary import Stage
from checkrein_langchain import as_subject, guard

STREAMED = {
    "stream": lambda model, user: model.stream("hi"),
    "bound stream": lambda model, user: model.acting_as(user).stream("hi"),
    "chain stream": lambda model, user: (RunnableLambda(lambda text: text) | model).stream(
        "hi", as_subject(user)
    ),
    "astream": lambda model, user: model.astream("hi"),
    "chain astream": lambda model, user: (RunnableLambda(lambda text: text) | model).astream(
        "hi", as_subject(user)
    ),
    "events": lambda model, user: model.astream_events("hi", as_subject(user), version="v2"),
}


@pytest.mark.parametrize("streamed", STREAMED)
@pytest.mark.parametrize("endpoint", ["sync", "async"])
def test_a_streaming_response_keeps_the_subject_of_its_endpoint(lab, endpoint, streamed):
    point = lab.govern()
    model = guard(answering(), point.pep)
    application = FastAPI()

    def respond(user: str) -> StreamingResponse:
        with acting_as(user):
            chunks = STREAMED[streamed](model, user)
        if hasattr(chunks, "__aiter__"):
            return StreamingResponse(str(one) async for one in chunks)
        return StreamingResponse(str(one) for one in chunks)

    async def arespond(user: str) -> StreamingResponse:
        return respond(user)

    application.get("/chat", response_model=None)(respond if endpoint == "sync" else arespond)
    with TestClient(application) as client:
        for user in ("alice", "bob"):
            point.records.clear()
            answer = client.get("/chat", params={"user": user})
            assert answer.status_code == 200
            assert answer.text
            assert who(point)[0] == user


def test_two_streaming_responses_at_once_are_told_apart(lab):
    point = lab.govern()
    model = guard(answering(), point.pep)

    def body(user):
        with acting_as(user):
            chunks = model.stream(user)
        return (one.text for one in chunks)

    async def respond(request):
        return StreamingResponse(body(request.query_params["user"]))

    users = [f"user {number}" for number in range(10)]
    with (
        TestClient(Starlette(routes=[Route("/chat", respond)])) as client,
        ThreadPoolExecutor(4) as pool,
    ):
        list(pool.map(lambda user: client.get("/chat", params={"user": user}), users))

    prompts = [one.request for one in point.records if one.request.stage is Stage.PRE_PROMPT]
    assert sorted(one.subject.id for one in prompts) == users
    assert all(one.subject.id == one.segments[0].text for one in prompts)
