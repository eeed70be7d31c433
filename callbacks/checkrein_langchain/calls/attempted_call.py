"""A call as one attempt: a denial becomes a reply where the settings say so, and a failure is remembered."""

from __future__ import annotations

from dataclasses import replace

from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableConfig

from checkrein.flow import Flow
from checkrein_langchain.denial import PolicyDenied
from checkrein_langchain.streams.flow import Give, StreamFlow
from checkrein_langchain.streams.steps import Close
from checkrein_langchain.text.answers import chunk_of
from checkrein_langchain.text.calls import said_in

from .attempts import note_failure
from .fallback_runs import note_denial
from .replies import WITHHELD, awaits_text, calls_tools, reply_to
from .streamed_call import StreamedCall

__all__ = ["AttemptedCall"]


class AttemptedCall(StreamedCall):
    """A call as one attempt.

    A prompt that is replied to is taken out of it: callbacks are shown that something was denied, not what.
    `config` is what it is called with, where that is known: a thread may have no context to look it up in.
    """

    def __post_init__(self) -> None:
        StreamedCall.__post_init__(self)
        self.reply: ChatGeneration | None = None
        self.config: RunnableConfig | None = None
        self._asked = self.messages

    def before(self) -> Flow[None]:
        """As `Call.before`; a denial that is replied to is the answer.

        Raises:
            PolicyDenied: the call is denied.
        """
        try:
            yield from StreamedCall.before(self)
        except Exception as error:
            self.reply = self._reply(error)
            if self.reply is None:
                raise
            self.messages, self.stop = [WITHHELD.model_copy()], None
            self.chosen = replace(self.chosen, options={})

    def answer(self) -> Flow[ChatResult]:
        """As `Call.answer`, or the reply.

        Raises:
            PolicyDenied: the call is denied.
        """
        reply = self.reply
        if reply is None:
            try:
                return (yield from StreamedCall.answer(self))
            except Exception as error:
                reply = self._reply(error)
                if reply is None:
                    raise
        return ChatResult(generations=[reply])

    def stream(self) -> StreamFlow:
        """As `StreamedCall.stream`, or the reply as its only chunk, if nothing was given out before.

        Raises:
            PolicyDenied: the call is denied.
        """
        reply = self.reply
        if reply is None:
            try:
                yield from StreamedCall.stream(self)
            except Exception as error:
                reply = self._reply(error)
                if reply is None:
                    raise
            else:
                return
            if self.source is not None:
                yield Close(self.source)
        yield Give(chunk_of(reply))

    def _reply(self, error: Exception) -> ChatGeneration | None:
        """What to answer in place of an error; None when it is raised, and another attempt may follow."""
        if (
            isinstance(error, PolicyDenied)
            and not self.given
            and self.pep.settings.denials.on_denied == "reply"
            and not any(calls_tools(one) for one in self.heard)
            and awaits_text(self.model, self.stop, {**self.options, **self.sent})
        ):
            return reply_to(error, self.heard)
        note_denial(error, self.config)
        note_failure(self.pep, self.attempt, self.who.subject, said_in(self._asked, self._most))
        return None
