"""Governed functions of LiteLLM's, and calls of them."""

from __future__ import annotations

from typing import Any

from governed_calls import STAGES, acompleted, completed, point, said

from checkrein.testing import StaticEngine, Upstream, permit
from checkrein_litellm import PolicyClient


def governed(answer: Any, settings: Any = None, **more: Any) -> PolicyClient:
    return PolicyClient(point(answer, settings), **more)


def by_stage(**answers: Any) -> StaticEngine:
    return StaticEngine({stage: answers.get(stage.value, permit()) for stage in STAGES})


async def chat(client: Any, way: str, upstream: Upstream, text: str = "hello", **more: Any) -> str:
    """What the caller reads in the end."""
    given = {
        "model": "openai/gpt-4o",
        "messages": said(text),
        "api_base": upstream.url,
        "api_key": "k",
        **more,
    }
    return completed(client, given) if way == "sync" else await acompleted(client, given)
