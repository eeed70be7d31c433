"""One scenario table on every engine, by both drivers, and what any engine must hold."""

import pytest

from checkrein.testing import EngineSuite

ENGINES = ("casbin", "cedar", "opa", "oso", "regopy", "regorus")


@pytest.mark.parametrize("name", ENGINES)
class TestEngines(EngineSuite):
    @pytest.fixture
    def engine(self, suite_engine, name):
        return suite_engine(name)
