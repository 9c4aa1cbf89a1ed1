"""The house rules that a machine can check."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("src", "graph", "nodes", "tools", "tests", "docs", "examples", "benchmarks", "requirements")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def sources() -> list[Path]:
    # rglob does not follow the symlinks in src/hansei, so that each file is seen once.
    return sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def test_arrows_point_down_and_no_node_knows_another() -> None:
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    command = [sys.executable, "-c", code]
    linted = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stdout + linted.stderr
    assert "0 broken" in linted.stdout


def test_no_source_file_is_too_long_to_hold_in_the_head() -> None:
    long = {str(path.relative_to(ROOT)): length for path in sources() if (length := line_count(path)) > 400}
    assert not long


def line_count(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_every_package_on_disk_is_packaged() -> None:
    on_disk = {"hansei"}
    for folder, name in (("src/hansei", "hansei"), *((top, f"hansei.{top}") for top in ("graph", "nodes", "tools"))):
        for file in (ROOT / folder).rglob("__init__.py"):
            inner = file.parent.relative_to(ROOT / folder).parts
            on_disk.add(".".join([name, *inner]))
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == on_disk


@pytest.mark.parametrize("kind", ["runtime", "development"])
def test_lock_files_hold_pins_and_hashes_and_no_address(kind: str) -> None:
    text = (ROOT / "requirements" / f"{kind}.txt").read_text(encoding="utf-8")
    assert "://" not in text
    assert " @ " not in text
    pin = r"^([a-z0-9][a-z0-9._-]*)(?:\[[a-z,]+\])?==\S+(?: ; [^\\\n]+)?(?: \\\n    --hash=sha256:[0-9a-f]{64})+$"
    pinned = re.findall(pin, text, re.MULTILINE)
    lines = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert len(pinned) == len(lines)
    assert {"langgraph", "setuptools", "pydantic"} <= set(pinned)


def test_what_runs_is_locked_alike_for_development() -> None:
    locked = {
        kind: dict(
            line.split("==", 1)
            for line in (ROOT / "requirements" / f"{kind}.txt").read_text(encoding="utf-8").splitlines()
            if re.match(r"[a-z0-9]", line) and " ; " not in line
        )
        for kind in ("runtime", "development")
    }
    assert locked["runtime"].items() <= locked["development"].items()
