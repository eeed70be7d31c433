"""The example of an agent runs, offline, as a stranger would run it."""

import subprocess
import sys
from pathlib import Path

AGENT = Path(__file__).resolve().parents[4] / "examples" / "langchain_agent" / "agent.py"


def test_the_agent_refunds_what_was_approved_and_tells_no_secret():
    ran = subprocess.run([sys.executable, AGENT], capture_output=True, text=True, timeout=110, check=False)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    before, approved = ran.stdout.split("Fay approves:")
    assert "the bank" not in before
    assert approved.count("(the bank: 250.00 to c1)") == 1
    assert '"ssn": "[REDACTED:us_ssn]"' in before
    assert "delete_customer (error): This is not done by an assistant." in before
    assert "CONFIDENTIAL" not in ran.stdout
    assert "refund (success): refunded" in approved
    assert "denied: document.confidential, tool.forbidden." in approved
    assert "The provider saw the social security number 0 times." in approved
