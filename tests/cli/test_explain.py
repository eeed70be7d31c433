"""`checkrein explain`: what a decision was made of, whatever stands in the record, and never the text."""

import json
import re

import pytest

from checkrein.enforcement import EnforcementPoint
from checkrein.obligations import allowed_at
from checkrein.vocabulary import AccessRequest, Entity, Origin, Segment, Stage

SECRET = "forbidden fruit is what the prompt spoke of"
ALICE = Entity(type="user", id="alice", properties={"tier": "free"})
CEDAR = """
@id("small_models")
permit (principal, action == Action::"invoke_model", resource)
when { resource has size && resource.size == "small" };

@id("no_large")
@code("tier.model_size")
forbid (principal, action == Action::"invoke_model", resource)
when { resource has size && resource.size == "large" };
"""
CEDAR_SETTINGS = """
version: 1
engine: {cedar: {policies: policies.cedar, stages: [model_selection]}}
decision_log: {to: decisions.jsonl}
"""


REGO = """package checkrein.model_selection

default decision := {"allow": true}

decision := {"allow": false, "reasons": reasons} if count(reasons) > 0

reasons contains {"code": code, "msg": "not in this plan"} if {
	input.resource.properties.size == "large"
	code := concat(".", ["tier", "model_size"])
}
"""
POLAR = """permit(_, "invoke_model", _, _);
permit(_, "submit_prompt", _, _);

deny(_, "submit_prompt", _, _, "never") if 1 = 2;
deny(_, "invoke_model", r, _, "tier.model_size") if
    r.get("size") = "large";
"""
MODEL = """
[request_definition]
r = sub, obj, act, dom, subject, resource, ctx
[policy_definition]
p = act, rule, eft, code
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
[matchers]
m = r.act == p.act && eval(p.rule)
"""
ROWS = """# who may

p, invoke_model, True, allow,
p, invoke_model, r.resource.size == 'large', deny, tier.model_size
"""
DENYING_ROW = "p, invoke_model, r.resource.size == 'large', deny, tier.model_size"
RULE = "data.checkrein.model_selection.decision"
# By engine: its files, its node, what its verdict names, where that stands, and where the reason is written.
ENGINES = {
    "cedar": ({"x.cedar": CEDAR}, "cedar: {policies: x.cedar}", "no_large", "x.cedar:6", []),
    "casbin": (
        {"m.conf": MODEL, "p.csv": ROWS},
        "casbin: {model: m.conf, policy: p.csv}",
        DENYING_ROW,
        "p.csv:4",
        [],
    ),
    "oso": ({"polar/a.polar": POLAR}, "oso: {policies: polar}", "deny", "a.polar:4", ["a.polar:5"]),
    "regopy": ({"r/a/b.rego": REGO}, "rego: {bundle: r}", RULE, "a/b.rego:3", ["a/b.rego:7"]),
    "regorus": (
        {"r/b.rego": REGO},
        "rego: {bundle: r, backend: regorus, name: rules}",
        RULE,
        "b.rego:3",
        ["b.rego:7"],
    ),
}
LARGE = {"size": "large"}


def words(result):
    return " ".join(result.stdout.split())


def asked(stage, text="", *, model="small", properties=None, context=None):
    origin = Origin.ASSISTANT if stage is Stage.POST_COMPLETION else Origin.USER
    pieces = (Segment(path=(0,), role=origin.value, origin=origin, text=text),) if text else ()
    return AccessRequest(
        stage=stage,
        subject=ALICE,
        resource=Entity(type="model", id=model, properties=properties or {}),
        context={"operation": "chat", **(context or {})},
        segments=pieces,
        supports=allowed_at(stage),
        call_id="call-1",
    )


@pytest.fixture
def logged(settings, tmp_path):
    """Decides requests as a host would and gives the settings, the log, and the records in it."""

    def decide(*requests, text=None, **replaced):
        path = settings(text, **replaced) if text else settings(**replaced)
        pep = EnforcementPoint.from_settings(path)
        for request in requests:
            pep.decide(request)
        pep.close()
        log = tmp_path / "decisions.jsonl"
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        return path, log, [line for line in lines if line["event"] == "policy_decision"]

    return decide


@pytest.fixture
def cedar(logged, tmp_path):
    (tmp_path / "policies.cedar").write_text(CEDAR)
    return lambda *requests: logged(*requests, text=CEDAR_SETTINGS)


