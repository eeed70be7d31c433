"""Calls of the proxy that no hook sees before they are routed: begun at their first deployment."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any, Final

from litellm.proxy._types import UserAPIKeyAuth
from litellm.proxy.litellm_pre_call_utils import LiteLLMProxyRequestSetup

from checkrein_litellm.endpoints import ENDPOINTS, UNNAMED
from checkrein_litellm.text.request_fields import problem_of, text_keys

from .asker import Asker, resource_of
from .calls import Call
from .gate import Passage, passage
from .identity import authenticated
from .unseen import own_key

__all__ = ["begin_late", "late_call"]

_QUEUE: Final = "queue"


def begin_late(asker: Asker, kwargs: MutableMapping[str, Any], call_type: str, guardrail: str) -> Call:
    """Begin a call: in the name of its key, of whom the gate let in with it, or of nobody.

    Args:
        asker: puts the questions.
        kwargs: what the deployment is called with.
        call_type: LiteLLM's name of the call.
        guardrail: this guardrail's name in the proxy's configuration.

    Raises:
        CallDenied: it cannot be governed.
    """
    endpoint, key = ENDPOINTS.get(call_type, UNNAMED), authenticated(kwargs)
    queued = _queued() if key is None else None
    if queued is None:
        call = asker.begin(key, kwargs, endpoint)
        asker.heed_opt_out(call, resource_of(kwargs, call_type))
        return call
    if queued.call is None:
        queued.call = _begin_queued(asker, kwargs, call_type, guardrail, queued.key)
    return queued.call


def late_call() -> Call | None:
    """The call that this request became when a deployment was about to be called, if it did."""
    queued = _queued()
    return None if queued is None else queued.call


def _queued() -> Passage | None:
    found = passage()
    return found if found is not None and found.name == _QUEUE else None


def _begin_queued(
    asker: Asker, kwargs: MutableMapping[str, Any], call_type: str, guardrail: str, key: UserAPIKeyAuth | None
) -> Call:
    known = key is not None and _is_of(key, kwargs)
    endpoint = ENDPOINTS.get(call_type, UNNAMED)
    call = asker.begin(key if known else None, kwargs, endpoint)
    resource = resource_of(kwargs, call_type)
    if not known:
        message = "nobody knows whose call it is; take `queue` out of `uncovered`"
        asker.refuse(call, resource, "unsupported_request.identity", message)
    elif not asker.heed_opt_out(call, resource):
        sent = _sent(kwargs)
        call.keys, call.own_key = tuple(text_keys(sent, endpoint)), own_key(sent)
        problem = problem_of(sent, endpoint, guardrail)
        if problem is not None:
            asker.refuse(call, resource, *problem)
    return call


def _is_of(key: UserAPIKeyAuth, kwargs: Mapping[str, Any]) -> bool:
    """Whether LiteLLM notes this key, as it does over whatever a caller writes there."""
    metadata = kwargs.get("metadata")
    noted = metadata if isinstance(metadata, Mapping) else {}
    mine = {
        "user_api_key_hash": LiteLLMProxyRequestSetup.get_logged_api_key(key),
        "user_api_key_user_id": key.user_id,
    }
    return all(name in noted and noted[name] == value for name, value in mine.items())


def _sent(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the caller sent: beside it stand the deployment's own parameters."""
    request = kwargs.get("proxy_server_request")
    body = request.get("body") if isinstance(request, Mapping) else None
    return body if isinstance(body, Mapping) else {}
