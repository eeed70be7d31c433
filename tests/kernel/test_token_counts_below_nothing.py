"""A limit of tokens that is none: some providers take -1, or 0, for as many tokens as there are."""

import pytest

from checkrein.detection import Detectors
from checkrein.document import build, with_resource
from checkrein.settings import Limits
from checkrein.testing import obligation, permit
from checkrein.vocabulary import Entity, Stage

PRICES = {"small": {"input_price": 1_000_000, "output_price": 1_000_000}}


def estimates(request, models=PRICES):
    evaluation = build(request, detectors=Detectors({}, {}), models=models, limits=Limits())
    again = with_resource(evaluation, Entity(type="model", id="small"), models=models, limits=Limits())
    assert again.document["context"]["estimated"] == evaluation.document["context"]["estimated"]
    return evaluation.document["context"]["estimated"]


@pytest.mark.parametrize("asked", [0, -1, -100_000, -(2**63), -0.5, 0.0])
def test_a_limit_below_one_token_is_unknown_and_so_is_the_cost(question, asked):
    given = {"estimated": {"prompt_tokens": 10, "max_tokens": asked}}
    assert estimates(question(context=given)) == {"prompt_tokens": 10}


@pytest.mark.parametrize("counted", [-1, -(2**63), -0.5])
def test_fewer_tokens_than_none_in_a_prompt_are_unknown(question, counted):
    given = {"estimated": {"prompt_tokens": counted, "max_tokens": 5}}
    assert estimates(question(context=given)) == {"max_tokens": 5}


def test_what_can_be_counted_is_kept(question):
    given = {"estimated": {"prompt_tokens": 0, "max_tokens": 1}}
    assert estimates(question(context=given)) == {"prompt_tokens": 0, "max_tokens": 1, "cost_micros": 1}


@pytest.mark.parametrize("price", ["input_price", "output_price"])
def test_a_negative_price_makes_the_cost_unknown(question, price):
    given = {"estimated": {"prompt_tokens": 1, "max_tokens": 1}}
    models = {"small": {**PRICES["small"], price: -1}}
    assert estimates(question(context=given), models) == {"prompt_tokens": 1, "max_tokens": 1}


@pytest.mark.parametrize("stage", [Stage.MODEL_SELECTION, Stage.PRE_PROMPT])
@pytest.mark.parametrize(
    ("asked", "limit"), [(None, 100), (-1, 100), (0, 100), (-(2**63), 100), (7, 7), (100, 100), (5_000, 100)]
)
def test_a_policy_limits_a_call_that_asks_for_no_limit(question, ask, stage, asked, limit):
    context = {"estimated": {"max_tokens": asked}} if asked is not None else {}
    answer = permit(obligation("limit_tokens", max_tokens=100))
    decision, _ = ask(answer, question(stage=stage, context=context))
    assert decision.permitted
    assert decision.changes.max_tokens == limit