@pytest.fixture
def governed(logged, tmp_path):
    """A decision at model selection by policies in files; gives what explains it."""

    def decide(files, node, *requests):
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        node = node if node.startswith("by") else f"{node[:-1]}, stages: [model_selection]}}"
        text = f"version: 1\nengine: {{{node}}}\ndecision_log: {{to: decisions.jsonl}}\n"
        path, log, _ = logged(*(requests or [asked(Stage.MODEL_SELECTION, properties=LARGE)]), text=text)
        return ("explain", "--log", log, "--id", "call-1", "-c", path)

    return decide


def test_a_recorded_decision_is_found_by_its_id_and_shown_with_everything_but_the_text(run, logged):
    _, log, (first, second) = logged(asked(Stage.PRE_PROMPT, SECRET), asked(Stage.PRE_PROMPT, "call 55 now"))
    said = words(run("explain", "--log", log, "--id", second["decision_id"]))
    for part in (
        f"pre_prompt permitted decision {second['decision_id']} call call-1",
        "subject user:alice tier=free",
        "resource model:small size=small",
        "prompt 11 code points, 3 words; user x1, 1 current",
        "found digit user, the current turn",
        "desk permit",
        "policies desk.pre_prompt",
        "revision r7",
        "reasons digits.taken_out",
        "obligations redact types=digit done",
        "changes texts=1",
    ):
        assert part in said
    assert first["decision_id"] not in said
    assert "call 55" not in said


def test_a_call_shows_all_of_its_decisions_in_order(run, logged):
    _, log, records = logged(asked(Stage.MODEL_SELECTION, "hi"), asked(Stage.PRE_PROMPT, SECRET))
    result = run("explain", "--log", log, "--id", "call-1", "--json")
    assert [one["decision_id"] for one in json.loads(result.stdout)["decisions"]] == [
        record["decision_id"] for record in records
    ]
    said = words(run("explain", "--log", log, "--id", "call-1"))
    assert said.index("model_selection permitted") < said.index("pre_prompt denied")


@pytest.mark.parametrize("content", ["facts", "full"])
def test_no_content_of_a_log_brings_the_text_onto_the_screen(run, logged, content):
    request = asked(Stage.PRE_PROMPT, f"{SECRET} 4711", context={"notes": "forbidden fruit in a note"})
    path, log, (record,) = logged(
        request, **{"{to: decisions.jsonl}": f"{{to: decisions.jsonl, content: {content}}}"}
    )
    if content == "full":
        assert SECRET in json.dumps(record)  # so that the test can fail
        assert SECRET in record["reasons"][0]["message"]
    for options in ((), ("--json",), ("-c", path), ("-c", path, "--json")):
        result = run("explain", "--log", log, "--id", "call-1", *options, width=300)
        assert result.exit_code == 0
        assert "prompt.forbidden" in result.stdout
        for text in ("fruit", "spoke of", "4711"):
            assert text not in result.output


def test_a_short_finding_that_a_message_repeats_is_hidden_too(run, logged):
    _, log, (record,) = logged(
        asked(Stage.PRE_PROMPT, "forbidden 987"),
        **{"{to: decisions.jsonl}": "{to: decisions.jsonl, content: full}"},
    )
    assert "987" in record["reasons"][0]["message"]
    result = run("explain", "--log", log, "--id", "call-1")
    assert "987" not in result.stdout
    assert "hidden: it repeats the text" in words(result)


def test_masked_text_stays_off_the_screen_as_well(run, logged):
    _, log, (record,) = logged(
        asked(Stage.PRE_PROMPT, "harmless words 42"),
        text="""
version: 1
engine: {desk: {stages: [pre_prompt]}}
detectors: {pre_prompt: [digit]}
decision_log: {to: decisions.jsonl, content: masked}
""",
    )
    assert "harmless words" in json.dumps(record)
    assert "harmless" not in run("explain", "--log", log, "--id", "call-1").stdout


def test_arguments_of_a_tool_are_told_by_their_names_alone(run, logged):
    request = AccessRequest(
        stage=Stage.TOOL_CALL,
        subject=ALICE,
        resource=Entity(type="tool", id="send"),
        context={"tool": {"arguments": {"body": "the secret words", "to": "bob"}}},
        supports=allowed_at(Stage.TOOL_CALL),
        call_id="call-1",
    )
    for content in ("facts", "full"):
        _, log, _ = logged(
            request, **{"{to: decisions.jsonl}": f"{{to: decisions.jsonl, content: {content}}}"}
        )
        result = run("explain", "--log", log, "--id", "call-1")
        assert "tool arguments=body, to" in words(result)
        assert "secret words" not in result.stdout
        log.unlink()


