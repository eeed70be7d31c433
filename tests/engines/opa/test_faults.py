"""What OPA may answer instead of a decision: statuses, bodies, warnings, healths, revisions."""

import json

import pytest
from scripted import TRUE, answer, says

from checkrein.errors import EngineFailure


def opa_error(code, *inner):
    errors = [{"code": one, "message": "SECRET", "location": {"file": "SECRET"}} for one in inner]
    return json.dumps({"code": code, "message": "SECRET", **({"errors": errors} if errors else {})}).encode()


STATUSES = {
    "redirect": ("invalid_answer", answer(TRUE, status="301 Moved", headers="Location: /v1/data\r\n")),
    "temporary redirect": ("invalid_answer", answer(TRUE, status="307 x", headers="Location: /\r\n")),
    "not modified": ("invalid_answer", b"HTTP/1.1 304 Not Modified\r\n\r\n"),
    "no content": ("invalid_answer", b"HTTP/1.1 204 No Content\r\n\r\n"),
    "created": ("invalid_answer", answer(TRUE, status="201 Created")),
    "partial": ("invalid_answer", answer(TRUE, status="206 Partial")),
    "no status": ("invalid_answer", answer(TRUE, status="600 x")),
    "bad request": ("engine_error", answer(opa_error("invalid_parameter"), status="400 x")),
    "unauthorised": ("engine_error", answer(b"", status="401 x")),
    "forbidden": ("engine_error", answer(b"<html>SECRET", status="403 x")),
    "not found": ("engine_error", answer(b"SECRET", status="404 x")),
    "too large": ("engine_error", answer(b"", status="413 x")),
    "too many": ("engine_error", answer(b"", status="429 x")),
    "internal": ("unreachable", answer(b"SECRET", status="500 x")),
    "internal of OPA": ("unreachable", answer(opa_error("internal_error"), status="500 x")),
    "bad gateway": ("unreachable", answer(b"<html>SECRET", status="502 x")),
    "unavailable": ("unreachable", answer(b"", status="503 x")),
    "gateway timeout": ("unreachable", answer(b"", status="504 x")),
    "conflict": (
        "engine_error",
        answer(opa_error("internal_error", "eval_conflict_error"), status="500 x"),
    ),
    "built-in": ("engine_error", answer(opa_error("internal_error", "eval_builtin_error"), status="500 x")),
    "with": ("engine_error", answer(opa_error("internal_error", "eval_with_merge_error"), status="500 x")),
    "cancelled": ("engine_error", answer(opa_error("internal_error", "eval_cancel_error"), status="500 x")),
}
BODIES = {
    "empty": b"",
    "HTML": b"<html>SECRET</html>",
    "truncated": b'{"result":tru',
    "trailing": b'{"result":true} true',
    "two": b'{"result":true}{"result":true}',
    "array": b'[{"result":true}]',
    "true": b"true",
    "null": b"null",
    "NaN": b'{"result":true,"x":NaN}',
    "twice": b'{"result":false,"result":true}',
    "twice inside": b'{"result":{"allow":false,"allow":true}}',
    "twice, spelt otherwise": b'{"result":{"allow":false,"\\u0061llow":true}}',
    "not UTF-8": b'{"result":true,"x":"\xff"}',
    "surrogate": b'{"result":{"allow":true,"reasons":["\\ud800"]}}',
    "deep": b'{"result":true,"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "byte order mark": b'\xef\xbb\xbf{"result":true}',
    "UTF-16": '{"result":true}'.encode("utf-16"),
    "gzip": b"\x1f\x8b\x08\x00",
    "string": b'{"result":"true"}',
    "number": b'{"result":1}',
    "null result": b'{"result":null}',
    "id": b'{"result":true,"decision_id":7}',
    "id of lines": b'{"result":true,"decision_id":"a\\nb"}',
    "long id": b'{"result":true,"decision_id":"' + b"a" * 300 + b'"}',
    "provenance": b'{"result":true,"provenance":[]}',
    "bundles": b'{"result":true,"provenance":{"bundles":[1]}}',
    "bundle": b'{"result":true,"provenance":{"bundles":{"a":1}}}',
    "revision": b'{"result":true,"provenance":{"bundles":{"a":{"revision":1}}}}',
    "revision of lines": b'{"result":true,"provenance":{"bundles":{"a":{"revision":"x\\ny"}}}}',
}


