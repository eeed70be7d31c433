"""Callers, the claims that settings may trust, and who acted by the records."""

from langchain_core.language_models import FakeListChatModel

from checkrein import Entity

ALICE = Entity(type="user", id="alice", properties={"tier": "pro", "token": "very-secret"})
METADATA = {"langchain": {"metadata": {"id": "user_id", "properties": {"tier": "tier"}}, "trusted": True}}


def who(point):
    """The subjects of the records so far, and where they came from."""
    found = {(one.request.subject.id, one.request.identity["source"]) for one in point.records}
    (only,) = found
    return only


def asserted(point):
    (only,) = {one.request.identity["asserted"] for one in point.records}
    return only


def answering():
    return FakeListChatModel(responses=["a", "b", "c"])
