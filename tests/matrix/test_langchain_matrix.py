"""No mechanism leaks in any way of calling a model, whatever the engine does: counted at both ends."""

import pytest
from bypass_counting import IN_ANSWER, IN_PROMPT, MODEL_STAGES, characters, count, faults, govern, sent_by
from bypass_langchain import STREAMED, WAYS, call
from bypass_langchain_mechanisms import MECHANISMS

from checkrein import PolicyDenied, Stage

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


# Held whole, whatever way it is called; and what streams, as text leaves it on its way, too.
MODES = [*((way, "hold") for way in WAYS), *((way, "window") for way in WAYS if way in {"invoke", *STREAMED})]


@pytest.mark.parametrize("fault", faults(MODEL_STAGES), ids=str)
@pytest.mark.parametrize("called", MODES, ids=", ".join)
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_nothing_leaks(mechanism, called, fault, upstream, cell):
    way, mode = called
    pep, records = govern(fault, mode)

    came = call(MECHANISMS[mechanism], way, upstream, pep)

    upstream.wait()
    sent = sent_by(came, upstream)
    counted = count(fault, came, sent, PolicyDenied)
    cell("LangChain", mechanism, way if mode == "hold" else f"{way}, {mode}", fault, counted)
    assert counted.leaks == 0, counted
    assert records
    if MECHANISMS[mechanism].callback and (way in STREAMED or fault.kind == "redact"):
        # What it cannot do it denies, before anything is sent.
        assert counted.outcome == "denied"
        assert sent == [] or (way not in STREAMED and fault.stage is Stage.POST_COMPLETION)
    elif fault.kind == "permit":
        # What the counts would see if it leaked.
        assert came.error is None
        assert characters(IN_PROMPT, "".join(sent)) > 0
        assert characters(IN_ANSWER, came.seen) > 0
    else:
        assert counted.outcome == ("denied" if fault.refuses else "redacted")
