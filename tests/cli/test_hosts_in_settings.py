"""An identity that is written for a host that nobody knows would do nothing: it is an error, or told."""

import json
from importlib.metadata import EntryPoint

import pytest

from checkrein import plugins
from checkrein.errors import SettingsError
from checkrein.loading import load

MAPPED = "version: 1\nengine: {{desk: {{}}}}\nidentity:\n  {host}: {{id: [user_id]}}\n"


@pytest.fixture
def install_host(monkeypatch):
    """`install_host(name)`: a host of another's that is installed here."""
    real = plugins.available

    def install(name):
        def together(kind):
            point = EntryPoint(name=name, value="elsewhere:check", group="checkrein.hosts")
            return {**real(kind), **({name: point} if kind == "host" else {})}

        monkeypatch.setattr(plugins, "available", together)

    return install


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("langchian", "langchain"),
        ("lang_chain", "langchain"),
        ("LangChain", "langchain"),
        ("litelm", "litellm"),
        ("lite-llm", "litellm"),
        ("LiteLLM", "litellm"),
        ("litellm-proxy", "litellm"),
        ("litellm_proxy", "litellm"),
    ],
)
def test_a_misspelt_host_stops_the_start_and_names_what_was_meant(settings, written, meant):
    with pytest.raises(SettingsError, match=rf":4: `identity.{written}` .*; did you mean `{meant}`\?"):
        load(settings(MAPPED.format(host=written)))


@pytest.mark.parametrize("host", ["langchain", "litellm"])
def test_our_own_hosts_are_known_where_they_are_not_installed(settings, run, monkeypatch, host):
    monkeypatch.setattr(
        plugins, "available", lambda kind, real=plugins.available: real(kind) if kind != "host" else {}
    )
    told = json.loads(run("check", "-c", settings(MAPPED.format(host=host)), "--json").stdout)
    assert not any("identity" in one for one in told["warnings"])


def test_a_host_of_anothers_is_known_where_it_is_installed(settings, run, install_host):
    install_host("switchboard")
    path = settings(MAPPED.format(host="switchboard"))
    assert load(path).settings.identity["switchboard"].id == ("user_id",)
    told = json.loads(run("check", "-c", path, "--json").stdout)
    assert not any("identity" in one for one in told["warnings"])
    with pytest.raises(SettingsError, match=r"did you mean `switchboard`\?"):
        load(settings(MAPPED.format(host="switchbord")))


def test_a_host_that_another_process_may_have_loads_and_is_looked_at_by_a_reviewer(settings, run):
    path = settings(MAPPED.format(host="gateway"))
    assert load(path).settings.identity["gateway"].id == ("user_id",)
    told = json.loads(run("check", "-c", path, "--json").stdout)
    assert "`identity.gateway` does nothing here: no host of that name is installed" in told["warnings"]
