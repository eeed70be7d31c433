"""`checkrein check`: everything is loaded, and what the settings come to is said."""

import json
import os
from importlib import import_module
from types import SimpleNamespace

import pytest

from checkrein import plugins

TREE = """
version: 1
engine:
  all:
    - desk: {name: access, stages: [model_selection, tool_call]}
    - by:
        key: subject.properties.tenant
        cases: {acme: {desk: {name: acme-content, stages: [pre_prompt], remote: true}}}
        otherwise: {desk: {name: content, stages: [pre_prompt]}}
unchecked: [tool_result]
failure: {open_on: {pre_prompt: [timeout], tool_call: [unreachable]}}
enforcement:
  rules: [{subject: {team: hr}, stages: [pre_prompt], mode: monitor}, {reasons: ["pii.*"], mode: enforce}]
detectors: {pre_prompt: [digit], tool_result: [digit]}
decision_log: {to: log.jsonl, content: full, required: true}
denials: {expose: policy_message, messages: {a: {en: stop, de: halt}, b: {en: stop}}}
identity: {langchain: {metadata: {id: user_id}, trusted: true}}
"""


def words(result):
    """What is said, whatever line it stands on."""
    return " ".join(result.stdout.split())


def test_the_report_says_what_is_asked_where(run, settings):
    result = run("check", "-c", settings(TREE), width=300)
    assert result.exit_code == 0
    said = words(result)
    for part in (
        "by subject.properties.tenant",
        "acme: acme-content desk, remote, revision r7",
        "otherwise: content desk, embedded, revision r7",
        "model_selection enforce access desk.model_selection",
        "pre_prompt enforce acme-content desk.pre_prompt content desk.pre_prompt",
        "finds digit unless rule 1, rule 2 opens on timeout",
        "post_completion not covered no engine: a host that hooks it refuses to start",
        "tool_result unchecked nothing is asked, everything passes",
        "rule 1 monitor team = hr, at pre_prompt",
        "rule 2 enforce for pii.*",
        "log.jsonl content full required yes",
        "2 messages in de, en",
    ):
        assert part in said


def test_whatever_a_reviewer_should_ask_about_is_a_warning(run, settings):
    told = json.loads(run("check", "-c", settings(TREE), "--json").stdout)
    assert told["warnings"] == [
        "rule 1 only monitors team = hr, at pre_prompt",
        "`pre_prompt` opens on timeout: calls pass unjudged while a remote engine is away",
        "`failure.open_on.tool_call` does nothing: no remote engine is asked there",
        "`tool_result` is unchecked: everything passes there",
        "detectors are named for `tool_result`, and no engine reads what they find",
        "`decision_log.content` is `full`: whole prompts and completions stand in the log",
        "`denials.expose` is `policy_message`: what a policy writes can echo a prompt to its caller",
        "`identity.langchain.trusted` is on: whoever calls may say who they are",
    ]


def test_monitor_by_default_and_an_empty_catalogue_are_warnings(run, settings):
    path = settings("version: 1\nengine: {desk: }\nenforcement: {default: monitor}\n")
    said = words(run("check", "-c", path))
    assert "the mode is `monitor` by default" in said
    assert "`denials.messages` is empty" in said
    assert "loads, with 2 things to look at" in said


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("stream: {mode: hold}", "answers leave whole, after the verdict"),
        ("stream: {mode: window}", "answers leave after the first verdict, as they come"),
        (
            "stream: {mode: window}\ndetectors: {post_completion: [us_ssn, email]}",
            "answers leave as they are judged, 640 code points behind at most",
        ),
        (
            "stream: {mode: window}\ndetectors: {post_completion: [us_ssn, private_key]}",
            "streams are held whole: what `private_key` finds has no bound",
        ),
    ],
)
def test_how_streams_leave_is_said(run, settings, told, said):
    text = f"version: 1\nengine: {{desk: {{}}}}\n{told}\n"
    assert said in words(run("check", "-c", settings(text), width=300))


def test_what_a_denied_caller_gets_instead_of_an_error_is_said(run, settings):
    text = "version: 1\nengine: {desk: {}}\ndenials: {on_denied: reply}\n"
    assert "callers get an ordinary answer with its message" in words(
        run("check", "-c", settings(text), width=300)
    )


def test_settings_without_anything_to_ask_about_just_load(run, settings):
    result = run("check", "-c", settings())
    assert result.exit_code == 0
    assert result.stdout.endswith("\nloads\n")
    assert "look at" not in result.stdout


def test_a_log_that_cannot_be_written_is_a_warning_and_is_not_made(run, settings, monkeypatch, tmp_path):
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    said = words(run("check", "-c", settings(), width=300))
    assert "this user may not write" in said
    assert not (tmp_path / "decisions.jsonl").exists()


def test_json_holds_the_tree_the_revision_and_every_stage(run, settings):
    path = settings(TREE)
    told = json.loads(run("check", "-c", path, "--json").stdout)
    assert told["settings"]["path"] == str(path)
    assert len(told["settings"]["revision"]) == 16
    by = told["engine"]["members"][1]
    assert by["cases"]["acme"]["remote"] is True
    assert by["otherwise"] == {
        "kind": "desk",
        "name": "content",
        "revision": "r7",
        "remote": False,
        "stages": ["pre_prompt"],
    }
    states = {stage["stage"]: stage["state"] for stage in told["stages"]}
    assert states == {
        "model_selection": "checked",
        "pre_prompt": "checked",
        "post_completion": "not covered",
        "tool_call": "checked",
        "tool_result": "unchecked",
    }


