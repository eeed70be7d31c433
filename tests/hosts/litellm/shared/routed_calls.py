"""Governed routers, what stands behind them, and calls of them."""

from __future__ import annotations

import asyncio
from typing import Any

from governed_calls import REDACT, acompleted, completed, point, said

from checkrein import Stage
from checkrein.testing import Upstream, permit
from checkrein_litellm import PolicyRouter


def deployment(name: str, upstream: Upstream, number: str, **more: Any) -> dict[str, Any]:
    info = {"id": number, **more.pop("info", {})}
    params = {"model": f"openai/{name}", "api_base": upstream.url, "api_key": "k", "max_retries": 0, **more}
    return {"model_name": name, "litellm_params": params, "model_info": info}


def both(eu: Upstream, us: Upstream, **more: Any) -> list[Any]:
    return [
        deployment("gpt-4o", eu, "in-eu", info={"region": "eu", "size": "large"}, **more),
        deployment("gpt-4o", us, "in-us", info={"region": "us"}, **more),
    ]


def routed(answer: Any, models: list[Any], settings: Any = None, **more: Any) -> PolicyRouter:
    given = {"num_retries": 0, "retry_after": 0, **more}
    return PolicyRouter(model_list=models, pep=point(answer, settings), **given)


def redacts(request: Any) -> Any:
    """Findings leave in no prompt."""
    return REDACT if request.stage is Stage.PRE_PROMPT else permit()


async def chat(router: Any, way: str, text: str = "hello", model: str = "gpt-4o", **more: Any) -> str:
    given = {"model": model, "messages": said(text), **more}
    if way == "sync":
        # As an application without an event loop would: in a thread that has none.
        return await asyncio.to_thread(completed, router, given)
    return await acompleted(router, given)
