"""Makes a guarded model of a chat model, and refuses what cannot be governed."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Final

from langchain_core.language_models import BaseChatModel

from checkrein.enforcement import EnforcementPoint
from checkrein.vocabulary import Stage
from checkrein_langchain.inner_model.options import check_model

from .facade import WORN
from .model import GuardedChatModel

__all__ = ["GUARDED_STAGES", "check_models", "guard"]

GUARDED_STAGES: Final = (Stage.MODEL_SELECTION, Stage.PRE_PROMPT, Stage.POST_COMPLETION)


def guard(
    model: BaseChatModel, pep: EnforcementPoint, *, models: Mapping[str, BaseChatModel] | None = None
) -> GuardedChatModel:
    """Govern a chat model.

        model = guard(ChatOpenAI(model="gpt-4o"), EnforcementPoint.from_settings("checkrein.yaml"))

    Args:
        model: any chat model; bind tools and options to what is returned.
        pep: decides, at model selection, before the prompt and after the completion.
        models: alternatives that policy may route to, by the names that it knows them by. A name that is not
            among them is called with the credentials of `model`, if only its name has to change for that.

    Raises:
        TypeError: `model` is no chat model.
        ValueError: a model's own options would pass by the policy.
        SettingsError: a stage is neither covered by an engine nor listed as `unchecked`.
    """
    check_models({"model": model, **(models or {})}, pep)
    worn = {key: getattr(model, key) for key in WORN}
    worn["metadata"] = dict(model.metadata or {})
    guarded = GuardedChatModel(inner=model, models=dict(models or {}), pep=pep, name=model.name, **worn)
    # Made once, kept by every copy: each call is made by one.
    _ = guarded._serialized  # noqa: SLF001 -- LangChain's own
    return guarded


def check_models(models: Mapping[str, BaseChatModel], pep: EnforcementPoint) -> None:
    """Refuse what cannot be governed; see `guard` for what is raised.

    Args:
        models: by any names.
        pep: is to decide about them.
    """
    for name, model in models.items():
        if not isinstance(model, BaseChatModel):
            raise TypeError(
                f"`{name}` is a `{type(model).__name__}` and no chat model; guard the model first, and bind "
                "tools, options, retries and fallbacks to what that gives"
            )
        check_model(model)
    pep.require(GUARDED_STAGES)
    # LangChain's OpenAI client makes pydantic warn of parsed answers in streams, and the warning quotes them.
    warnings.filterwarnings("ignore", message="Pydantic serializer warnings", category=UserWarning)
