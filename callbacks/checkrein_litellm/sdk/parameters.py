"""The parameters of a call that an application makes itself: which are read, which taken, which refused."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from litellm.llms.base_llm.base_utils import type_to_response_format_param
from litellm.types.router import CredentialLiteLLMParams
from litellm.types.utils import all_litellm_params
from pydantic import BaseModel

from checkrein.errors import RequestError
from checkrein_litellm.endpoints import Endpoint
from checkrein_litellm.text.leaves import member
from checkrein_litellm.text.notes import NOTES, SESSION
from checkrein_litellm.text.request_fields import problem_of, text_keys

__all__ = [
    "bound",
    "check_connection",
    "connects",
    "content_keys",
    "copied",
    "file_names",
    "problem_with",
    "without_connection",
]

# The operations whose streams are held back.
_STREAMED: Final = frozenset({"chat", "messages", "responses", "text_completion"})
_ADDRESS: Final = frozenset({"api_base", "base_url", "custom_llm_provider"})
_CONNECTION: Final = frozenset(
    {
        *CredentialLiteLLMParams.model_fields,
        *_ADDRESS,
        "client",
        "extra_headers",
        "headers",
        "litellm_credential_name",
        "organization",
    }
)
_COSTS: Final = frozenset({"input_cost_per_token", "output_cost_per_token"})
# LiteLLM reads these itself; those of them that it sends along are text like any other.
_SENT: Final = frozenset({"extra_headers", "headers", SESSION})
_READ_BY_LITELLM: Final = frozenset({*all_litellm_params, *_CONNECTION}) - _SENT
_FILES: Final = frozenset({"file", "image", "mask"})
# By these LiteLLM makes an asynchronous call of a synchronous one: it would answer with a promise.
_TWISTS: Final = frozenset(
    {
        "acompletion",
        "aembedding",
        "agenerate_content",
        "aimage_edit",
        "aimg_generation",
        "allm_passthrough_route",
        "amoderation",
        "arerank",
        "aresponses",
        "aspeech",
        "async_call",
        "atext_completion",
        "atranscription",
        "is_async",
    }
)
# An application may give a class there, of which LiteLLM sends the schema.
_FORMATS: Final = frozenset({"response_format", "text_format"})
_GATEWAY: Final = "litellm_proxy"


def bound(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a call by their names, as its caller gave them.

    Raises:
        TypeError: the function takes no such parameters.
    """
    if not args:
        return dict(kwargs)
    given = inspect.signature(function).bind_partial(*args, **kwargs).arguments
    more = given.pop("kwargs", {})
    return {**given, **more}


def problem_with(data: Mapping[str, Any], endpoint: Endpoint) -> tuple[str, str] | None:
    """Why a call cannot be governed, as a reason's code and message; None if it can.

    Args:
        data: its parameters, without its fallbacks.
        endpoint: what kind of call it is.
    """
    # The address and the provider are the application's own; in the proxy they would be its caller's.
    own = {key: value for key, value in data.items() if key not in _ADDRESS and key != "stream"}
    if isinstance(own.get("model"), str):
        # Only the proxy takes a comma for the end of a name.
        own["model"] = own["model"].replace(",", " ")
    problem = problem_of(own, endpoint, "")
    if problem is not None:
        return problem
    if data.get("stream") and endpoint.operation not in _STREAMED:
        return "unsupported_request.stream", f"a stream of `{endpoint.operation}` cannot be held back"
    twist = next((key for key in sorted(_TWISTS & data.keys()) if data[key]), None)
    if twist is not None:
        return f"unsupported_request.{twist}", "the answer would be a promise that nobody judges"
    tools = data.get("tools")
    if any(_runs_tools(tool) for tool in (tools if isinstance(tools, list | tuple) else ())):
        return "unsupported_request.mcp", "LiteLLM itself would call the model again with what tools answer"
    return None


def check_connection(name: str, params: Mapping[str, Any]) -> None:
    """Refuse parameters that are not about how a model is reached: nobody would judge them.

    Raises:
        ValueError: one is not, or the model itself is missing.
    """
    if not isinstance(params, Mapping) or not isinstance(params.get("model"), str) or not params["model"]:
        raise ValueError(f"model `{name}` needs LiteLLM's parameters, at least its `model`")
    known = {"model", *_CONNECTION, *_COSTS}
    unknown = sorted(params.keys() - known)
    if unknown:
        raise ValueError(f"`{unknown[0]}` of model `{name}` is not about reaching it; pass it with each call")


def connects(data: Mapping[str, Any]) -> bool:
    """Whether a call says how its model is reached: another model cannot be called the same way."""
    return any(data.get(key) is not None for key in _CONNECTION)


def without_connection(data: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a call without how its model is reached."""
    return {key: value for key, value in data.items() if key not in _CONNECTION}


def content_keys(data: Mapping[str, Any], endpoint: Endpoint) -> list[str]:
    """The parameters that reach the provider as text, in the call's order."""
    keys = text_keys(data, endpoint)
    found = [key for key in keys if key in endpoint.own or key not in _READ_BY_LITELLM]
    return [*found, *(key for key in NOTES if key in data and key not in found)]


def copied(data: Mapping[str, Any], endpoint: Endpoint, max_depth: int) -> dict[str, Any]:
    """The parameters of a call, so that writing into what reaches the provider leaves the caller's alone.

    Raises:
        RequestError: it holds what nobody could read, or is nested over the limit.
    """
    keys = {*content_keys(data, endpoint), "messages"} - _FILES
    shown = {key: _schema_of(value) if key in _FORMATS else value for key, value in data.items()}
    return {
        key: _copied(value, max_depth, key not in endpoint.content) if key in keys else value
        for key, value in shown.items()
    }


def file_names(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The words that go with files: names and types in tuples, which nothing else reads, by their place."""
    for key in sorted(_FILES & data.keys()):
        value = data[key]
        for number, file in enumerate(value if isinstance(value, list) else [value]):
            for place, part in enumerate(file if isinstance(file, tuple) else ()):
                if isinstance(part, str):
                    yield f"{key}.{number}.{place}", part


def _schema_of(value: Any) -> Any:
    """What LiteLLM would send of a class that says how the answer is to look."""
    if value is None or isinstance(value, Mapping | BaseModel | str):
        return value
    if isinstance(value, type) and issubclass(value, BaseModel):
        return type_to_response_format_param(value)
    raise RequestError(
        "unsupported_request.format", f"a format that is `{type(value).__name__}` cannot be read"
    )


def _copied(value: Any, depth: int, lenient: bool) -> Any:  # noqa: FBT001 -- handed down unchanged
    if depth < 0:
        raise RequestError("limit.depth", "the request is nested over the limit `limits.depth`")
    if isinstance(value, Mapping):
        return {key: _copied(one, depth - 1, lenient) for key, one in value.items()}
    if isinstance(value, list | tuple):
        # The walk that reads text knows lists alone, and JSON makes a list of a tuple.
        return [_copied(one, depth - 1, lenient) for one in value]
    if isinstance(value, BaseModel):
        return value.model_copy(deep=True)
    readable = value is None or isinstance(value, str | int | float)
    # Of a class, LiteLLM would send what it says of itself.
    if readable or (lenient and not isinstance(value, type)):
        return value
    raise RequestError("unsupported_request.content", f"`{type(value).__name__}` in a prompt cannot be read")


def _runs_tools(tool: Any) -> bool:
    if not isinstance(tool, Mapping | BaseModel) or member(tool, "type") != "mcp":
        return False
    url = member(tool, "server_url")
    return not isinstance(url, str) or url.startswith(_GATEWAY)
