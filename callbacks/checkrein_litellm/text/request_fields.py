"""What a request may hold: what of it reaches the provider, and what no policy could govern."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from checkrein_litellm.endpoints import Endpoint

from .leaves import member

__all__ = [
    "CONTROLS",
    "DECLARATIONS",
    "fallbacks_of",
    "max_tokens_of",
    "models_of",
    "problem_of",
    "text_keys",
    "tool_names",
]

CONTROLS: Final = frozenset(
    {
        "allowed_openai_params",
        "api_key",
        "api_version",
        "applied_guardrails",
        "cache",
        "caching",
        "content_policy_fallbacks",
        "context_window_fallbacks",
        "drop_params",
        "fallbacks",
        "guardrails",
        "litellm_call_id",
        "litellm_logging_obj",
        "litellm_metadata",
        "litellm_session_id",
        "litellm_trace_id",
        "messages",
        "metadata",
        "model",
        "proxy_server_request",
        "router_settings_override",
        "secret_fields",
        "tags",
        "timeout",
    }
)
"""What LiteLLM itself reads or sets: no provider sees it as text, and no policy sets it."""

# Of these, what some providers are sent all the same, in an address or in a header.
_SENT: Final = frozenset({"api_version", "litellm_session_id"})

# To a body that goes to the provider as it is, LiteLLM adds this; and the model is a name.
_ADDED: Final = frozenset({"litellm_logging_obj", "model"})

# Each of them changes what is sent, or whom it is sent to, after the last hook that could see it.
_UNGOVERNED: Final = frozenset(
    {
        "api_base",
        "assistant_continue_message",
        "azure",
        "base_url",
        "bos_token",
        "context_window_fallback_dict",
        "custom_llm_provider",
        "custom_prompt_dict",
        "deployment_id",
        "eos_token",
        "extra_body",
        "final_prompt_value",
        "hf_model_name",
        "initial_prompt_value",
        "knowledge_bases",
        "litellm_system_prompt",
        "model_alias_map",
        "model_config",
        "model_list",
        "prompt_id",
        "prompt_variables",
        "roles",
        "silent_model",
        "use_litellm_proxy",
        "user_config",
        "user_continue_message",
        "vector_store_ids",
    }
)
DECLARATIONS: Final = ("functionDeclarations", "function_declarations")
"""Where Google's API gathers functions in a tool."""

_FALLBACKS: Final = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")
# A fallback may replace the whole request; only what the deployment hook judges again is let through.
_OF_A_FALLBACK: Final = frozenset({"messages", "model"})
_MAX_NESTING: Final = 4


def problem_of(  # noqa: PLR0911 -- one line per reason
    data: Mapping[str, Any], endpoint: Endpoint, guardrail: str
) -> tuple[str, str] | None:
    """Why a request cannot be governed, as a reason's code and message; None if it can.

    Args:
        data: the request, as the pre-call hook gets it.
        endpoint: what kind of call it is.
        guardrail: this guardrail's name in the proxy's configuration.
    """
    if endpoint.raw:
        return None
    models = models_of(data)
    if not models:
        return "unsupported_request.model", "the request names no model"
    if len(models) > 1 and (not endpoint.models or data.get("stream")):
        return "unsupported_request.several_models", "the request names several models at once"
    if data.get("stream") and not endpoint.streams:
        return "unsupported_request.stream", f"a stream of `{endpoint.operation}` cannot be held back"
    key = next((key for key in sorted(_UNGOVERNED & data.keys()) if data[key] not in (None, False)), None)
    if key is not None:
        return f"unsupported_request.{key}", f"`{key}` changes the call after it was judged"
    key = next((key for key in _FALLBACKS if not _governed(data, key)), None)
    if key is not None:
        return f"unsupported_request.{key}", "a fallback may name `model` and `messages`, no more"
    if any(member(tool, "type") == "file_search" or "fileSearch" in tool for tool in _tools(data, "tools")):
        return "unsupported_request.file_search", "what is found would not be judged"
    if _in_a_pipeline(data, guardrail):
        return "misconfigured.pipeline", "a pipeline of LiteLLM's `policies` runs this guardrail"
    return None


