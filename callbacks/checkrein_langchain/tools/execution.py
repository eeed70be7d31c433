"""The part of a guarded tool below LangChain's callbacks: they hear of its output when that is judged."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import is_dataclass, replace
from typing import Any, Self

from langchain_core.callbacks import AsyncCallbackManagerForToolRun, CallbackManagerForToolRun
from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config
from langchain_core.tools import BaseTool, ToolException
from pydantic import Field
from typing_extensions import override

from checkrein.enforcement import EnforcementPoint
from checkrein.flow import Flow, arun, run
from checkrein.identity import Identity
from checkrein.vocabulary import Entity
from checkrein_langchain.denial import PolicyDenied
from checkrein_langchain.identity import identity_of
from checkrein_langchain.inner_model.unheard import unheard, without_streams
from checkrein_langchain.text.tool_outputs import Output, as_content, is_data, is_outputs

from .calling_convention import PASSING, RedactedToolError, chain_of, wanted, without_deltas
from .governed_runs import ungoverned
from .held_writing import HeldWriting
from .like_inner import LikeInner
from .steering import judged_steering
from .use import Use, call_id_of

__all__ = ["JudgedTool", "refusal"]


class JudgedTool(LikeInner):
    """A tool around a tool, made for one use: asks policy about what it gave back.

    Args:
        pep: decides.
        replies: whether a denial is a reply, or raised.
        identity: for whom it is used, or None to find out per call.
        use: the use that this copy of the tool is made for.
    """

    pep: EnforcementPoint = Field(exclude=True, repr=False)
    replies: bool = False
    identity: Identity | None = Field(default=None, exclude=True, repr=False)
    use: Any = Field(default=None, exclude=True, repr=False)

    def opened(self, arguments: Any, options: Mapping[str, Any]) -> Use:
        """The use that was judged, or another one where these are not the arguments that were judged.

        Args:
            arguments: what the tool is called with.
            options: the options of the call: `config`, `metadata`, `tool_call_id`.
        """
        if self.use is not None and self.use.is_judged(arguments):
            use: Use = self.use
            return use
        config = ensure_config(options.get("config"))
        tool_call_id = options.get("tool_call_id")
        who = self.use.who if self.use is not None else None
        return Use(
            self.pep,
            who or identity_of(self.pep.settings, config, options.get("metadata"), self.identity),
            Entity(type="tool", id=self.inner.name),
            self.use.call_id if self.use is not None else call_id_of(config, tool_call_id),
            arguments,
            tool_call_id,
            replies=self.replies,
            **({"facts": self.use.facts, "tell": self.use.tell} if self.use is not None else {}),
        )

    def split(self, tool_input: Any) -> tuple[Any, dict[str, Any]]:
        """What the caller or a model wrote, and what the application injects.

        Args:
            tool_input: what the tool is called with.
        """
        if not isinstance(tool_input, dict):
            return tool_input, {}
        # LangChain hides two more names from callbacks: a model could write them, too.
        shown = self._filter_injected_args(tool_input).keys() | {"callbacks", "run_manager"}
        return (
            {key: value for key, value in tool_input.items() if key in shown},
            {key: value for key, value in tool_input.items() if key not in shown},
        )

    @override
    def _run(
        self,
        *args: Any,
        config: RunnableConfig,
        run_manager: CallbackManagerForToolRun | None = None,
        **kwargs: Any,
    ) -> Any:
        tool, args, kwargs = run(self._for_use(args, kwargs, config))
        if tool.use.changed is not None:
            return tool._unused(tool.use.changed)  # noqa: SLF001 -- its own
        response: Any = None
        failure: Exception | None = None
        method = self.inner._run  # noqa: SLF001 -- above it, callbacks would hear of what it gives back
        try:
            with (
                ungoverned(),
                without_deltas(),
                tool._withheld(config, run_manager) as (inside, manager, held),  # noqa: SLF001 -- its own
            ):
                kwargs = {key: _within(one, inside, held) for key, one in kwargs.items()}
                response = method(*args, **kwargs, **wanted(method, inside, manager))
        except PASSING as steering:
            return run(tool._steered(steering, held))  # noqa: SLF001 -- its own
        except Exception as error:  # noqa: BLE001 -- its text is judged as a result is
            failure = error
        return run(tool._outcome(response, failure, held))  # noqa: SLF001 -- its own

    @override
    async def _arun(
        self,
        *args: Any,
        config: RunnableConfig,
        run_manager: AsyncCallbackManagerForToolRun | None = None,
        **kwargs: Any,
    ) -> Any:
        tool, args, kwargs = await arun(self._for_use(args, kwargs, config))
        if tool.use.changed is not None:
            return tool._unused(tool.use.changed)  # noqa: SLF001 -- its own
        response: Any = None
        failure: Exception | None = None
        method = self.inner._arun  # noqa: SLF001 -- see above
        inherited = type(self.inner)._arun is BaseTool._arun  # noqa: SLF001 -- as LangChain asks
        told = self.inner._run if inherited else method  # noqa: SLF001 -- the same
        try:
            with (
                ungoverned(),
                without_deltas(),
                tool._withheld(config, run_manager) as (inside, manager, held),  # noqa: SLF001 -- its own
            ):
                kwargs = {key: _within(one, inside, held) for key, one in kwargs.items()}
                response = await method(*args, **kwargs, **wanted(told, inside, manager))
        except PASSING as steering:
            return await arun(tool._steered(steering, held))  # noqa: SLF001 -- its own
        except Exception as error:  # noqa: BLE001 -- its text is judged as a result is
            failure = error
        return await arun(tool._outcome(response, failure, held))  # noqa: SLF001 -- its own

    def _for_use(
        self, args: tuple[Any, ...], options: dict[str, Any], config: RunnableConfig
    ) -> Flow[tuple[Self, tuple[Any, ...], dict[str, Any]]]:
        """The copy that is made for this use; one in another governed tool has none yet."""
        if self.use is not None:
            return self, args, options
        visible, hidden = self.split(args[0] if args else options)
        use = self.opened(visible, {"config": config})
        yield from use.before()
        given, named = ((use.arguments,), options) if args else ((), {**use.arguments, **hidden})
        return self.model_copy(update={"use": use}), given, named

    @contextmanager
    def _withheld(
        self, config: RunnableConfig, run_manager: Any
    ) -> Iterator[tuple[RunnableConfig, Any, HeldWriting | None]]:
        """The config and the manager for the tool: where its result may be denied, nobody hears how it came.

        What its models, retrievers and subagents say would reach callbacks, traces and streams unjudged; what
        it writes into a stream itself is held.
        """
        use: Use = self.use
        if not use.judges_results:
            yield config, run_manager, None
            return
        held = HeldWriting(self.pep.settings.limits)
        quiet = type(run_manager).get_noop_manager() if run_manager is not None else None
        with unheard(quiet) as callbacks, held.installed():
            yield held.within(without_streams({**(config or {}), "callbacks": callbacks})), quiet, held

    def _outcome(self, response: Any, failure: Exception | None, held: HeldWriting | None) -> Flow[Any]:
        use: Use = self.use
        pair = self.response_format == "content_and_artifact"
        if failure is None and pair and not (isinstance(response, tuple) and len(response) == 2):  # noqa: PLR2004 -- a pair
            return response  # LangChain refuses it and names its type alone
        try:
            if failure is not None:
                yield from self._told(use, failure, held)
            content, artifact = response if pair else (response, None)
            content, artifact = yield from self._judged(use, Output(content, artifact), held)
        except PolicyDenied as error:
            denied = error
        else:
            return (content, artifact) if pair else content
        return self._unused(denied)

    def _steered(self, error: Exception, held: HeldWriting | None) -> Flow[Any]:
        """Raise what steers the graph, as far as policy lets the text in it be told."""
        parts = judged_steering(error)
        try:
            part = next(parts)
            while True:
                part = parts.send((yield from _after(self.use, part, held)))
                held = None  # it left with the first part
        except StopIteration:
            raise error from None
        except PolicyDenied as refused:
            denied = refused
        return self._unused(denied)

    def _unused(self, denied: PolicyDenied) -> Any:
        """What LangChain is given in place of what the tool gives back."""
        content = self.replied(denied, self.use)
        return (content, None) if self.response_format == "content_and_artifact" else content

    def _judged(self, use: Use, given_back: Output, held: HeldWriting | None) -> Flow[tuple[Any, Any]]:
        content = given_back.content
        if is_outputs(content):
            output = yield from _after(use, given_back, held)
            use.show(output.content)
            return output.content, output.artifact
        given, opaque = content, False
        if use.tool_call_id is not None:
            # What LangChain shows of an object is its text, and so that is judged.
            content = content if _is_json(content) else as_content(content)
        elif not is_data(content) and not is_dataclass(content):
            content, opaque = as_content(content), True
        output = yield from _after(use, replace(given_back, content=content, opaque=opaque), held)
        if use.tool_call_id is None:
            return (given if opaque and output.content == content else output.content), output.artifact
        message = ToolMessage(
            as_content(output.content),
            artifact=output.artifact,
            tool_call_id=use.tool_call_id,
            name=self.name,
            status="success",
        )
        use.show(message)
        return message, output.artifact

    def _told(self, use: Use, failure: Exception, held: HeldWriting | None) -> Flow[None]:
        """Raise what the tool raised, as far as policy lets it be told."""
        tell = self.handle_tool_error
        told = tell(failure) if isinstance(failure, ToolException) and callable(tell) else str(failure)
        everything = Output(told, [repr(one) for one in chain_of(failure)])
        output = yield from _after(use, everything, held)
        if use.tool_call_id is not None:
            use.show(ToolMessage(as_content(output.content), tool_call_id=use.tool_call_id, name=self.name))
        changed = (output.content, output.artifact) != (everything.content, everything.artifact)
        raise RedactedToolError(output.content) if changed else failure

    def replied(self, denied: PolicyDenied, use: Use) -> Any:
        """What a denied use gives back, if it gives anything back.

        Raises:
            PolicyDenied: it does not.
        """
        if not use.replies:
            raise denied
        return refusal(denied, use) if use.tool_call_id else str(denied)

    @override
    def _to_args_and_kwargs(
        self, tool_input: str | dict[str, Any], tool_call_id: str | None
    ) -> tuple[tuple[str, ...], dict[str, Any]]:
        if self.use is not None:
            self.use.check(self.split(tool_input)[0])
        return super()._to_args_and_kwargs(tool_input, tool_call_id)


def _after(use: Use, output: Output, held: HeldWriting | None) -> Flow[Output]:
    """Ask about what a tool gave back and what it wrote into a stream meanwhile, which leaves then."""
    if held is None:
        return (yield from use.after(output))
    output = yield from use.after(replace(output, streamed=held.events(output)))
    held.give_out(output.streamed)
    return output


def _within(argument: Any, config: RunnableConfig, held: HeldWriting | None) -> Any:
    """An argument as the tool gets it: LangGraph's `ToolRuntime` brings the config of the call as well."""
    if is_dataclass(argument) and type(argument).__name__ == "ToolRuntime":
        runtime = replace(argument, config=config)  # type: ignore[type-var]
        return runtime if held is None else held.within_runtime(runtime)
    return argument


def refusal(denied: PolicyDenied, use: Use) -> ToolMessage:
    """What a model is told of a denied use: why, as a caller may see it, and the id of the decision."""
    message = ToolMessage(
        str(denied), name=use.resource.id, tool_call_id=use.tool_call_id or "", status="error"
    )
    use.show(message)
    return message


def _is_json(value: Any) -> bool:
    if isinstance(value, str):
        return True
    try:
        json.dumps(value, ensure_ascii=False)
    except (RecursionError, TypeError, ValueError):
        return False
    return True
