"""Writes what `hansei demo` prints into README.md, between the two marks: `make readme`."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

PATH = Path(__file__).resolve().parents[1] / "README.md"
BLOCK = re.compile(r"(?<=<!-- demo -->\n```text\n).*?(?=```\n<!-- /demo -->)", re.DOTALL)
SOMEBODYS = "/home/you/hansei"
"""Stands for the directory that the demo was called in."""


def run_demo(folder: Path) -> str:
    """What `hansei demo`, called in a folder, prints as its result."""
    command = [sys.executable, "-m", "hansei", "demo"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.replace(str(folder), SOMEBODYS)


def shown(readme: str) -> str:
    """The demo's output as the README shows it."""
    (block,) = BLOCK.findall(readme)
    return str(block)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        printed = run_demo(Path(folder).resolve())
    PATH.write_text(BLOCK.sub(lambda _: printed, PATH.read_text(encoding="utf-8")), encoding="utf-8")
