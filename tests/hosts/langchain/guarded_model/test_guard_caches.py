"""Caches below a guarded model: judged for everyone, and kept from what must not be stored."""

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from verdicts import REDACT

from checkrein import acting_as
from checkrein.testing import deny, obligation, permit
from checkrein.vocabulary import Stage
from checkrein_langchain import PolicyDenied, guard

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


@pytest.fixture
def cache():
    kept = InMemoryCache()
    set_llm_cache(kept)
    yield kept
    set_llm_cache(None)


def test_a_cached_answer_is_judged_for_everyone_who_gets_it(lab, cache):
    lab.upstream.reply = f"it is {lab.secret}"

    def by_subject(question):
        return {"root": permit(), "pro": REDACT}.get(question.document["subject"]["id"], deny("no"))

    point = lab.govern({Stage.POST_COMPLETION: by_subject})
    model = guard(lab.chat(), point.pep)
    got = {}
    for user in ("root", "pro", "free", "root", "pro"):
        with acting_as(user):
            try:
                got.setdefault(user, []).append(model.invoke("hi").content)
            except PolicyDenied as denied:
                got.setdefault(user, []).append(denied.code)

    raw, clean = f"it is {lab.secret}", "it is [REDACTED:secret]"
    assert got == {"root": [raw, raw], "pro": [clean, clean], "free": ["no"]}
    assert len(lab.upstream.requests) == 1


@pytest.mark.parametrize("asked_at", [Stage.PRE_PROMPT, Stage.POST_COMPLETION])
def test_what_must_not_be_stored_is_not(lab, cache, asked_at):
    point = lab.govern({asked_at: permit(obligation("no_store"))})
    model = guard(lab.chat(), point.pep)

    model.invoke("hi")
    model.invoke("hi")

    assert cache._cache == {}
    assert len(lab.upstream.requests) == 2


def test_a_denied_answer_is_not_stored(lab, cache):
    point = lab.govern({Stage.POST_COMPLETION: deny("no")})

    with pytest.raises(PolicyDenied):
        guard(lab.chat(), point.pep).invoke("hi")

    assert cache._cache == {}


def test_no_cache_can_be_put_above_policy(lab):
    point = lab.govern({Stage.POST_COMPLETION: REDACT})
    lab.upstream.reply = f"it is {lab.secret}"
    model = guard(lab.chat(), point.pep)
    model.cache = kept = InMemoryCache()

    assert lab.raw(model.invoke("hi").content, model.invoke("hi").content) == 0
    assert kept._cache == {}


def test_models_share_no_cache_entries_when_policy_routes_by_name(lab, cache):
    lab.upstream.reply = lambda body: body["model"]
    point = lab.govern(
        {
            Stage.MODEL_SELECTION: lambda q: (
                permit(obligation("route", model="gpt-4o-mini"))
                if q.document["subject"]["id"] == "free"
                else permit()
            )
        }
    )
    chat = lab.chat()
    # LangChain builds the key of the cache once per model, and a copy of the model keeps it.
    assert chat._get_llm_string()
    model = guard(chat, point.pep)
    assert model.invoke("hi").content == "gpt-4o"
    with acting_as("free"):
        assert model.invoke("hi").content == "gpt-4o-mini"
        assert model.invoke("hi").content == "gpt-4o-mini"
    assert len(lab.upstream.requests) == 2
