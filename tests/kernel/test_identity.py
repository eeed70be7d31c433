"""Who asks: bound by the application, else read by the settings' mapping."""

import contextvars
import threading
from types import SimpleNamespace

import pytest

from checkrein.identity import IdentityFields, acting_as, current_identity, identity_from
from checkrein.vocabulary import ANONYMOUS, Entity


def test_nobody_is_the_anonymous_subject():
    identity = current_identity()
    assert identity.subject == ANONYMOUS
    assert identity.facts == {"source": "none", "asserted": False}


def test_acting_as_nests_and_ends_with_its_block_even_by_an_exception():
    def fails():
        with acting_as(Entity(type="service", id="batch")):
            assert current_identity().subject == Entity(type="service", id="batch")
            raise KeyError

    with acting_as("alice"):
        with pytest.raises(KeyError):
            fails()
        assert current_identity().subject.id == "alice"
    assert current_identity().subject == ANONYMOUS


def test_a_context_that_is_copied_to_a_thread_keeps_the_subject():
    seen = []
    with acting_as("alice"):
        context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(lambda: seen.append(current_identity()),))
    thread.start()
    thread.join()
    assert seen[0].subject.id == "alice"
    assert seen[0].source == "context"


KEY = {
    "user_id": "",
    "key_alias": "batch",
    "team_id": "t1",
    "metadata": {"tier": "enterprise"},
    "team_metadata": {"tier": "free", "off": False, "zero": 0},
    "jwt_claims": {"https://example.com/tier": "gold"},
}


@pytest.mark.parametrize("values", [KEY, SimpleNamespace(**KEY)])
def test_the_first_path_that_is_set_counts(values):
    fields = IdentityFields.model_validate(
        {
            "id": ["user_id", "key_alias"],
            "properties": {
                "team": "team_id",
                "tier": ["team_metadata.tier", "metadata.tier"],
                "gold": "jwt_claims.https://example.com/tier",
                "off": "team_metadata.off",
                "zero": "team_metadata.zero",
                "none": "team_metadata.tier.deeper.still",
            },
        }
    )
    identity = identity_from(fields, values, source="key", asserted=False)
    assert identity.subject == Entity(
        type="user",
        id="batch",
        properties={"team": "t1", "tier": "free", "gold": "gold", "off": False, "zero": 0},
    )


@pytest.mark.parametrize("value", [None, "", {"a": 1}, ["a"], True])
def test_an_id_that_is_none_names_nobody(value):
    assert identity_from(IdentityFields(id=("x",)), {"x": value}, source="key", asserted=False) is None


def test_a_number_is_an_id():
    assert identity_from(IdentityFields(id=("x",)), {"x": 7}, source="key", asserted=True).subject.id == "7"
