"""What LangChain calls: guarded chat models, and a callback handler that blocks and audits."""

from checkrein.errors import MissingExtraError

try:
    import langchain_core  # noqa: F401 -- only whether it is there
except ModuleNotFoundError as error:
    raise MissingExtraError("host", "langchain", "langchain") from error

from .denial import AnswerWithheldError, PolicyDenied
from .guarded import GuardedChatModel, guard
from .handler import PolicyCallbackHandler
from .identity import as_subject

__all__ = [
    "AnswerWithheldError",
    "GuardedChatModel",
    "PolicyCallbackHandler",
    "PolicyDenied",
    "as_subject",
    "guard",
]
