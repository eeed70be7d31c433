"""The published suite itself: an engine in plain Python passes it, and no kind of bad engine does."""

import pytest
from bad_engines import FAULTS
from plain_engine import AwaitedEngine, PlainEngine

import checkrein.testing
from checkrein import EngineFailure
from checkrein.testing import EngineSuite


@pytest.mark.parametrize("kind", [PlainEngine, AwaitedEngine])
class TestPlainEngine(EngineSuite):
    @pytest.fixture
    def engine(self, kind):
        return kind()


class TestEngineWithoutRoutes(EngineSuite):
    unsaid = frozenset({"route"})

    @pytest.fixture
    def engine(self):
        return PlainEngine()

    def test_it_is_asked_no_scenario_that_needs_one(self):
        names = {one.name for one in self.scenarios()}
        assert "a private prompt goes to the local model" not in names
        assert len(names) == len(EngineSuite.scenarios()) - 1


@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.__name__)
def test_a_bad_engine_is_found(kind, capfd, caplog):
    part, _, place = FAULTS[kind].partition(":")
    suite, engine = EngineSuite(), kind()
    (name,) = [one for one in dir(suite) if one.startswith("test_") and part in one]
    test = getattr(suite, name)
    pep = checkrein.EnforcementPoint(engine, checkrein.testing.checking.SETTINGS, record=lambda _: None)
    with pytest.raises((AssertionError, EngineFailure, pytest.fail.Exception)):  # noqa: PT012 -- one of the calls
        if part == "asked_again":
            test(engine, pep)
        elif part == "scenario":
            for scenario in suite.scenarios():
                test(checkrein.EnforcementPoint(kind(), pep.settings, record=lambda _: None), scenario)
        elif part == "odd":
            test(engine, place, capfd, caplog)
        else:
            test(pep if part in ("sixteen_threads", "long_text") else engine)
