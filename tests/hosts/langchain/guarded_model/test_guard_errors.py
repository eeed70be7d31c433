"""Errors below a guarded model: the provider's keep their type, and none quotes what nobody judged."""

import traceback

import openai
import pytest
from pydantic import BaseModel
from verdicts import REDACT

from checkrein.vocabulary import Stage
from checkrein_langchain import AnswerWithheldError, guard

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


class Strict(BaseModel):
    """Something that no text is."""

    number: int


@pytest.mark.parametrize("errors_way", ["invoke", "ainvoke", "events"])
def test_an_error_of_parsing_does_not_quote_an_answer_that_nobody_judged(lab, errors_way):
    lab.upstream.reply = f'{{"number": "{lab.secret}"}}'
    point = lab.govern({Stage.POST_COMPLETION: REDACT})
    model = {}

    def wrap(bare):
        model["bare"] = bare
        return guard(bare, point.pep).with_structured_output(Strict)

    done = lab.call(errors_way, wrap)

    assert isinstance(done.error, AnswerWithheldError)
    assert lab.raw(done.error, *traceback.format_exception(done.error), *done.seen) == 0
    chained, error = [], done.error
    while error is not None:
        chained.append(repr(error))
        error = error.__context__ or error.__cause__
    assert lab.raw(*chained) == 0


def test_an_error_of_parsing_is_shown_where_answers_are_only_monitored(lab):
    lab.upstream.reply = '{"number": "none"}'
    point = lab.govern(enforcement={"default": "monitor"})

    with pytest.raises(ValueError, match="none"):
        guard(lab.chat(), point.pep).with_structured_output(Strict).invoke("hi")


@pytest.mark.parametrize("status", [400, 401, 429, 500])
def test_errors_of_the_provider_keep_their_type(lab, way, status):
    lab.upstream.fail(status)
    point = lab.govern()

    done = lab.call(way, lambda model: guard(model, point.pep))

    assert isinstance(done.error, openai.APIStatusError)
    assert done.error.status_code == status
    assert [one.request.stage for one in point.records] == list(lab.stages[:2])