def test_one_record_from_standard_input_needs_no_settings(run, logged):
    _, _, (record,) = logged(asked(Stage.PRE_PROMPT, SECRET))
    result = run("explain", "-", stdin=json.dumps(record))
    assert result.exit_code == 0
    assert "pre_prompt denied" in words(result)
    assert "asked again" not in result.stdout


def test_where_a_policy_stands_is_told_as_long_as_it_is_the_same_policy(run, cedar, tmp_path):
    path, log, _ = cedar(asked(Stage.MODEL_SELECTION, properties={"size": "large"}))
    options = ("explain", "--log", log, "--id", "call-1", "-c", path)
    assert "policies no_large policies.cedar:6" in words(run(*options))
    assert "policies.cedar:6" not in words(run(*options[:-2]))
    (tmp_path / "policies.cedar").write_text("// a line more\n" + CEDAR)
    assert run(*options).exit_code == 0
    (tmp_path / "policies.cedar").write_text(CEDAR.replace('"small" }', '"tiny" }'))
    said = words(run(*options))
    recorded, _, again = said.partition("asked again")
    assert "policies.cedar:6" not in recorded
    assert "the policies have changed since" in recorded
    assert "policies.cedar:6" in again


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_tells_where_what_determined_a_decision_stands(run, governed, engine):
    files, node, named, place, written = ENGINES[engine]
    options = governed(files, node)
    begins = "begins at " if written else ""
    recorded, _, again = words(run(*options, width=200)).partition("asked again")
    assert f"policies {named} {begins}{place} revision" in recorded
    assert f"policies {named} {begins}{place} revision" in again
    why = recorded.partition("why reasons ")[2]
    assert why.startswith("tier.model_size ")
    assert re.findall(r"\S+:\d+\b", why) == written
    (told,) = json.loads(run(*options, "--json").stdout)["decisions"]
    for answer in (*told["answers"], *told["again"]["answers"]):
        assert answer["places"] == {named: place}
        assert answer["places_are"] == ("first definitions" if written else "policies")
    assert [reason["places"] for reason in told["reasons"]] == [written]


@pytest.mark.parametrize("engine", ENGINES)
def test_no_engine_tells_a_line_of_policies_that_have_changed(run, governed, engine, tmp_path):
    files, node, _, place, _ = ENGINES[engine]
    options = governed(files, node)
    name = [*files][-1]
    (tmp_path / name).write_text("\n\n" + files[name].replace("model_size", "size"))
    recorded, _, again = words(run(*options, width=200)).partition("asked again")
    assert "the policies have changed since" in recorded
    file, _, line = place.rpartition(":")
    assert f"{file}:" not in recorded
    assert f"{file}:{int(line) + 2}" in again
    (told,) = json.loads(run(*options, "--json").stdout)["decisions"]
    assert "places" not in told["answers"][0]
    assert [reason["places"] for reason in told["reasons"]] == [[]]


def test_of_two_engines_of_one_name_the_one_that_answered_tells(run, governed):
    other = "// another tenant's\n" * 3 + CEDAR.replace('"small"', '"tiny"')
    cases = (
        "{pro: {cedar: {policies: pro.cedar, stages: [model_selection]}},"
        " free: {cedar: {policies: free.cedar, stages: [model_selection]}}}"
    )
    node = f"by: {{key: subject.properties.tier, cases: {cases}}}"
    options = governed({"pro.cedar": CEDAR, "free.cedar": other}, node)
    said = words(run(*options))
    assert said.count("policies no_large free.cedar:9") == 2
    assert "have changed" not in said


