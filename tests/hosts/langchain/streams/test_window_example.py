"""The example of a streaming chat runs, offline, and says what it should."""

import re
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[4] / "examples" / "langchain_streaming"


def test_text_arrives_before_the_end_and_no_number_does():
    ran = subprocess.run(
        [sys.executable, EXAMPLE / "chat.py"], capture_output=True, text=True, timeout=60, check=False
    )

    assert ran.returncode == 0, ran.stderr
    assert "is [REDACTED:us_ssn], as we have it on record" in ran.stdout.replace("\n  | ", " ")
    assert "The answer was cut off: it would have shown a card number. Reference " in ran.stdout
    told = re.search(
        r"When the first \d+ characters arrived, the model had ended 0 answers\. "
        r"0 social security numbers arrived and 0 card numbers; of the second answer (\d+) characters",
        ran.stdout,
    )
    assert told
    assert int(told[1]) > 300


def test_its_policies_do_what_its_scenarios_say():
    command = [Path(sys.executable).with_name("checkrein"), "test", "-c", EXAMPLE / "settings.yaml"]

    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "all 3 passed" in ran.stdout