def models_of(data: Mapping[str, Any]) -> list[str]:
    """The models that the request names: LiteLLM calls each of several, parted by commas."""
    model = data.get("model")
    return [name for name in map(str.strip, model.split(",")) if name] if isinstance(model, str) else []


def text_keys(data: Mapping[str, Any], endpoint: Endpoint) -> list[str]:
    """The parameters beside `messages` that reach the provider, in the request's order."""
    if endpoint.raw:
        return [key for key in data if key not in _ADDED]
    return [key for key in data if key not in CONTROLS or key in endpoint.own or key in _SENT]


def max_tokens_of(data: Mapping[str, Any], endpoint: Endpoint) -> int | None:
    """The largest answer that the request asks for, in tokens; None where a limit is missing or below 1."""
    asked = [value for path in endpoint.limits if type(value := _at(data, path)) is int]
    return max(asked) if asked and min(asked) >= 1 else None


def tool_names(data: Mapping[str, Any]) -> list[str]:
    """The names of the tools that the model may call."""
    names = [
        _name_of(one)
        for key in ("tools", "functions")
        for tool in _tools(data, key)
        for one in _declared(tool)
    ]
    return [name for name in names if name]


def _name_of(tool: Mapping[str, Any]) -> str:
    """A function's name, or the type of a tool that is the provider's own, such as `web_search`."""
    function = tool.get("function")
    name = function.get("name") if isinstance(function, Mapping) else tool.get("name") or tool.get("type")
    return name if isinstance(name, str) else ""


def _declared(tool: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The tool, or the functions that Google's API gathers in one."""
    for key in DECLARATIONS:
        if isinstance(tool.get(key), list):
            return _tools(tool, key)
    return [tool]


def _at(data: Mapping[str, Any], path: str) -> Any:
    value: Any = data
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _tools(data: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    tools = data.get(key)
    return [tool for tool in tools if isinstance(tool, Mapping)] if isinstance(tools, list) else []


def fallbacks_of(data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The fallbacks that a governed request names: the `model`, and `messages` where it has its own."""
    override = data.get("router_settings_override")
    holders = (data, override) if isinstance(override, Mapping) else (data,)
    return [one for holder in holders for key in _FALLBACKS for one in _fallbacks(holder.get(key))]


def _fallbacks(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, str):
        yield {"model": value}
    elif isinstance(value, list):
        for one in value:
            yield from _fallbacks(one)
    elif isinstance(value, Mapping) and isinstance(value.get("model"), str):
        yield value
    elif isinstance(value, Mapping):
        for several in value.values():
            yield from _fallbacks(several)


def _governed(data: Mapping[str, Any], key: str) -> bool:
    override = data.get("router_settings_override")
    holders = (data, override) if isinstance(override, Mapping) else (data,)
    return all(_governed_fallbacks(holder.get(key), _MAX_NESTING) for holder in holders)


def _governed_fallbacks(value: Any, nesting: int) -> bool:
    if value is None or isinstance(value, str):
        return True
    if nesting <= 0:
        return False
    if isinstance(value, list):
        return all(_governed_fallbacks(one, nesting - 1) for one in value)
    if not isinstance(value, Mapping):
        return False
    if set(value) <= _OF_A_FALLBACK and isinstance(value.get("model"), str):
        return True
    # `{group: [other, ...]}`: which groups follow which.
    return all(
        isinstance(one, list) and all(_governed_fallbacks(item, nesting - 2) for item in one)
        for one in value.values()
    )


def _in_a_pipeline(data: Mapping[str, Any], guardrail: str) -> bool:
    for bucket in ("metadata", "litellm_metadata"):
        metadata = data.get(bucket)
        pipelines = metadata.get("_guardrail_pipelines") if isinstance(metadata, Mapping) else None
        for _, pipeline in pipelines or ():
            if any(getattr(step, "guardrail", None) == guardrail for step in getattr(pipeline, "steps", ())):
                return True
    return False
