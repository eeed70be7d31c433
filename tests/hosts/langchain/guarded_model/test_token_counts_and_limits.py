"""Counting tokens sends nothing past the policy, and what limits nothing is no limit."""

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import HumanMessage, trim_messages
from langchain_openai import ChatOpenAI

from checkrein.testing import deny, obligation, permit
from checkrein.vocabulary import Stage
from checkrein_langchain import guard


class Counting(ChatOpenAI):
    """A model whose provider counts tokens, as those of Anthropic and Google do."""

    def get_num_tokens_from_messages(self, messages, tools=None):
        return len(self.invoke(messages).text)

    def get_num_tokens(self, text):
        return len(self.invoke(text).text)

    def get_token_ids(self, text):
        return [len(self.invoke(text).text)]


@pytest.fixture
def counting(lab):
    point = lab.govern(dict.fromkeys(lab.stages, deny("no")))
    model = Counting(model="gpt-4o", base_url=lab.upstream.url, api_key="none", max_retries=0)
    return guard(model, point.pep)


def test_a_count_sends_no_text_to_the_provider(lab, counting):
    sent = [HumanMessage(f"my key is {lab.secret}")]

    assert trim_messages(sent, max_tokens=100, token_counter=counting) == sent
    assert counting.get_num_tokens_from_messages(sent, tools=[{"name": "look"}]) > 5
    assert 25 < counting.get_num_tokens("twelve chars" * 10) < 35
    with pytest.raises(NotImplementedError, match="get_num_tokens"):
        counting.get_token_ids("hi")
    assert lab.upstream.requests == []


def test_a_model_that_counts_in_langchain_s_own_way_counts_itself(lab):
    model = FakeListChatModel(responses=["hi"], custom_get_token_ids=lambda text: [1] * len(text))
    guarded = guard(model, lab.govern().pep)

    assert guarded.get_token_ids("four") == [1, 1, 1, 1]
    assert guarded.get_num_tokens("four") == 4
    assert guarded.get_num_tokens_from_messages([HumanMessage("four")]) == len("Human: four")


@pytest.mark.parametrize("key", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("asked", [0, -1, -100_000])
def test_a_limit_of_nothing_is_replaced_by_that_of_the_policy(lab, key, asked):
    point = lab.govern({Stage.MODEL_SELECTION: permit(obligation("limit_tokens", max_tokens=100))})

    guard(lab.chat(), point.pep).bind(**{key: asked}).invoke("hi")

    assert [one.body["max_completion_tokens"] for one in lab.upstream.requests] == [100]
    estimated = point.records[0].document["context"].get("estimated", {})
    assert "max_tokens" not in estimated


def test_a_model_made_with_a_limit_of_nothing_tells_none(lab):
    point = lab.govern()

    guard(lab.chat(max_tokens=-1), point.pep).invoke("hi")

    assert all("max_tokens" not in one.document["context"].get("estimated", {}) for one in point.records)


def test_a_guarded_model_in_a_guarded_one_counts_as_it_does(lab, counting):
    outer = guard(counting, lab.govern().pep)

    assert outer.get_num_tokens("hi there") == counting.get_num_tokens("hi there")
    assert lab.upstream.requests == []