@pytest.mark.parametrize("fault", STATUSES)
def test_a_status_has_its_cause(scripted, engine_of, ask, question, fault):
    cause, data = STATUSES[fault]
    server = scripted(says(data))
    with pytest.raises(EngineFailure) as caught:
        ask(engine_of(server), question())
    assert caught.value.cause == cause
    assert "SECRET" not in caught.value.detail
    assert ("redirect" in caught.value.detail) is (
        fault in {"redirect", "temporary redirect", "not modified"}
    )
    assert len(server.questions) == 1  # neither followed nor asked again


@pytest.mark.parametrize("fault", BODIES)
def test_a_body_that_is_no_answer_is_invalid(scripted, engine_of, ask, question, fault):
    server = scripted(says(answer(BODIES[fault])))
    with pytest.raises(EngineFailure) as caught:
        ask(engine_of(server), question())
    assert caught.value.cause == "invalid_answer"
    assert "SECRET" not in caught.value.detail


def test_a_warning_is_an_error_whatever_the_result(scripted, engine_of, ask, question):
    body = b'{"result":true,"warning":{"code":"api_usage_warning","message":"SECRET"}}'
    with pytest.raises(EngineFailure, match="api_usage_warning") as caught:
        ask(engine_of(scripted(says(answer(body)))), question())
    assert caught.value.cause == "engine_error"
    assert "SECRET" not in caught.value.detail


def test_codes_that_are_no_codes_are_not_repeated(scripted, engine_of, ask, question):
    body = json.dumps({"code": "SECRET words", "errors": [{"code": "a\nb"}, 7, {"code": "rego_type_error"}]})
    with pytest.raises(EngineFailure) as caught:
        ask(engine_of(scripted(says(answer(body.encode(), status="400 x")))), question())
    assert caught.value.detail == "`400`: OPA answers an error: `rego_type_error`"


def test_a_huge_answer_is_refused_before_it_has_come(scripted, engine_of, ask, question):
    def script(call):
        call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        call.hang()

    with pytest.raises(EngineFailure, match="over `8388608` bytes") as caught:
        ask(engine_of(scripted(script)), question())
    assert caught.value.cause == "invalid_answer"


def test_what_speaks_no_http_is_no_outage(scripted, engine_of, ask, question):
    server = scripted(lambda _: None, greet=lambda call: call.send(b"220 mail.example.com ESMTP\r\n"))
    with pytest.raises(EngineFailure, match="what answers speaks") as caught:
        ask(engine_of(server), question())
    assert caught.value.cause == "invalid_answer"


HEALTHS = {
    "unready": ("unreachable", answer(b'{"error":"SECRET"}', status="500 x")),
    "behind a gateway that is away": ("unreachable", answer(b"", status="503 x")),
    "not to be read": ("engine_error", answer(b"", status="401 x")),
    "hidden": ("engine_error", answer(b"", status="404 x")),
    "moved": ("engine_error", answer(b"", status="302 x")),
    "nonsense": ("invalid_answer", b"nonsense\r\n\r\n"),
}


@pytest.mark.parametrize("health", HEALTHS)
def test_an_undefined_rule_is_an_outage_only_where_opa_itself_says_so(
    scripted, engine_of, ask, question, health
):
    """Callers can bring about an undefined rule: leave out a property, for instance."""
    cause, data = HEALTHS[health]
    server = scripted(lambda call: call.send(data if b"/health" in call.request else answer(b"{}")))
    with pytest.raises(EngineFailure) as caught:
        ask(engine_of(server), question())
    assert caught.value.cause == cause


def test_a_health_that_never_comes_is_a_timeout(scripted, engine_of, ask, question):
    server = scripted(lambda call: call.hang() if b"/health" in call.request else call.send(answer(b"{}")))
    with pytest.raises(EngineFailure) as caught:
        ask(engine_of(server, timeout=0.1), question())
    assert caught.value.cause == "timeout"


def test_several_bundles_are_named_with_their_revisions(scripted, engine_of, ask, question):
    bundles = {"b": {"revision": "2"}, "a": {"revision": "1"}, "c": {}}
    body = json.dumps({"result": True, "provenance": {"version": "1.20.2", "bundles": bundles}}).encode()
    assert ask(engine_of(scripted(says(answer(body)))), question()).revision == "a=1, b=2"


def test_the_older_form_of_a_revision_is_read(scripted, engine_of, ask, question):
    body = b'{"result":true,"provenance":{"version":"0.10","revision":"old"}}'
    assert ask(engine_of(scripted(says(answer(body)))), question()).revision == "old"


def test_a_long_revision_is_shortened(scripted, engine_of, ask, question):
    body = json.dumps({"result": True, "provenance": {"bundles": {"a": {"revision": "x" * 9999}}}}).encode()
    assert len(ask(engine_of(scripted(says(answer(body)))), question()).revision) == 256
