"""`checkrein try`: one call, asked as a host would, and nothing of it in the decision log."""

import json

import pytest

ROUTED = ("--model", "auto")


def words(result):
    return " ".join(result.stdout.split())


@pytest.fixture
def told(run, settings):
    """The call as JSON."""

    def ask(*arguments, path=None, **options):
        result = run("try", *arguments, "-c", path or settings(), "--json", **options)
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    return ask


def outcomes(told):
    return [
        (one["stage"], *[decision["outcome"] for decision in one["decisions"]], *filter(None, [one["note"]]))
        for one in told["stages"]
    ]


def test_a_call_is_routed_redacted_sent_and_returned(told):
    call = told("call 555", *ROUTED, "--completion", "it was 42")
    assert call["denied"] is False
    assert call["caller_sees"] is None
    assert call["model"] == {"asked": "auto", "used": "small"}
    assert call["prompt"] == "call [REDACTED:digit]"
    assert call["completion"] == "it was [REDACTED:digit]"
    assert outcomes(call) == [
        ("model_selection", "permitted", "permitted"),
        ("pre_prompt", "permitted"),
        ("post_completion", "permitted"),
    ]
    route, target = call["stages"][0]["decisions"]
    assert (route["resource"], target["resource"]) == ("auto", "small")
    assert {one["type"]: one["state"] for one in route["obligations"]} == {
        "route": "done",
        "limit_tokens": "done",
    }
    (prompt,) = call["stages"][1]["decisions"]
    assert prompt["resource"] == "small"
    assert prompt["reasons"] == [{"code": "digits.taken_out", "message": ""}]
    assert prompt["findings"] == {"digit": 1}
    assert prompt["answers"][0]["policy_ids"] == ["desk.pre_prompt"]
    assert prompt["answers"][0]["duration_us"] >= 0


def test_the_same_for_people(run, settings):
    result = run(
        "try", "call 555", *ROUTED, "--completion", "it was 42", "-c", settings(), "--as", "user:al,tier=pro"
    )
    assert result.exit_code == 0
    said = words(result)
    for part in (
        "as user:al tier=pro asks for auto",
        "model_selection permitted auto obligations route model=small done limit_tokens max_tokens=64 done",
        "pre_prompt permitted small reasons digits.taken_out",
        'obligations redact types=["digit"] done found digit',
        "policies desk.post_completion",
        "model small instead of auto sent call [REDACTED:digit] returned it was [REDACTED:digit]",
    ):
        assert part in said
    assert "555" not in said


def test_a_denial_is_an_answer_and_ends_the_call(told, run, settings):
    call = told("forbidden fruit", "--completion", "yes")
    assert call["denied"] is True
    assert call["prompt"] is None
    assert call["completion"] is None
    assert call["model"]["used"] is None
    assert call["caller_sees"].startswith("Ask something else. Ref ")
    assert outcomes(call) == [
        ("model_selection", "permitted"),
        ("pre_prompt", "denied"),
        ("post_completion", "not reached: the call was denied before"),
    ]
    said = words(run("try", "forbidden fruit", "-c", settings()))
    assert "pre_prompt denied" in said
    assert "prompt.forbidden said: forbidden fruit" in said
    assert said.endswith("sent nothing")


def test_the_subject_counts(told):
    asked = ("hi", "--model", "large")
    assert told(*asked, "--as", "user:bob,tier=free")["stages"][0]["decisions"][0]["reasons"] == [
        {"code": "tier.model_size", "message": "a free tier may use small models"}
    ]
    assert told(*asked, "--as", "user:bob,tier=pro")["denied"] is False
    assert told(*asked)["subject"] == {"type": "anonymous", "id": "anonymous", "properties": {}}


def test_without_a_completion_its_stage_is_skipped_and_said_so(told):
    call = told("hi")
    assert outcomes(call)[-1] == ("post_completion", "skipped: no --completion was given")
    assert call["completion"] is None


