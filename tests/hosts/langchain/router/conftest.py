"""A router over two providers."""

from types import SimpleNamespace

import pytest
from foreign_model import Foreign

from checkrein_langchain import PolicyRouter


@pytest.fixture
def pair(lab):
    """A router over OpenAI's model, which comes first, and another provider's."""

    def make(answers=None, **settings):
        point, foreign = lab.govern(answers, **settings), Foreign()
        router = PolicyRouter(models={"openai": lab.chat(), "foreign": foreign}, pep=point.pep)
        return SimpleNamespace(router=router, foreign=foreign, records=point.records, pep=point.pep)

    return make
