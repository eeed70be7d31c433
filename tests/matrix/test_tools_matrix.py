"""No tool runs that is refused, and no argument or result is seen that is redacted: counted at all ends."""

import pytest
from bypass_counting import IN_ANSWER, IN_PROMPT, TOOL_STAGES, characters, faults, govern, sent_by
from bypass_tools import MECHANISMS, WAYS, count, run

from checkrein import Stage

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


@pytest.mark.parametrize("fault", faults(TOOL_STAGES), ids=str)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_no_tool_leaks(mechanism, way, fault, upstream, cell):
    pep, records = govern(fault)

    came, runs = run(mechanism, way, upstream, pep)

    upstream.wait()
    counted = count(fault, came, runs, upstream)
    cell("LangChain tools", mechanism, way, fault, counted)
    assert counted.leaks == 0, counted
    assert Stage.TOOL_CALL in [one.request.stage for one in records]
    if mechanism == "handler" and way == "events v2":
        # An event tells a result before a callback can judge it.
        assert counted.outcome == "denied"
        assert runs == []
    elif fault.kind == "permit":
        # What the counts would see if it leaked.
        assert came.error is None
        assert characters(IN_PROMPT, "".join(runs)) > 0
        assert characters(IN_ANSWER, "".join(sent_by(came, upstream))) > 0
        assert characters(IN_ANSWER, came.seen) > 0
    elif mechanism == "handler" and fault.kind == "redact":
        # A callback can change neither arguments nor results.
        assert counted.outcome == "denied"
    else:
        assert counted.outcome == ("denied" if fault.refuses else "redacted")
