"""The fallbacks that a caller names: each model is judged before anything is sent, as each of several is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from checkrein import Stage
from checkrein_litellm import facts
from checkrein_litellm.text.request_fields import fallbacks_of
from checkrein_litellm.text.surfaces import Surfaces, content_of

from .asked import Asked, context_of
from .asker import Asker, model_entity, resource_of
from .calls import Call

__all__ = ["select_fallbacks"]

# Each costs a question; LiteLLM tries five.
_MOST: Final = 20


async def select_fallbacks(
    asker: Asker,
    call: Call,
    data: Mapping[str, Any],
    asked: Asked,
    read: Callable[[Mapping[str, Any]], Surfaces],
) -> None:
    """Ask about the models of a request's own fallbacks; its decisions hold when they come to be tried.

    Args:
        asker: asks.
        call: the call, admitted otherwise.
        data: the request, as it was admitted.
        asked: what was asked about it.
        read: reads the texts of a request.

    Raises:
        CallDenied: one of them must not be called.
    """
    admitted, found, limits = call.last, fallbacks_of(data), asker.pep.settings.limits
    if len(found) > _MOST:
        message = f"a request names at most {_MOST} fallbacks"
        asker.refuse(call, resource_of(data, "request"), "unsupported_request.fallbacks", message)
        return
    # A deployment of it has been chosen by the time that the decision is carried out.
    supports = replace(asked, routable=False).supports(Stage.MODEL_SELECTION)
    for one in found:
        model, request = facts.model_name(one["model"]), {**data, **one}
        content = content_of(request, asked.endpoint.content, limits.depth, nodes=limits.nodes)
        if call.permitted.get(model) == content or (model, content) in call.selected:
            continue
        surfaces = read(request)
        tokens = await facts.prompt_tokens([segment.text for segment in surfaces.segments])
        call.selected[model, content] = await asker.ask(
            call,
            Stage.MODEL_SELECTION,
            model_entity(model),
            surfaces,
            context=context_of(call, request, asked.endpoint, tokens),
            supports=supports,
        )
    call.last = admitted
