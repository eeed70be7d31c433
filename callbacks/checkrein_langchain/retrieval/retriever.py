"""A retriever around a retriever: its query is judged, and its documents are, one by one.

A document that policy denies is left out; one that it redacts is rewritten, with what is known about it. The
retriever runs out of earshot of callbacks: their traces would hold what is left out.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, Self

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config
from pydantic import Field, model_validator
from typing_extensions import override

from checkrein.enforcement import EnforcementPoint
from checkrein.flow import Flow, arun, run
from checkrein.identity import Identity
from checkrein.vocabulary import Entity, Origin
from checkrein_langchain.denial import PolicyDenied
from checkrein_langchain.identity import bound_identity, identity_of
from checkrein_langchain.inner_model.unheard import unheard
from checkrein_langchain.text.reader import is_word
from checkrein_langchain.text.tool_outputs import Output
from checkrein_langchain.tools.governed_runs import governed
from checkrein_langchain.tools.use import TOOL_STAGES, Use, call_id_of

__all__ = ["GuardedRetriever"]

# A remote engine is asked about so many documents at a time.
_AT_ONCE: Final = 16
_ABOUT_RUN: Final = ("run_id", "verbose")


class GuardedRetriever(BaseRetriever):
    """A retriever that is governed.

        GuardedRetriever(retriever=store.as_retriever(), pep=pep)

    Args:
        retriever: the retriever. Calling it directly passes by the policy.
        pep: decides, about the query and about each document.
        identity: for whom it is used, or None to find out per call.
        use: the use that this copy is made for.

    Raises:
        SettingsError: a stage is neither covered by an engine nor listed as `unchecked`.
    """

    retriever: BaseRetriever
    pep: EnforcementPoint = Field(exclude=True, repr=False)
    identity: Identity | None = Field(default=None, exclude=True, repr=False)
    use: Any = Field(default=None, exclude=True, repr=False)

    @model_validator(mode="after")
    def _covered(self) -> Self:
        self.pep.require(TOOL_STAGES)
        return self

    def acting_as(self, user: Entity | str) -> Self:
        """A copy that is used for a subject, wherever it runs.

        Args:
            user: who acts; a string is the id of a `user`.
        """
        return self.model_copy(update={"identity": bound_identity(user)})

    @override
    def invoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> list[Document]:
        """Retrieve what policy permits.

        Raises:
            PolicyDenied: the query is denied.
        """
        known = ensure_config(config)
        use = self._opened(input, known, kwargs)
        run(use.before())
        query, options = _split(use.arguments)
        with governed(self.pep, "retriever"):
            return BaseRetriever.invoke(self._for(use), query, known, **_about_run(kwargs), **options)

    @override
    async def ainvoke(
        self, input: str, config: RunnableConfig | None = None, **kwargs: Any
    ) -> list[Document]:
        """As `invoke`."""
        known = ensure_config(config)
        use = self._opened(input, known, kwargs)
        await arun(use.before())
        query, options = _split(use.arguments)
        with governed(self.pep, "retriever"):
            return await BaseRetriever.ainvoke(self._for(use), query, known, **_about_run(kwargs), **options)

    @override
    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        use = self._judged_use(query, kwargs)
        if use is not self.use:
            run(use.before())
        given, options = _split(use.arguments)
        quiet = CallbackManagerForRetrieverRun.get_noop_manager()
        method = self.retriever._get_relevant_documents  # noqa: SLF001 -- below its callbacks
        with unheard(quiet, run_manager.handlers):
            documents = method(given, **self._wanted(quiet, options))
        judged = [run(self._judge(use, one)) for one in documents]
        return [one for one in judged if one is not None]

    @override
    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        use = self._judged_use(query, kwargs)
        if use is not self.use:
            await arun(use.before())
        given, options = _split(use.arguments)
        quiet = AsyncCallbackManagerForRetrieverRun.get_noop_manager()
        method = self.retriever._aget_relevant_documents  # noqa: SLF001 -- below its callbacks
        with unheard(quiet, run_manager.handlers):
            documents = await method(given, **self._wanted(quiet, options))
        judged: list[Document | None] = []
        for start in range(0, len(documents), _AT_ONCE):
            some = documents[start : start + _AT_ONCE]
            judged += await asyncio.gather(*(arun(self._judge(use, one)) for one in some))
        return [one for one in judged if one is not None]

    def _judged_use(self, query: str, options: dict[str, Any]) -> Use:
        if self.use is not None and self.use.is_judged({**options, "query": query}):
            use: Use = self.use
            return use
        return self._opened(query, ensure_config(), options)

    def _opened(self, query: str, config: RunnableConfig, options: dict[str, Any]) -> Use:
        told = self._get_ls_params().get("ls_retriever_name")
        return Use(
            self.pep,
            identity_of(self.pep.settings, config, None, self.identity),
            Entity(type="retriever", id=str(told or type(self.retriever).__name__)),
            call_id_of(config, None),
            {**{key: value for key, value in options.items() if key not in _ABOUT_RUN}, "query": query},
            facts={"operation": "retrieval"},
        )

    def _for(self, use: Use) -> Self:
        return self.model_copy(update={"use": use})

    def _wanted(self, manager: Any, options: dict[str, Any]) -> dict[str, Any]:
        """What LangChain would pass to the retriever besides the query."""
        inner = self.retriever
        given = dict(options) if inner._expects_other_args else {}  # noqa: SLF001 -- LangChain's own
        if inner._new_arg_supported:  # noqa: SLF001 -- the same
            given["run_manager"] = manager
        return given

    def _judge(self, use: Use, document: Document) -> Flow[Document | None]:
        """The document as policy permits it, or None."""
        data = {"page_content": document.page_content, "metadata": document.metadata}
        if document.id is not None and not is_word(document.id):
            data["id"] = document.id
        try:
            output = yield from use.after(Output(data, origin=Origin.RETRIEVED))
        except PolicyDenied:
            return None
        if output.content is data:
            return document
        return document.model_copy(update=output.content)

    @override
    def get_name(self, suffix: str | None = None, *, name: str | None = None) -> str:
        return self.retriever.get_name(suffix, name=name or self.name)

    @override
    def _get_ls_params(self, **kwargs: Any) -> Any:
        return self.retriever._get_ls_params(**kwargs)  # noqa: SLF001 -- LangChain has no public way


def _split(arguments: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    options = dict(arguments)
    return options.pop("query"), options


def _about_run(options: dict[str, Any]) -> dict[str, Any]:
    return {key: options[key] for key in _ABOUT_RUN if key in options}