def test_a_server_s_answer_has_no_places_and_nothing_is_said_of_them(run, logged, settings):
    _, _, (record,) = logged(asked(Stage.PRE_PROMPT, SECRET))
    record["answers"][0] |= {"engine": "opa", "policy_ids": ["data.checkrein.pre_prompt.decision"]}
    text = 'version: 1\nengine: {opa: {url: "http://127.0.0.1:1"}}\ndecision_log: {to: decisions.jsonl}\n'
    path = settings(text)
    said = words(run("explain", "-", "-c", path, stdin=json.dumps(record)))
    assert "policies data.checkrein.pre_prompt.decision revision r7" in said
    assert "begins at" not in said
    result = run("explain", "-", "-c", path, "--json", stdin=json.dumps(record))
    (told,) = json.loads(result.stdout)["decisions"]
    assert told["answers"][0]["places"] == {}
    assert "places_are" not in told["answers"][0]


def test_a_word_that_no_policy_wrote_as_a_reason_leads_nowhere(run, governed):
    module = """package checkrein.model_selection
deny contains sprintf("size %s", [input.resource.properties.size]) if input.resource.properties.size in {
	"denied", "large"
}
"""
    node = "rego: {bundle: b, entrypoints: {model_selection: data.checkrein.model_selection.deny}}"
    options = governed({"b/x.rego": module}, node)
    (told,) = json.loads(run(*options, "--json").stdout)["decisions"]
    assert [(one["code"], one["message"], one["places"]) for one in told["reasons"]] == [
        ("denied", "size large", [])
    ]


def test_a_word_that_stands_everywhere_is_shown_in_a_few_places(run, governed):
    module = REGO + '\nother := "not in this plan"\n' * 4
    options = governed({"r/x.rego": module}, "rego: {bundle: r}")
    said = words(run(*options, width=200))
    assert "tier.model_size not in this plan x.rego:7 x.rego:12 x.rego:14 and 2 more asked" in said
    (told,) = json.loads(run(*options, "--json").stdout)["decisions"]
    assert len(told["reasons"][0]["places"]) == 5


def test_a_reason_of_any_shape_leads_nowhere(run, governed):
    options = governed({"r/x.rego": REGO}, "rego: {bundle: r}")
    (record,) = [
        json.loads(line) for line in options[2].read_text().splitlines() if "policy_decision" in line
    ]
    odd = [{"code": ["tier"]}, {"code": {}, "message": 5}, {"message": ""}, {"code": "x" * 10**6}, {}]
    record["reasons"] = odd
    for answers in (record["answers"], [{"engine": "rego", "effect": "deny", "policy_ids": [[], {}, 5]}]):
        record["answers"] = answers
        result = run("explain", "-", *options[5:], "--json", stdin=json.dumps(record))
        (told,) = json.loads(result.stdout)["decisions"]
        assert [reason["places"] for reason in told["reasons"]] == [[]] * len(odd)


def test_a_call_that_may_not_be_stored_hides_its_reasons_for_that(run, governed):
    policies = CEDAR + '@obligation("[{\\"type\\": \\"no_store\\"}]") forbid (principal, action, resource);'
    options = governed(
        {"x.cedar": policies.replace("@code", '@reason("too large") @code')}, ENGINES["cedar"][1]
    )
    said = words(run(*options))
    assert "tier.model_size hidden: nothing of the call is stored" in said
    assert "too large" not in said


def test_an_engine_that_can_locate_its_policies_is_asked_for_file_and_line(run, logged, monkeypatch):
    from desk_plugin import Desk  # noqa: PLC0415 -- on the path only now

    path, log, _ = logged(asked(Stage.PRE_PROMPT, SECRET))
    monkeypatch.setattr(Desk, "locate", lambda _, policy: (f"{policy}.txt", 12), raising=False)
    said = words(run("explain", "--log", log, "--id", "call-1", "-c", path))
    assert "policies desk.pre_prompt desk.pre_prompt.txt:12" in said
    monkeypatch.setattr(Desk, "locate", lambda *_: None)
    assert run("explain", "--log", log, "--id", "call-1", "-c", path).exit_code == 0


def test_facts_that_are_whole_are_asked_again_and_the_difference_is_shown(run, cedar, tmp_path):
    path, log, _ = cedar(asked(Stage.MODEL_SELECTION, "hi", properties={"size": "large"}))
    options = ("explain", "--log", log, "--id", "call-1", "-c", path)
    assert "they answer the same" in words(run(*options))
    (tmp_path / "policies.cedar").write_text(CEDAR.replace('"large"', '"huge"').replace('"small"', '"large"'))
    said = words(run(*options))
    assert "answer: deny then, permit now" in said
    assert "reason tier.model_size: only then" in said
    told = json.loads(run(*options, "--json").stdout)["decisions"][0]["again"]
    assert told["asked"] is True
    assert told["permitted"] is True
    assert len(told["differences"]) == 2
    assert len(log.read_text().splitlines()) == 3  # nothing was recorded by looking


