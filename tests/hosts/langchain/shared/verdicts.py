"""Verdicts that policies give in the tests of many parts."""

from checkrein.testing import deny, obligation, permit

REDACT = permit(obligation("redact", types=["secret"]))
WITHHOLDING = {"redact": REDACT, "deny": deny("no")}
