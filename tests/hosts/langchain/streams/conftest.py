"""What the tests of windows share: points whose detectors have a bound, and a model of any chunks."""

import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import Field
from verdicts import REDACT

from checkrein.detection import Detectors, Span
from checkrein.vocabulary import Stage
from checkrein_langchain import guard

LONGEST = 9


def find_secrets(text):
    return [Span("secret", *hit.span()) for hit in re.finditer("[§¤¶]{1,9}", text)]


class Told(BaseChatModel):
    """Streams the chunks that it is told, and raises what stands among them."""

    told: list[Any]
    # Whoever is kept here is closed by no garbage collector.
    streams: list[Any] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "told"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs) -> ChatResult:
        whole = sum_of(self.told)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(whole.message.content))])

    def _stream(self, messages, stop=None, run_manager=None, **kwargs) -> Iterator[ChatGenerationChunk]:
        self.streams.append(self._said())
        return self.streams[-1]

    def _astream(self, messages, stop=None, run_manager=None, **kwargs) -> AsyncIterator[ChatGenerationChunk]:
        self.streams.append(self._asaid())
        return self.streams[-1]

    def _said(self):
        for one in self.told:
            if isinstance(one, Exception):
                raise one
            yield ChatGenerationChunk(message=one.model_copy(deep=True))

    async def _asaid(self):
        for chunk in self._said():
            yield chunk


def sum_of(chunks):
    """What LangChain adds chunks up to."""
    first, *others = chunks
    for one in others:
        first += one
    return first


class OnFirst(BaseCallbackHandler):
    """Does something once, when the first text of an answer is heard of."""

    def __init__(self, act):
        self.act = act
        self.heard = []

    def on_llm_new_token(self, token, **kwargs):
        self.tell(token)

    def on_stream_event(self, event, **kwargs):
        if event["event"] == "content-block-delta":
            self.tell(event["delta"].get("text"))

    def tell(self, text):
        if text and not self.heard:
            self.heard.append(text)
            self.act()


@pytest.fixture
def window(govern):
    """Makes an enforcement point as `govern` does, that streams in a window."""

    def make(answers=None, *, longest=LONGEST, **settings):
        point = govern(answers, stream={"mode": "window"}, **settings)
        point.pep._concluder.detectors = Detectors(
            dict.fromkeys(Stage, frozenset({"secret"})),
            dict.fromkeys(Stage, (find_secrets,)),
            dict.fromkeys(Stage, longest),
        )
        return point

    return make


@pytest.fixture
def told():
    """Makes a model that streams what it is told: `told(AIMessageChunk("a"), ...)`."""
    return lambda *chunks: Told(told=list(chunks))


@pytest.fixture
def on_first():
    """Makes a callback handler that does something when it hears of the first text of an answer."""
    return OnFirst


@pytest.fixture
def add_up():
    """Adds chunks up as LangChain does."""
    return sum_of


@pytest.fixture
def redacting(window):
    """A point that redacts every answer."""
    return window({Stage.POST_COMPLETION: REDACT})


@pytest.fixture
def stream(redacting, told):
    """Streams chunks through a guarded model; by default answers are redacted."""
    return lambda *chunks, point=redacting: list(guard(told(*chunks), point.pep).stream("hi"))
