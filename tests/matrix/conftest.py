"""The bypass matrix: every cell is a test, and `make matrix` prints what was counted in all of them."""

import gc
import json
import warnings
from collections import defaultdict
from contextlib import ExitStack
from importlib import import_module

import httpx
import pytest
import pytest_asyncio
from rich.console import Console
from rich.table import Table

from checkrein.testing import Upstream


def pytest_addoption(parser):
    parser.addoption("--matrix", action="store_true", help="print the matrix")


@pytest.fixture(scope="session")
def provider():
    with Upstream() as upstream:
        yield upstream


@pytest.fixture
def upstream(provider):
    from bypass_counting import ANSWER  # noqa: PLC0415 -- on the path once tests are collected

    provider.wait()
    provider.clear()
    provider.reply = ANSWER
    return provider


@pytest.fixture(scope="session")
def proxies(provider, tmp_path_factory):
    """Two proxies of the one provider, by how their streams leave, which start side by side."""
    from bypass_proxy_process import running  # noqa: PLC0415 -- on the path once tests are collected

    with ExitStack() as stack:
        yield {
            mode: stack.enter_context(running(tmp_path_factory.mktemp(mode), mode, provider))
            for mode in ("hold", "window")
        }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab(provider):
    """What calls LiteLLM in this process, with its own connections and callbacks; swept away at the end."""
    litellm, made = import_module("litellm"), import_module("bypass_litellm").Lab
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in dir(litellm) if name.endswith(("callback", "callbacks"))]:
            if isinstance(kept := getattr(litellm, name), list):
                patch.setattr(litellm, name, [*kept])
        clients = type(litellm.in_memory_llm_clients_cache)()
        patch.setattr(litellm, "in_memory_llm_clients_cache", clients)
        patch.setattr(litellm, "disable_aiohttp_transport", True)
        # Nothing here is encrypted, and certificates load slowly.
        patch.setattr(litellm, "ssl_verify", False)
        yield made(provider)
        import_module("checkrein_litellm.sdk.functions").install(None)
        for kept in list(clients.cache_dict.values()):
            client = getattr(kept, "_client", None) or getattr(kept, "client", None)
            if isinstance(client, httpx.AsyncClient):
                await client.aclose()
            elif isinstance(client, httpx.Client):
                client.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def cell(record_property):
    """Keep what a cell came to, for the table: it travels with the report, from whichever worker."""

    def keep(half, mechanism, way, fault, counted):
        record_property(
            "cell",
            json.dumps(
                [half, mechanism, way, fault.kind, str(fault.stage or ""), counted.leaks, counted.outcome]
            ),
        )

    return keep


def pytest_terminal_summary(terminalreporter, config):
    """Print the matrix, one table for each mechanism."""
    if not config.getoption("--matrix"):
        return
    cells = [
        json.loads(value)
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == "cell" and report.when == "call"
    ]
    console = Console(width=120)
    for title, rows in _by(cells, 2).items():
        console.print(_table(" · ".join(title), rows))
    leaks = sum(cell[5] for cell in cells)
    console.print(
        f"{len(cells)} cells, {leaks} leaked requests and characters",
        style="bold red" if leaks else "bold green",
    )


def _by(cells, depth):
    grouped = defaultdict(list)
    for cell in cells:
        grouped[tuple(cell[:depth])].append(cell)
    return grouped


def _table(title, cells):
    kinds = list(dict.fromkeys(cell[3] for cell in cells))
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("way")
    for kind in kinds:
        table.add_column(kind, justify="right")
    for (_, _, way), row in _by(cells, 3).items():
        table.add_row(way, *(_shown([cell for cell in row if cell[3] == kind]) for kind in kinds))
    return table


def _shown(cells):
    """The leaks of one kind of fault over all stages; where the mechanism denies instead, that is said."""
    if not cells:
        return ""
    leaks = sum(cell[5] for cell in cells)
    if leaks:
        return f"[bold red]{leaks} LEAKED[/]"
    outcomes = {cell[6] for cell in cells}
    denied = cells[0][3] in {"permit", "redact", "monitor"} and "denied" in outcomes
    if cells[0][3] in {"permit", "monitor"} and not denied:
        return "passed"
    return "[yellow]0, denies[/]" if denied else "[green]0[/]"
