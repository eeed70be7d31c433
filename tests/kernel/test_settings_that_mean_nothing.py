"""Settings that would silently do nothing, or that no engine could be asked about, do not load."""

import pytest
from pydantic import ValidationError

from checkrein.decision_log.settings import DecisionLogSettings
from checkrein.settings import Settings


@pytest.mark.parametrize("price", ["input_price", "output_price"])
@pytest.mark.parametrize("value", ["2500000", 2.5, float("nan"), True, -1, 2**63, [1]], ids=repr)
def test_a_price_is_a_whole_number(price, value):
    with pytest.raises(ValidationError, match=f"`{price}` of `m` must be a whole number"):
        Settings.model_validate({"models": {"m": {price: value}}})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [1, float("-inf")]}, 2**64], ids=repr)
def test_no_engine_sees_a_property_that_json_has_no_number_for(value):
    with pytest.raises(ValidationError, match="`m`: "):
        Settings.model_validate({"models": {"m": {"weight": value}}})


def test_prices_and_properties_load():
    given = {"m": {"input_price": 0, "output_price": 2**63 - 1, "weight": 0.5, "tags": ["a"], "size": None}}
    assert Settings.model_validate({"models": given}).models == given


def test_a_message_names_nothing_that_is_not_filled_in():
    with pytest.raises(ValidationError, match=r"`\{decision_ID\}` is filled in by nothing; did you mean"):
        Settings.model_validate({"denials": {"messages": {"x": {"en": "Ref {decision_ID}"}}}})
    Settings.model_validate({"denials": {"messages": {"x": {"en": "Ref {decision_id}, {} and {1}"}}}})


def test_the_name_of_a_log_names_nothing_that_is_not_filled_in(tmp_path):
    with pytest.raises(ValidationError, match=r"`\{PID\}` is filled in by nothing; did you mean `\{pid\}`"):
        DecisionLogSettings.model_validate({"to": "a-{PID}.jsonl"}, context={"base": tmp_path})
    DecisionLogSettings.model_validate({"to": "a-{pid}.jsonl"}, context={"base": tmp_path})