def test_a_full_record_is_asked_again_with_its_text_and_a_change_of_policy_shows(run, logged, monkeypatch):
    from desk_plugin import Desk  # noqa: PLC0415 -- on the path only now

    path, log, _ = logged(
        asked(Stage.PRE_PROMPT, SECRET), **{"{to: decisions.jsonl}": "{to: decisions.jsonl, content: full}"}
    )
    options = ("explain", "--log", log, "--id", "call-1", "-c", path)
    assert "they answer the same" in words(run(*options))
    seen = []

    def lenient(self, document):
        seen.append(document["context"]["prompt"])
        return Desk.at_model_selection(self, document)

    monkeypatch.setattr(Desk, "at_pre_prompt", lenient)
    assert "answer: deny then, permit now" in words(run(*options))
    ((prompt),) = seen
    assert prompt["text"] == SECRET
    assert prompt["length"] == len(SECRET)
    assert "digest" not in prompt["segments"][0]
    assert "text" not in prompt["segments"][0]


def test_the_document_that_is_asked_again_is_the_one_that_was_asked(run, logged, monkeypatch):
    from desk_plugin import Desk  # noqa: PLC0415 -- on the path only now

    seen = []
    evaluate = Desk.evaluate
    monkeypatch.setattr(Desk, "evaluate", lambda self, it: seen.append(it.document) or evaluate(self, it))
    request = asked(
        Stage.PRE_PROMPT, "call 55\nor 66", context={"usage": {"requests": 3}, "notes": ["of the host"]}
    )
    path, log, _ = logged(request, **{"{to: decisions.jsonl}": "{to: decisions.jsonl, content: full}"})
    run("explain", "--log", log, "--id", "call-1", "-c", path)
    then, now = seen
    assert now == then


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (asked(Stage.PRE_PROMPT, SECRET), "the record holds no text of the call"),
        (asked(Stage.MODEL_SELECTION, "hi", context={"notes": "text"}), "the record leaves out `notes`"),
        (asked(Stage.MODEL_SELECTION, "hi", context={"operation": "x" * 300}), "may have cut a long fact"),
        (
            asked(Stage.MODEL_SELECTION, "hi", context={"bad": object()}),
            "refused before any engine was asked",
        ),
    ],
)
def test_facts_that_are_not_whole_are_not_asked_and_it_says_why(run, logged, request_, why):
    path, log, _ = logged(request_)
    said = words(run("explain", "--log", log, "--id", "call-1", "-c", path))
    assert "not asked: " in said
    assert why in said


def test_arguments_that_a_record_only_names_are_not_asked_about(run, logged):
    request = AccessRequest(
        stage=Stage.TOOL_CALL,
        subject=ALICE,
        resource=Entity(type="tool", id="send"),
        context={"tool": {"arguments": {"to": "bob"}}},
        supports=allowed_at(Stage.TOOL_CALL),
        call_id="call-1",
    )
    path, log, _ = logged(request)
    options = ("explain", "--log", log, "--id", "call-1", "-c", path)
    assert "not asked: the record holds no arguments of the tool" in words(run(*options))
    log.unlink()
    path, log, _ = logged(request, **{"{to: decisions.jsonl}": "{to: decisions.jsonl, content: full}"})
    assert "they answer the same" in words(run(*options))


def test_masked_text_is_not_asked_about_as_if_it_were_the_text(run, logged):
    path, log, _ = logged(
        asked(Stage.PRE_PROMPT, "call 55"),
        text="""
version: 1
engine: {desk: {stages: [pre_prompt]}}
detectors: {pre_prompt: [digit]}
decision_log: {to: decisions.jsonl, content: masked}
""",
    )
    said = words(run("explain", "--log", log, "--id", "call-1", "-c", path))
    assert "not asked: the record holds masked text" in said


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


def test_an_id_that_is_not_in_the_log_is_a_usage_error(run, logged):
    _, log, (record,) = logged(asked(Stage.PRE_PROMPT, SECRET))
    for wanted in ("none", record["decision_id"][:-1], "user", ""):
        result = run("explain", "--log", log, "--id", wanted)
        assert result.exit_code == 2
        assert "holds no decision and no call" in " ".join(result.stderr.split())


