"""What LangChain calls: guarded models, tools and retrievers, a middleware for agents, a callback handler.

Its parts, each of which imports only what stands below it:

* `agents`, `retrieval` and `router`: the middleware and the gate before tools; the retriever; the router
* `handler`: the callback handler, and the tripwire that puts it into every call
* `guarded_model`: the chat model around a chat model
* `calls` and `tools`: one governed call of a model; one governed use of a tool
* `inner_model` and `streams`: the model that is called in the end; what of a streamed answer may leave
* `access_requests`: the questions to policy
* `text`: all text of what LangChain passes around, with the way back
* `identity`, `denial` and `errors`: who calls, and what is raised
"""

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
from .router.router import PolicyRouter
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
