"""`checkrein explain`: a request from a file is decided now, and what is none is a usage error."""

import json

import pytest
from explained import SECRET, words


def test_a_request_is_decided_now_and_nothing_is_logged(run, settings, tmp_path):
    request = {
        "subject": {"type": "user", "id": "alice", "properties": {"tier": "free"}},
        "action": {"name": "submit_prompt"},
        "resource": {"type": "model", "id": "small"},
        "context": {"prompt": {"text": SECRET}},
    }
    path = tmp_path / "request.json"
    path.write_text(json.dumps(request))
    result = run("explain", path, "-c", settings())
    assert result.exit_code == 0
    said = words(result)
    assert "pre_prompt denied decided now, not recorded" in said
    assert "prompt.forbidden hidden: it repeats the text" in said
    assert "asked desk.pre_prompt" in said
    assert "fruit" not in result.stdout
    assert not (tmp_path / "decisions.jsonl").exists()


def test_an_input_document_is_a_request_too_and_a_route_shows_every_decision(run, settings):
    request = {
        "stage": "model_selection",
        "subject": {"type": "user", "id": "alice", "properties": {}},
        "action": {"name": "invoke_model"},
        "resource": {"type": "model", "id": "auto", "properties": {}},
        "context": {"prompt": "hello", "supported_obligations": ["route", "limit_tokens"]},
    }
    result = run("explain", "-", "-c", settings(), "--json", stdin=json.dumps(request))
    first, second = json.loads(result.stdout)["decisions"]
    assert (first["resource"]["id"], second["resource"]["id"]) == ("auto", "small")
    assert [one["type"] for one in first["obligations"]] == ["route", "limit_tokens"]
    assert first["facts"]["supported_obligations"] == ["limit_tokens", "route"]


def test_the_pieces_of_a_document_stay_who_wrote_them(run, settings):
    request = {
        "stage": "pre_prompt",
        "subject": {"type": "user", "id": "alice"},
        "resource": {"type": "model", "id": "small"},
        "context": {
            "prompt": {
                "text": "be kind\nhello",
                "segments": [
                    {"role": "system", "origin": "system", "start": 0, "end": 7},
                    {"role": "user", "origin": "user", "start": 8, "end": 13},
                ],
            }
        },
    }
    said = words(run("explain", "-", "-c", settings(), stdin=json.dumps(request)))
    assert "13 code points, 3 words; system x1, user x1, 1 current" in said


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        ((), None, "give a file"),
        (("-", "--log", "x", "--id", "y"), "{}", "give a file"),
        (("--log", "x"), None, "give a file"),
        (("--id", "x"), None, "give a file"),
        (("-",), "no json", "is no JSON document"),
        (("-",), '{"a": 1}\n{"a": 2}\n', "name a decision with `--log` and `--id`"),
        (("-",), "[1]", "neither a decision record nor a request"),
        (("-",), "{}", "--config"),
        (("none.json",), None, "cannot be read"),
        (("--log", "none.jsonl", "--id", "x"), None, "cannot be read"),
        (("-",), "[" * 100_000, "is no JSON document"),
        (("-",), '{"a": ' * 300 + "1" + "}" * 300, "is no JSON document"),
    ],
)
def test_what_cannot_be_explained_is_a_usage_error(run, arguments, stdin, said):
    result = run("explain", *arguments, stdin=stdin, width=200)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"stage": "nowhere"},
        {"stage": "pre_prompt", "subject": {"id": 1}, "resource": {"type": "model", "id": "m"}},
        {"stage": "pre_prompt", "subject": {"type": "user", "id": "a"}, "resource": {}, "extra": 1},
        {
            "stage": "pre_prompt",
            "subject": {"type": "user", "id": "a"},
            "resource": {"type": "model", "id": "m"},
            "context": {"prompt": {"text": "hello", "segments": [{"role": "user"}]}},
        },
    ],
)
def test_what_is_no_request_is_a_usage_error_without_its_text(run, settings, request_):
    result = run("explain", "-", "-c", settings(), stdin=json.dumps(request_), width=200)
    assert result.exit_code == 2
    assert "this is no request" in result.stderr
    assert "hello" not in result.output