@pytest.mark.parametrize("width", [40, 80, 120])
def test_nothing_is_wider_than_the_terminal_and_nothing_is_cut(run, settings, width):
    result = run("check", "-c", settings(TREE.replace("acme-content", "a" * 60)), width=width)
    assert max(map(len, result.stdout.splitlines())) <= width
    assert "…" not in result.stdout
    assert result.stdout.count("a") > 120


def test_the_settings_may_be_named_by_the_environment(run, settings):
    assert run("check", CHECKREIN_CONFIG=str(settings())).exit_code == 0


def test_no_settings_is_a_usage_error_that_says_how_to_name_them(run):
    result = run("check")
    assert result.exit_code == 2
    assert "CHECKREIN_CONFIG" in result.stderr
    assert "--config" in result.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version: 1\nengine: {desk: }\nunchekced: []\n", "did you mean `unchecked`?"),
        ("version: 1\nengine: {dask: }\n", "did you mean `desk`?"),
        ("version: 1\nengine: {desk: {breaks: true}}\n", "`ZeroDivisionError`: a fault of the plug-in"),
        ("version: 1\nengine: {desk: }\ndetectors: {pre_prompt: [digits]}\n", "did you mean `digit`?"),
        ('version: 1\nengine: {desk: {name: "${NOT_SET_ANYWHERE}"}}\n', "NOT_SET_ANYWHERE"),
        ("version: [1", "not valid yaml"),
    ],
)
def test_what_does_not_load_is_one_message_on_standard_error(run, settings, text, message):
    result = run("check", "-c", settings(text))
    assert result.exit_code == 3
    assert result.stdout == ""
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("error: ")


def test_control_characters_of_a_settings_file_do_not_reach_the_terminal(run, settings):
    result = run("check", "-c", settings('version: 1\nengine: {"\\e[31mdesk": }\n'))
    assert result.exit_code == 3
    assert "\x1b" not in result.stderr


@pytest.fixture
def litellm(monkeypatch):
    real = plugins.available.__wrapped__("host")
    point = plugins.EntryPoint("litellm", "desk_plugin:probe", "checkrein.hosts")
    found = {"host": {**real, "litellm": point}}
    monkeypatch.setattr(plugins, "available", lambda kind: found.get(kind, {}))


def test_the_denials_fired_through_a_proxy_are_listed(run, litellm, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("direct streamed")
    result = run("check", "--litellm", config)
    assert result.exit_code == 0
    assert "ok pre_prompt direct seen ok pre_prompt streamed seen 2 denials held" in words(result)


def test_one_denial_that_came_through_fails_the_check(run, litellm, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("direct hole")
    result = run("check", "--litellm", config)
    assert result.exit_code == 4
    assert "FAILED pre_prompt hole seen 1 of 2 denials did not hold" in words(result)
    told = json.loads(run("check", "--litellm", config, "--json").stdout)
    assert [one["ok"] for one in told["litellm"]] == [True, False]
    assert told["litellm"][0]["stage"] == "pre_prompt"


def test_what_a_host_does_not_cover_is_shown_with_what_the_settings_say(run, litellm, tmp_path, monkeypatch):
    class Results(list):
        endpoints = (
            SimpleNamespace(name="realtime", allowed=True, passes="all of a session"),
            SimpleNamespace(name="videos", allowed=False, passes="prompts of videos"),
        )
        warnings = ("somebody hears of it",)

    plugin = import_module("desk_plugin")
    probe = plugin.probe
    monkeypatch.setattr(plugin, "probe", lambda config: Results(probe(config)))
    config = tmp_path / "config.yaml"
    config.write_text("direct")
    shown = words(run("check", "--litellm", config))
    assert "realtime allow passes unjudged: all of a session videos deny prompts of videos" in shown
    told = json.loads(run("check", "--litellm", config, "--json").stdout)
    assert told["uncovered"] == [
        {"name": "realtime", "calls": "allow", "passes": "all of a session"},
        {"name": "videos", "calls": "deny", "passes": "prompts of videos"},
    ]
    assert "look at ! somebody hears of it" in shown
    assert told["warnings"] == ["somebody hears of it"]


def test_an_endpoint_that_passes_unjudged_is_something_to_look_at(run, settings):
    path = settings("version: 1\nengine: {desk: }\nuncovered: {realtime: allow, videos: deny}\n")
    shown = words(run("check", "-c", path))
    assert "`uncovered.realtime` is `allow`" in shown
    assert "uncovered.videos" not in shown


def test_who_may_opt_out_is_something_to_look_at(run, settings):
    path = settings("version: 1\nengine: {desk: }\nopt_outs: {key: ignore, team: allow}\n")
    shown = words(run("check", "-c", path))
    assert "`opt_outs.team` is `allow`: whoever LiteLLM takes out there is not judged" in shown
    assert "opt_outs.key" not in shown


def test_a_proxy_that_nothing_was_fired_at_fails_the_check(run, litellm, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("")
    result = run("check", "--litellm", config)
    assert result.exit_code == 4
    assert "was not probed" in result.stderr


def test_without_the_host_the_error_names_its_extra(run, monkeypatch, tmp_path):
    monkeypatch.setattr(plugins, "available", lambda kind: {})
    result = run("check", "--litellm", tmp_path / "config.yaml")
    assert result.exit_code == 3
    assert "pip install 'checkrein[litellm]'" in result.stderr
