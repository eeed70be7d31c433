"""Every example runs, offline, as a stranger would run it."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_quickstart_lets_through_what_it_should_and_no_secret():
    ran = subprocess.run(
        [sys.executable, ROOT / "examples" / "quickstart.py"],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "The provider saw 5 of 10 prompts, and 0 of the 3 secrets in them." in ran.stdout
    outcomes = re.findall(r" (denied|permitted|redacted|routed)  ", ran.stdout)
    assert outcomes == [
        "permitted",
        "denied",
        "denied",
        "denied",
        "redacted",
        "redacted",
        "denied",
        "routed",
        "permitted",
        "denied",
    ]
    records = re.findall(r'"stage": "(\w+)", "permitted": true', ran.stdout)
    assert records == ["model_selection", "pre_prompt", "post_completion"]
