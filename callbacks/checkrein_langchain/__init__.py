"""What LangChain calls: guarded models, tools and retrievers, a middleware for agents, a callback handler."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from checkrein.errors import MissingExtraError

try:
    import langchain_core  # noqa: F401 -- only whether it is there
except ModuleNotFoundError as error:
    raise MissingExtraError("host", "langchain", "langchain") from error

from .denial import AnswerWithheldError, PolicyDenied
from .guarded import GuardedChatModel, guard
from .handler import PolicyCallbackHandler
from .identity import as_subject
from .missing import MissingPackageError
from .noticing import PolicyWarning
from .retrievers import GuardedRetriever
from .router import PolicyRouter
from .tools import GuardedTool, guard_tool

if TYPE_CHECKING:
    from .gates import atool_gate, tool_gate
    from .middleware import PolicyMiddleware

__all__ = [
    "AnswerWithheldError",
    "GuardedChatModel",
    "GuardedRetriever",
    "GuardedTool",
    "MissingPackageError",
    "PolicyCallbackHandler",
    "PolicyDenied",
    "PolicyMiddleware",
    "PolicyRouter",
    "PolicyWarning",
    "as_subject",
    "atool_gate",
    "guard",
    "guard_tool",
    "tool_gate",
]

# What needs more than `langchain-core`, which is all that the extra brings: the module, and the package.
_LATER = {
    "PolicyMiddleware": ("middleware", "langchain"),
    "atool_gate": ("gates", "langgraph"),
    "tool_gate": ("gates", "langgraph"),
}


def __getattr__(name: str) -> Any:
    """What needs another package, when it is asked for."""
    if name not in _LATER:
        raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
    module, package = _LATER[name]
    try:
        found = getattr(import_module(f"{__name__}.{module}"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("langchain", "langgraph"):
            raise
        raise MissingPackageError(name, package) from error
    globals()[name] = found
    return found
