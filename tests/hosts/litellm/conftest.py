"""What the tests of every part of the callback share: LiteLLM without network, connections of their own."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import warnings
from collections.abc import AsyncIterator, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = (
    "True"  # before LiteLLM is imported: it asks the network otherwise
)

import httpx
import pytest

from checkrein.testing import Upstream

sys.path.append(str(Path(__file__).parent / "shared"))
pytest.register_assert_rewrite("proxy_endpoints", "stream_apis")


@pytest.fixture
def eu() -> Iterator[Upstream]:
    with Upstream("from the eu") as server:
        yield server


@pytest.fixture
def us() -> Iterator[Upstream]:
    with Upstream("from the us") as server:
        yield server


@pytest.fixture(scope="session")
def proxy_server() -> Any:
    """LiteLLM's proxy, imported but not started."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # LiteLLM's own code, about itself
        return import_module("litellm.proxy.proxy_server")


@pytest.fixture
async def own_clients(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Connections and callbacks of this test alone: LiteLLM keeps them for the process otherwise."""
    litellm = import_module("litellm")
    for name in [name for name in dir(litellm) if name.endswith(("callback", "callbacks"))]:
        if isinstance(kept := getattr(litellm, name), list):
            monkeypatch.setattr(litellm, name, [*kept])
    cache = type(litellm.in_memory_llm_clients_cache)()
    monkeypatch.setattr(litellm, "in_memory_llm_clients_cache", cache)
    monkeypatch.setattr(litellm, "disable_aiohttp_transport", True)
    yield
    # What still waits to be logged ends on the event loop that it belongs to.
    worker = import_module("litellm.litellm_core_utils.logging_worker").GLOBAL_LOGGING_WORKER
    await asyncio.wait_for(worker.flush(), 10)
    await worker.stop()
    for kept in list(cache.cache_dict.values()):
        client = getattr(kept, "_client", None) or getattr(kept, "client", None)
        if isinstance(client, httpx.AsyncClient):
            await client.aclose()
        elif isinstance(client, httpx.Client):
            client.close()


def pytest_collection_modifyitems(items):
    """What LiteLLM's text completions leave open may be collected while their own test still runs."""
    for item in items:
        if "swept" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"))


@pytest.fixture
def swept() -> Iterator[None]:
    """Sweeps away what LiteLLM's asynchronous text completions leave open."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
