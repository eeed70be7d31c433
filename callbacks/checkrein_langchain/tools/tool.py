"""A tool around a tool: what it is called with and what it gives back is governed, wherever it is called.

Before it runs, policy is asked above LangChain's callbacks; about what it gave back, below them: no trace and
no event holds what policy redacts or denies.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from langchain_core.tools import BaseTool, Tool
from typing_extensions import override

from checkrein.enforcement import EnforcementPoint
from checkrein.flow import arun, run
from checkrein.vocabulary import Entity
from checkrein_langchain.denial import PolicyDenied
from checkrein_langchain.identity import bound_identity

from .calling_convention import Telling
from .execution import JudgedTool
from .governed_runs import governed
from .like_inner import ONE_STRING
from .use import TOOL_STAGES

__all__ = ["GuardedTool", "around", "guard_tool"]


def guard_tool(
    tool: BaseTool, pep: EnforcementPoint, *, on_denied: Literal["raise", "reply"] = "raise"
) -> GuardedTool:
    """Govern a tool.

        search = guard_tool(search, EnforcementPoint.from_settings("checkrein.yaml"))

    Args:
        tool: any tool; its name, description, schema, ways of handling errors and of being called are kept.
        pep: decides, before it runs and about what it gave back.
        on_denied: `raise` a `PolicyDenied`; or `reply` with its text, to a model as an error message.

    Raises:
        TypeError: `tool` is no tool.
        SettingsError: a stage is neither covered by an engine nor listed as `unchecked`.
    """
    if not isinstance(tool, BaseTool):
        raise TypeError(f"`{type(tool).__name__}` is no tool; make it one with LangChain's `tool`")
    pep.require(TOOL_STAGES)
    return around(tool, pep, replies=on_denied == "reply")


def around(tool: BaseTool, pep: EnforcementPoint, *, replies: bool) -> GuardedTool:
    """A governed tool; a governed one is taken as what is in it."""
    inner = tool.inner if isinstance(tool, GuardedTool) and tool.pep is pep else tool
    worn = {name: getattr(inner, name) for name in BaseTool.model_fields}
    if isinstance(inner, Tool) and inner.args_schema is None:
        worn["args_schema"] = ONE_STRING
    if inner.handle_tool_error:
        worn["handle_tool_error"] = Telling(inner.handle_tool_error)
    return GuardedTool(**worn, inner=inner, pep=pep, replies=replies)


class GuardedTool(JudgedTool):
    """A tool whose use is governed; made by `guard_tool`."""

    def acting_as(self, user: Entity | str) -> Self:
        """A copy that is used for a subject, wherever it runs.

        Args:
            user: who acts; a string is the id of a `user`.
        """
        return self.model_copy(update={"identity": bound_identity(user)})

    # Ways of calling it, above the callbacks

    @override
    def run(self, tool_input: str | dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Use it, if policy permits."""
        visible, hidden = self.split(tool_input)
        use = self.opened(visible, kwargs)
        try:
            if use is not self.use:
                run(use.before())
        except PolicyDenied as error:
            denied = error
        else:
            with governed(self.pep, "tool"):
                given = _joined(use.arguments, hidden)
                return BaseTool.run(self.model_copy(update={"use": use}), given, *args, **kwargs)
        return self.replied(denied, use)

    @override
    async def arun(self, tool_input: str | dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """As `run`."""
        visible, hidden = self.split(tool_input)
        use = self.opened(visible, kwargs)
        try:
            if use is not self.use:
                await arun(use.before())
        except PolicyDenied as error:
            denied = error
        else:
            with governed(self.pep, "tool"):
                given = _joined(use.arguments, hidden)
                return await BaseTool.arun(self.model_copy(update={"use": use}), given, *args, **kwargs)
        return self.replied(denied, use)


def _joined(arguments: Any, hidden: dict[str, Any]) -> Any:
    return {**arguments, **hidden} if isinstance(arguments, dict) else arguments
