"""LangChain's own suite for chat models, on a guarded one."""

import pytest
from langchain_openai import ChatOpenAI
from langchain_tests.unit_tests import ChatModelUnitTests

from checkrein.enforcement import EnforcementPoint
from checkrein.testing import StaticEngine, permit
from checkrein_langchain import GuardedChatModel, guard

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


class TestGuardedChatModel(ChatModelUnitTests):
    @property
    def chat_model_class(self):
        return GuardedChatModel

    @property
    def chat_model_params(self):
        inner = ChatOpenAI(model="gpt-4o", api_key="none", base_url="http://127.0.0.1:9/v1")
        pep = EnforcementPoint(StaticEngine(permit()), record=lambda decision: None)
        made = guard(inner, pep)
        return {"inner": made.inner, "pep": pep, "metadata": made.metadata}

    @property
    def has_tool_calling(self):
        return True

    @property
    def has_structured_output(self):
        return True
