"""What a client reads of a denial, whichever library tells it."""

from __future__ import annotations

import httpx
import pytest

from checkrein import Denial, EnforcementPoint, PolicyDenied, denial_from
from checkrein.testing import StaticEngine, deny
from checkrein.vocabulary import AccessRequest, Entity, Stage

ID = "01a20d84-3235-7341-aa8b-a2480a6d8f7c"
TOLD = {
    "message": f"denied by policy: pii.us_ssn (decision {ID})",
    "type": "policy_denied",
    "param": None,
    "code": "403",
    "provider_specific_fields": {"decision_id": ID, "stage": "pre_prompt", "reasons": ["pii.us_ssn", "b"]},
}
WHOLE = Denial(decision_id=ID, stage="pre_prompt", reasons=("pii.us_ssn", "b"), message=TOLD["message"])


def status_error(body, status=403, headers=None):
    response = httpx.Response(
        status, json=body, headers=headers or {}, request=httpx.Request("POST", "http://127.0.0.1/")
    )
    with pytest.raises(httpx.HTTPStatusError) as error:
        response.raise_for_status()
    return error.value


class ApiError(Exception):
    """As client libraries make them: the body parsed, and the response."""

    def __init__(self, body, status=403, headers=None):
        super().__init__("403")
        self.body = body
        self.response = httpx.Response(status, headers=headers or {})
        self.status_code = status


def test_our_own_exception_tells_all_of_it():
    pep = EnforcementPoint(StaticEngine(deny("pii.us_ssn")), record=lambda _: None)
    request = AccessRequest(
        stage=Stage.PRE_PROMPT, subject=Entity(type="user", id="a"), resource=Entity(type="model", id="m")
    )
    denied = PolicyDenied(pep.decide(request))
    found = denial_from(denied)
    assert found is not None
    assert (found.decision_id, found.stage, found.code) == (denied.decision_id, "pre_prompt", "pii.us_ssn")
    assert found.message == str(denied)


def test_an_answer_over_http_is_read():
    assert denial_from(status_error({"error": TOLD})) == WHOLE
    assert WHOLE.code == "pii.us_ssn"


def test_a_client_that_hands_over_the_error_alone_is_read():
    assert denial_from(ApiError(TOLD)) == WHOLE
    assert denial_from(ApiError({"error": TOLD})) == WHOLE


def test_an_api_without_a_place_for_reasons_tells_them_in_its_message():
    body = {"type": "error", "error": {"type": "permission_error", "message": TOLD["message"]}}
    headers = {"x-checkrein-decision-id": ID}
    found = denial_from(ApiError(body, headers=headers))
    assert found == Denial(decision_id=ID, reasons=("pii.us_ssn",), message=TOLD["message"])
    catalogue = {"type": "error", "error": {"type": "permission_error", "message": f"No SSNs, please. {ID}"}}
    told = denial_from(ApiError(catalogue, headers=headers))
    assert told is not None
    assert (told.decision_id, told.code) == (ID, None)


def test_a_denial_is_found_behind_another_exception():
    denied = ApiError(TOLD)
    wrapped = RuntimeError("the chain broke")
    wrapped.__cause__ = denied
    assert denial_from(wrapped) == WHOLE
    with pytest.raises(ValueError, match="x") as hidden:
        raise_without(denied)
    assert denial_from(hidden.value) is None


def raise_without(error):
    try:
        raise error
    except ApiError:
        raise ValueError("x") from None


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        ApiError({"message": "no", "type": "permission_error"}),
        # The provider's own refusal of what policy permitted: the header names the permit.
        ApiError({"message": "no", "type": "permission_error"}, headers={"x-checkrein-decision-id": ID}),
        ApiError(TOLD, status=500),
        ApiError({**TOLD, "message": "x", "provider_specific_fields": {"decision_id": "x"}}),
        ApiError({**TOLD, "message": 5, "provider_specific_fields": {"decision_id": [ID]}}),
        ApiError(None),
        ApiError("text"),
        ApiError([TOLD]),
    ],
    ids=range(9),
)
def test_another_error_is_none(error):
    assert denial_from(error) is None


def test_what_a_server_may_send_breaks_nothing():
    body = {
        "error": {**TOLD, "provider_specific_fields": {"decision_id": ID, "stage": 5, "reasons": [1, "a"]}}
    }
    found = denial_from(status_error(body))
    assert found == Denial(decision_id=ID, reasons=("a",), message=TOLD["message"])
    looped = ValueError("x")
    looped.__cause__ = looped
    assert denial_from(looped) is None


def test_the_last_event_of_a_stream_is_read_though_its_status_was_sent_before():
    error = {
        "type": "permission_error",
        "message": "no",
        "provider_specific_fields": TOLD["provider_specific_fields"],
    }
    found = denial_from(ApiError({"type": "error", "error": error}, status=200))
    assert found is not None
    assert (found.decision_id, found.reasons, found.message) == (ID, ("pii.us_ssn", "b"), "no")
    assert denial_from(ApiError({"type": "error", "error": {"type": "overloaded_error"}}, status=200)) is None
