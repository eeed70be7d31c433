"""What LangChain calls: guarded models, tools and retrievers, a middleware for agents, a callback handler."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from checkrein.errors import MissingExtraError

try:
    import langchain_core  # noqa: F401 -- only whether it is there
except ModuleNotFoundError as error:
    raise MissingExtraError("host", "langchain", "langchain") from error

from .denial import PolicyDenied
from .errors import AnswerWithheldError, MissingPackageError, PolicyWarning
from .guarded_model.guard import guard
from .guarded_model.model import GuardedChatModel
from .handler.handler import PolicyCallbackHandler
from .identity import as_subject
from .retrieval.retriever import GuardedRetriever
from .routing.router import PolicyRouter
from .tools.tool import GuardedTool, guard_tool

if TYPE_CHECKING:
    from .agents.middleware import PolicyMiddleware
    from .agents.tool_node import atool_gate, tool_gate

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
    "PolicyMiddleware": ("agents.middleware", "langchain"),
    "atool_gate": ("agents.tool_node", "langgraph"),
    "tool_gate": ("agents.tool_node", "langgraph"),
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
