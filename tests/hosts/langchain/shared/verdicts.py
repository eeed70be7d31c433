"""Verdicts that policies give in the tests of many parts."""

from checkrein.testing import obligation, permit

REDACT = permit(obligation("redact", types=["secret"]))