def test_a_completion_that_is_denied_is_not_returned_and_the_prompt_was_sent(told, settings):
    only = settings("version: 1\nengine: {desk: {stages: [pre_prompt]}}\nunchecked: [model_selection]\n")
    call = told("hi", "--completion", "ho", path=only)
    assert outcomes(call) == [
        ("model_selection", "unchecked"),
        ("pre_prompt", "permitted"),
        ("post_completion", "no engine covers it: a host that hooks it refuses to start"),
    ]
    failing = settings("version: 1\nengine: {desk: {fails: timeout, stages: [post_completion]}}\n")
    call = told("hi", "--completion", "ho", path=failing)
    assert call["denied"] is True
    assert call["prompt"] == "hi"
    assert call["completion"] is None


def test_under_monitor_it_passes_unchanged_and_says_what_would_have_been(told, run, settings):
    path = settings(f"{MONITORED}enforcement: {{default: monitor}}\n")
    call = told("forbidden 555", path=path)
    assert outcomes(call)[1] == ("pre_prompt", "would deny (monitor)")
    assert call["prompt"] == "forbidden 555"
    assert outcomes(told("call 555", path=path))[1] == ("pre_prompt", "permitted (monitor)")
    assert told("call 555", path=path)["prompt"] == "call 555"
    said = words(run("try", "forbidden", "-c", path))
    assert "monitor would be denied at pre_prompt, and passes" in said
    assert "sent forbidden" in said


MONITORED = "version: 1\nengine: {desk: }\ndetectors: {pre_prompt: [digit]}\n"


def test_an_opening_is_called_one(told, run, settings):
    path = settings(
        "version: 1\nengine: {desk: {remote: true, fails: timeout}}\n"
        "failure: {open_on: {model_selection: [timeout], pre_prompt: [timeout]}}\n"
    )
    call = told("hi", path=path)
    assert outcomes(call)[:2] == [("model_selection", "failed open"), ("pre_prompt", "failed open")]
    said = words(run("try", "hi", "-c", path))
    assert "engine desk failed: timeout" in said
    assert "as told" in said


def test_nothing_of_it_stands_in_the_decision_log(told, tmp_path):
    told("call 555", "--completion", "42")
    assert not (tmp_path / "decisions.jsonl").exists()


def test_a_prompt_can_come_through_a_pipe(told):
    assert told("-", stdin="hello\n")["prompt"] == "hello"
    assert told("-", stdin="two\n\n")["prompt"] == "two\n"
    assert told("-", stdin="")["prompt"] == ""


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"a\xff", "limit.encoding"), (b"a" * 50, "limit.text"), ("é".encode() * 6, "limit.text")],
)
def test_a_pipe_of_the_wrong_bytes_or_size_is_a_denial(told, settings, content, code):
    path = settings(MONITORED + "limits: {text: 11}\n")
    call = told("-", stdin=content, path=path)
    assert call["stages"][0]["decisions"][0]["reasons"][0]["code"] == code


def test_a_prompt_cannot_style_or_steer_the_terminal(run, settings):
    result = run(
        "try", "[red]x[/red] \x1b[my\x07 :smile:", "-c", settings(), "--as", "user:\x1b[2Jal,k=[bold]"
    )
    assert "sent [red]x[/red] [my :smile:" in words(result)
    assert "user:[2Jal k=[bold]" in words(result)
    assert not {"\x1b", "\x07"} & set(result.stdout)


def test_a_subject_of_another_shape_is_a_usage_error_with_an_example(run, settings):
    result = run("try", "hi", "-c", settings(), "--as", "alice")
    assert result.exit_code == 2
    assert "user:alice,tier=free" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("width", [80, 120])
def test_ids_are_whole_at_every_width(run, settings, width):
    path = settings(MONITORED)
    result = run("try", "hi", "-c", path, "--model", "m" * 200, "--as", f"user:{'i' * 200}", width=width)
    assert max(map(len, result.stdout.splitlines())) <= width
    assert "…" not in result.stdout
    assert "m" * 200 in "".join(result.stdout.split())
    assert "i" * 200 in "".join(result.stdout.split())
