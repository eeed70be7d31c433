"""Boots the guard from a proxy's configuration and fires synthetic denials through LiteLLM's own dispatch."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import litellm
import yaml
from litellm.litellm_core_utils.litellm_logging import Logging
from litellm.proxy._types import UserAPIKeyAuth
from litellm.proxy.common_utils.user_api_key_cache import UserApiKeyCache
from litellm.proxy.guardrails.guardrail_registry import InMemoryGuardrailHandler
from litellm.proxy.proxy_server import ProxyConfig
from litellm.proxy.utils import ProxyLogging
from litellm.types.guardrails import Guardrail
from litellm.types.utils import ModelResponse, ModelResponseStream
from litellm.utils import async_pre_call_deployment_hook

from checkrein import Effect, EnforcementPoint, SettingsError, Stage, Verdict
from checkrein.document import EvaluationRequest
from checkrein.ids import new_id
from checkrein_litellm.denial import CallDenied
from checkrein_litellm.endpoints import STAGES

from .boot import probing
from .guard import PolicyGuard
from .own_logs import log_warnings
from .uncovered import UNCOVERED, allowed

__all__ = ["Probed", "probe"]

Outcome = tuple[str, str, bool, str]


class Probed(NamedTuple):
    """What came of a proxy's configuration.

    Args:
        outcomes: per attempt the stage, what was tried, whether it was stopped, and what happened otherwise.
        uncovered: per kind of uncovered endpoint its name, whether it is allowed, and what passes there.
        warnings: what else to look at.
    """

    outcomes: list[Outcome]
    uncovered: list[tuple[str, bool, str]]
    warnings: list[str]


_OURS: Final = ("checkrein_litellm.PolicyGuard", "checkrein_litellm.proxy.guard.PolicyGuard")
_CALLBACK: Final = "checkrein_litellm.callback.policy_guard"
_MODEL: Final = "checkrein-probe"
_KEY: Final = UserAPIKeyAuth(user_id="checkrein-probe", request_route="/chat/completions")


class _DenyAt:
    """An engine that denies at some stages and permits at the others."""

    name: Final = "probe"
    remote: Final = False
    revision: Final = None
    stages: Final = frozenset(Stage)

    def __init__(self, *stages: Stage) -> None:
        self._denied = stages

    def evaluate(self, request: EvaluationRequest) -> Verdict:
        return Verdict(effect=Effect.DENY if request.stage in self._denied else Effect.PERMIT)

    def close(self) -> None:
        """Nothing to give back."""


def probe(config: Path) -> Probed:
    """Boot the guard and try to get past it.

    Args:
        config: the proxy's `config.yaml`.

    Raises:
        SettingsError: the proxy would not start, or would start without the guard.
    """
    read = _read(config)
    with _environment(read.get("environment_variables")), _callbacks_restored():
        guardrail = _configured(config, read)
        guard = _called_back(config) if guardrail is None else _boot(config, guardrail)
        litellm.callbacks = [guard]
        words = guard.governor.asker.pep.settings.uncovered
        uncovered = [(one.name, allowed(words, one.name), one.passes) for one in UNCOVERED]
        return Probed(asyncio.run(_attempts(guard)), uncovered, list(log_warnings(read)))


def _read(config: Path) -> Mapping[str, Any]:
    try:
        read = yaml.safe_load(config.read_text(encoding="utf-8"))
        if not isinstance(read, dict):
            raise SettingsError(f"`{config}` is no mapping")
        path = str(config.resolve())
        # The proxy's own way of reading `include`.
        return asyncio.run(ProxyConfig()._process_includes(config=read, config_file_path=path))  # noqa: SLF001
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SettingsError(f"`{config}` cannot be read: {str(error).splitlines()[0]}") from error


def _configured(config: Path, read: Mapping[str, Any]) -> dict[str, Any] | None:
    """The guardrail that is the guard; None where the guard is a callback."""
    guardrails = [one for one in read.get("guardrails") or () if isinstance(one, dict)]
    ours = [one for one in guardrails if _params(one).get("guardrail") in _OURS]
    settings = read.get("litellm_settings")
    callbacks = settings.get("callbacks") if isinstance(settings, Mapping) else None
    is_callback = _CALLBACK in (callbacks if isinstance(callbacks, list) else [callbacks])
    if ours and is_callback:
        raise SettingsError(f"`{config}` has the guard twice: every call would be judged twice")
    if is_callback:
        return None
    if not ours:
        raise SettingsError(f"`{config}` has no guardrail `{_OURS[0]}`: every call would pass unjudged")
    name = ours[0].get("guardrail_name")
    if [one.get("guardrail_name") for one in guardrails].count(name) > 1:
        raise SettingsError(f"two guardrails have the name `{name}`; LiteLLM would run one of them at random")
    if _in_a_pipeline(read.get("policies"), name):
        raise SettingsError(
            f"a pipeline of `policies` runs `{name}` and could let its denials pass; take it out"
        )
    return ours[0]


def _called_back(config: Path) -> PolicyGuard:
    """The guard that `checkrein_litellm.callback` would build."""
    modes = ["pre_call", "post_call"]
    try:
        with probing(config.resolve().parent, lambda _: None):
            return PolicyGuard(guardrail_name="checkrein", event_hook=modes, default_on=True)
    except RuntimeError as error:
        raise SettingsError(f"the proxy would not start: {error}") from error


def _params(guardrail: Mapping[str, Any]) -> Mapping[str, Any]:
    params = guardrail.get("litellm_params")
    return params if isinstance(params, Mapping) else {}


def _in_a_pipeline(value: Any, name: Any) -> bool:
    if isinstance(value, Mapping):
        return value.get("guardrail") == name or any(_in_a_pipeline(one, name) for one in value.values())
    return isinstance(value, list) and any(_in_a_pipeline(one, name) for one in value)


def _boot(config: Path, guardrail: dict[str, Any]) -> PolicyGuard:
    handler = InMemoryGuardrailHandler()  # type: ignore[no-untyped-call]
    wanted = cast("Guardrail", deepcopy(guardrail))  # checked by LiteLLM itself
    try:
        with probing(config.resolve().parent, lambda _: None):
            made = handler.initialize_guardrail(guardrail=wanted, config_file_path=str(config))
    except RuntimeError as error:
        raise SettingsError(f"the proxy would not start: {error}") from error
    except (ValueError, TypeError, KeyError) as error:
        told = " ".join(str(error).split())
        raise SettingsError(f"the proxy would start without the guardrail: {told}") from error
    except Exception as error:
        raise SettingsError(f"the proxy would not start: {error}") from error
    guard = handler.guardrail_id_to_custom_guardrail.get(str(made and made.get("guardrail_id")))
    if type(guard) is not PolicyGuard:
        raise SettingsError(
            f"`{_OURS[0]}` is somebody else's class; is a file beside `{config}` named like it?"
        )
    return guard


@contextmanager
def _environment(variables: Any) -> Iterator[None]:
    """The variables that the configuration sets, as the proxy does before it loads guardrails."""
    before = dict(os.environ)
    for name, value in variables.items() if isinstance(variables, Mapping) else ():
        text = str(value)
        found = os.environ.get(text.removeprefix("os.environ/")) if text.startswith("os.environ/") else text
        if found is not None:
            os.environ[str(name)] = found
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _callbacks_restored() -> Iterator[None]:
    names = [name for name in dir(litellm) if name.endswith(("callback", "callbacks"))]
    before = {name: value for name in names if isinstance(value := getattr(litellm, name), list)}
    copies = {name: list(value) for name, value in before.items()}
    try:
        yield
    finally:
        for name, value in before.items():
            value[:] = copies[name]
            setattr(litellm, name, value)


async def _attempts(guard: PolicyGuard) -> list[Outcome]:
    proxy = ProxyLogging(user_api_key_cache=UserApiKeyCache())
    await guard.governor.asker.pep.aclose()

    def engine(*denied: Stage) -> None:
        guard.governor.asker.pep = EnforcementPoint(_DenyAt(*denied), record=lambda _: None)

    async def admit(data: dict[str, Any], call_type: str = "acompletion") -> dict[str, Any]:
        return await proxy.pre_call_hook(user_api_key_dict=_KEY, data=data, call_type=call_type)  # type: ignore[call-overload,no-any-return]

    async def fallback() -> None:
        data = await admit(_request())
        engine(Stage.MODEL_SELECTION)
        other = {
            "model_group": "another-model",
            "deployment": _MODEL,
            "deployment_model_name": "another-model",
        }
        await async_pre_call_deployment_hook({**data, "metadata": other}, "acompletion")

    async def answer() -> None:
        data = await admit(_request())
        await proxy.post_call_success_hook(data=data, response=ModelResponse(), user_api_key_dict=_KEY)

    async def stream() -> None:
        data = await admit(_request(stream=True))
        chunks = proxy.async_post_call_streaming_iterator_hook(_chunks(), _KEY, data)
        async for _ in chunks:
            break

    async def opted_out() -> None:
        metadata = {"user_api_key_metadata": {"disable_global_guardrails": True}}
        await admit(_request(metadata=metadata, guardrails=[]))

    async def tool() -> None:
        await admit(_request(mcp_tool_name="probe", mcp_arguments={"a": "b"}), "call_mcp_tool")

    tries: list[tuple[Stage, str, tuple[Stage, ...], Callable[[], Awaitable[Any]]]] = [
        (Stage.MODEL_SELECTION, "a chat call", STAGES[:1], lambda: admit(_request())),
        (Stage.MODEL_SELECTION, "a fallback to another model", (), fallback),
        (Stage.PRE_PROMPT, "a chat call", STAGES[1:2], lambda: admit(_request())),
        (Stage.PRE_PROMPT, "a key that opts out of guardrails", STAGES[1:2], opted_out),
        (Stage.PRE_PROMPT, "embeddings", STAGES[1:2], lambda: admit(_request(input="a text"), "aembedding")),
        (Stage.PRE_PROMPT, "an endpoint that nobody governs", (), lambda: admit(_request(), "aocr")),
        (Stage.TOOL_CALL, "a tool of an MCP server", (Stage.TOOL_CALL,), tool),
        (Stage.POST_COMPLETION, "an answer", STAGES[2:], answer),
        (Stage.POST_COMPLETION, "a streamed answer", STAGES[2:], stream),
    ]
    outcomes = []
    for stage, what, denied, attempt in tries:
        engine(*denied)
        outcomes.append((stage.value, what, *await _stopped(attempt)))
    return outcomes


async def _stopped(attempt: Callable[[], Awaitable[Any]]) -> tuple[bool, str]:
    try:
        await attempt()
    except CallDenied as denial:
        return True, f"{denial.status_code}, decision {denial.provider_specific_fields['decision_id']}"
    except Exception as error:  # noqa: BLE001 -- whatever LiteLLM makes of it is told
        return False, f"`{type(error).__name__}` instead of a denial"
    return False, "the call passed"


def _request(**more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "a synthetic prompt of `checkrein check`"}]
    call_id = new_id()
    log = Logging(
        model=_MODEL,
        messages=messages,
        stream=False,
        call_type="acompletion",
        start_time=datetime.now(UTC),
        litellm_call_id=call_id,
        function_id="checkrein-probe",
    )
    data = {"model": _MODEL, "messages": messages, "litellm_call_id": call_id, "litellm_logging_obj": log}
    return {"metadata": {}, **data, **more}


async def _chunks() -> AsyncIterator[ModelResponseStream]:
    yield ModelResponseStream()
