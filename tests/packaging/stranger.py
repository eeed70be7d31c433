"""Installs the wheel with all its extras as a stranger would, in an empty environment, and uses it there.

It resolves anew instead of reading the lock, so it is no test of the suite: the package registry is asked.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent

CHECK = """
import importlib, importlib.metadata as metadata
for name in ("detectors", "langchain", "litellm", "rego"):
    importlib.import_module(f"checkrein_{name}")
litellm = tuple(int(part) for part in metadata.version("litellm").split(".")[:2])
# 1.82.7 and 1.82.8 were malicious: a resolver that falls back so far must fail here.
assert litellm >= (1, 106), litellm
assert metadata.version("checkrein")
try:
    metadata.version("oso")
except metadata.PackageNotFoundError:
    pass
else:
    raise AssertionError("`all` brings oso, which drags litellm back")
print("checkrein[all] resolved: litellm", metadata.version("litellm"))
"""

SETTINGS = """
version: 1
engine: {rego: {bundle: "pack:baseline/rego"}}
detectors: {pre_prompt: [us_ssn]}
decision_log: {to: decisions.jsonl}
"""


def run(*command: object, cwd: Path) -> None:
    """Run one command, bounded, and stop at the first that fails."""
    subprocess.run([str(part) for part in command], check=True, cwd=cwd, timeout=900)


def main() -> None:
    """Build, install, import, decide."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        run(BIN / "python", "-m", "hatchling", "build", "-t", "wheel", "-d", place, cwd=ROOT)
        (wheel,) = place.glob("*.whl")
        run(BIN / "uv", "venv", "--quiet", "--python", sys.executable, place / "venv", cwd=place)
        python = place / "venv" / "bin" / "python"
        run(BIN / "uv", "pip", "install", "--quiet", "--python", python, f"{wheel}[all]", cwd=place)
        run(python, "-c", CHECK, cwd=place)
        (place / "checkrein.yaml").write_text(SETTINGS)
        run(place / "venv" / "bin" / "checkrein", "check", "--config", "checkrein.yaml", cwd=place)


if __name__ == "__main__":
    main()
