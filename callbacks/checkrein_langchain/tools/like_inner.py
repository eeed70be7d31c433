"""The part of a guarded tool that says what it is: whatever the tool in it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, get_type_hints

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from typing_extensions import override

__all__ = ["ONE_STRING", "LikeInner"]

# LangChain's words for a tool without a schema: one argument, a string.
ONE_STRING: Final = {
    "type": "object",
    "properties": {"__arg1": {"title": "__arg1", "type": "string"}},
    "required": ["__arg1"],
}


class LikeInner(BaseTool):
    """A tool around a tool, which shows itself to models and to LangGraph as that one does.

    Args:
        inner: the tool. Calling it directly passes by the policy.
    """

    inner: BaseTool

    @property
    def func(self) -> Callable[..., Any] | None:
        """Has the annotations of the tool's function, by which LangGraph injects, and cannot be called."""
        inner = getattr(self.inner, "func", None) or getattr(self.inner, "coroutine", None)
        if inner is None:
            return None

        def refuse(*_: Any, **__: Any) -> None:
            raise NotImplementedError("call the guarded tool")

        refuse.__annotations__ = get_type_hints(inner, include_extras=True)
        return refuse

    @property
    @override
    def args(self) -> dict[str, Any]:
        return self.inner.args

    @property
    @override
    def tool_call_schema(self) -> Any:
        return ONE_STRING if self.args_schema is ONE_STRING else self.inner.tool_call_schema

    @override
    def get_input_schema(self, config: RunnableConfig | None = None) -> Any:
        return self.inner.get_input_schema(config)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        yield "name", self.name
        yield "inner", type(self.inner).__name__

    # LangChain asks a tool for these by private names, and has no public ones.

    @property
    @override
    def _injected_args_keys(self) -> frozenset[str]:
        return self.inner._injected_args_keys  # noqa: SLF001 -- see above

    @override
    def _filter_injected_args(self, tool_input: dict[str, Any]) -> dict[str, Any]:
        return self.inner._filter_injected_args(tool_input)  # noqa: SLF001 -- see above

    @override
    def _to_args_and_kwargs(
        self, tool_input: str | dict[str, Any], tool_call_id: str | None
    ) -> tuple[tuple[str, ...], dict[str, Any]]:
        return self.inner._to_args_and_kwargs(tool_input, tool_call_id)  # noqa: SLF001 -- see above