def test_lines_that_are_no_records_are_passed_over(run, logged):
    _, log, (record,) = logged(asked(Stage.PRE_PROMPT, SECRET))
    name = record["decision_id"]
    log.write_text(f'{name} is no json\n{{"decision_id": "{name}"}}\n["{name}"]\n' + log.read_text())
    result = run("explain", "--log", log, "--id", name, "--json")
    assert len(json.loads(result.stdout)["decisions"]) == 1


@pytest.mark.parametrize(
    "damage",
    [
        {"input": None},
        {"input": {"context": {"prompt": {"segments": "x", "text": SECRET}}}},
        {"input": {"context": {"prompt": {"segments": [1, {"text": SECRET}], "text": SECRET}}}},
        {"input": {"context": {"prompt": {"segments": [{"text": SECRET, "origin": "user"}]}}}},
        {"input": {"stage": "pre_prompt", "subject": 1, "action": 2, "resource": 3, "context": {}}},
        {"input": {"context": {"tool": {"arguments": SECRET}, "findings": [{"start": "x"}]}}},
        {"input": {"context": {"notes": SECRET, "prompt": SECRET}}},
        {"answers": "x", "reasons": [1], "obligations": {"a": 1}, "changes": []},
        {"answers": [{"engine": "desk", "policy_ids": 3, "revision": 5}]},
        {"reasons": [{"code": 1, "message": {"a": [1]}}], "obligations": [{"properties": 3}]},
        {"reasons": [{"code": ["a"]}], "answers": [{"engine": {}, "policy_ids": [{}]}]},
        {"input": {"context": {"prompt": {"segments": [{"text": f"\ud800{SECRET}"}]}}}},
        {"attempt": [], "call_id": {}, "stage": 5, "timestamp": []},
    ],
)
def test_a_record_of_any_shape_is_shown_as_far_as_it_goes_and_without_text(run, logged, damage):
    path, _, (record,) = logged(asked(Stage.PRE_PROMPT, "hello"))
    for options in ((), ("--json",), ("-c", path)):
        result = run("explain", "-", *options, stdin=json.dumps({**record, **damage}))
        assert result.exit_code == 0, result.output
        assert "fruit" not in result.output


def test_no_record_steers_the_terminal(run, logged):
    _, _, (record,) = logged(asked(Stage.PRE_PROMPT, "hello"))
    nasty = "\x1b[31m[red]\u202e"
    record["input"]["subject"]["id"] = nasty
    record["reasons"] = [{"code": nasty, "message": nasty}]
    result = run("explain", "-", stdin=json.dumps(record))
    assert "\x1b" not in result.stdout
    assert "\u202e" not in result.stdout
    assert "[red]" in result.stdout


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_wider_than_the_terminal(run, logged, width):
    path, log, _ = logged(asked(Stage.PRE_PROMPT, "call 55"), asked(Stage.MODEL_SELECTION, "hi"))
    result = run("explain", "--log", log, "--id", "call-1", "-c", path, width=width)
    assert max(map(len, result.stdout.splitlines())) <= width


def test_of_several_candidates_each_is_told_and_none_is_asked_again(run, tmp_path):
    (tmp_path / "policies.cedar").write_text(CEDAR)
    settings = tmp_path / "checkrein.yaml"
    settings.write_text(CEDAR_SETTINGS)
    pep = EnforcementPoint.from_settings(settings)
    models = [
        Entity(type="model", id=f"[red]{size}", properties={"size": size}) for size in ("small", "large")
    ]
    request = AccessRequest(
        stage=Stage.MODEL_SELECTION, subject=ALICE, resource=Entity(type="model", id="any")
    )
    decision = pep.filter_candidates(request, models)
    pep.close()
    arguments = ("--log", tmp_path / "decisions.jsonl", "--id", decision.decision_id, "--config", settings)

    shown = run("explain", *arguments).stdout
    assert "[red]small  permitted" in shown
    assert "[red]large  refused  tier.model_size" in shown
    assert "not asked: it judged several candidates" in shown

    (told,) = json.loads(run("explain", *arguments, "--json").stdout)["decisions"]
    assert told["candidates"] == [
        {"id": "[red]small", "permitted": True, "codes": []},
        {"id": "[red]large", "permitted": False, "codes": ["tier.model_size"]},
    ]
