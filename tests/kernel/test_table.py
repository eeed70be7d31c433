"""The whole table, through the enforcement point: stage x answer x obligation x opening x mode x driver."""

import re
from itertools import product

import pytest

from checkrein.detection import Detectors, Span
from checkrein.enforcement import EnforcementPoint
from checkrein.errors import FailureCause
from checkrein.settings import Settings
from checkrein.testing import FailingEngine, StaticEngine, deny, not_applicable, obligation
from checkrein.vocabulary import Effect, Stage, Verdict

OUTAGES = frozenset({FailureCause.TIMEOUT, FailureCause.UNREACHABLE})

ANSWERS = {
    "permit": None,
    "deny": StaticEngine(deny("no")),
    "not_applicable": StaticEngine(not_applicable()),
    **{
        f"{'remote' if remote else 'embedded'} {cause}": FailingEngine(cause, remote=remote)
        for cause, remote in product(FailureCause, [True, False])
    },
    "an exception": FailingEngine(error=RuntimeError("x")),
    "nonsense": FailingEngine(answer={"allow": True}),
}

# What a permit is bound to, and whether it can hold at a stage with text.
OBLIGATIONS = {
    "none": ((), True),
    "carried out": ((obligation("redact", types=["digit"]),), True),
    "unknown": ((obligation("dance"),), False),
    "malformed": ((obligation("redact", types="digit"),), False),
    "not supported by the host": ((obligation("replace", text="x"),), False),
    "without a detector": ((obligation("redact", types=["email"]),), False),
    "failed": ((obligation("redact", types=["stubborn"]),), False),
    "one of two": ((obligation("redact", types=["digit"]), obligation("dance")), False),
}


def find(text):
    digits = [Span("digit", place, place + 1) for place, char in enumerate(text) if char.isdigit()]
    # The first letter outside a placeholder: what is left of the text always has another one.
    letter = re.search(r"[a-z](?![^\[]*\])", text)
    return [*digits, *([Span("stubborn", *letter.span())] if letter else [])]


@pytest.mark.parametrize("mode", ["enforce", "monitor"])
@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize("stage", Stage)
def test_a_call_passes_exactly_where_the_table_says(drive, question, stage, opened, mode):
    detectors = Detectors(
        dict.fromkeys(Stage, frozenset({"digit", "stubborn"})), dict.fromkeys(Stage, (find,))
    )
    settings = Settings.model_validate(
        {
            "enforcement": {"default": mode},
            "failure": {"open_on": {stage.value: [*OUTAGES]} if opened else {}},
        }
    )
    for (said, engine), (bound, (obligations, holds)) in product(ANSWERS.items(), OBLIGATIONS.items()):
        if engine is not None and bound != "none":
            continue
        records = []
        asked = engine or StaticEngine(Verdict(effect=Effect.PERMIT, obligations=obligations))
        pep = EnforcementPoint(asked, settings, record=records.append)
        pep._concluder.detectors = detectors
        decision = drive(pep, question("pin 1", stage=stage, supports=frozenset({"redact"})))

        opens = opened and said in {f"remote {cause}" for cause in OUTAGES}
        allowed_here = not obligations or stage.has_text
        permitted = opens or (said == "permit" and holds and allowed_here)
        case = f"{said}, {bound}"
        assert decision.permitted is permitted, case
        assert decision.failed_open is opens, case
        assert decision.enforced is (mode == "enforce"), case
        assert decision.denied is (mode == "enforce" and not permitted), case
        assert (decision.effect is None) != (decision.failure is None), case
        assert permitted or decision.reasons, case
        assert bool(decision.changes.texts) is (permitted and bound == "carried out" and mode == "enforce"), (
            case
        )
        assert records == [decision], case
