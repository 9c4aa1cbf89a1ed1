"""The benchmarks run, on data so small that it takes seconds; what they measure is not judged here."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SCRIPTS = sorted(path.name for path in BENCHMARKS.glob("*.py"))
BOUNDS_HOLD, BOUND_BROKEN = 0, 1


def run(script: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("script", SCRIPTS)
def test_each_script_says_how_it_is_used(script: str) -> None:
    done = run(script, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: {script}")
    assert "directory" in done.stdout or script == "small_model.py"  # which makes its data itself


def test_the_readme_names_each_script_and_its_bounds() -> None:
    readme = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+\.py)`", readme, re.MULTILINE)) == set(SCRIPTS)
    code = "".join((BENCHMARKS / script).read_text(encoding="utf-8") for script in SCRIPTS)
    bounds = (
        re.search(r"HELP_BOUND, RUN_BOUND = ([\d.]+), ([\d.]+)", code),
        re.search(r"PROFILE_BOUND, RUN_BOUND, MEMORY_BOUND = ([\d.]+), ([\d.]+), ([\d.]+)", code),
    )
    assert all(bounds)
    help_, run_, profile, job, memory = (float(value) for found in bounds if found for value in found.groups())
    assert f"{help_:g} s; {run_:g} s" in readme
    assert f"profile ≤ {profile:g} scans, run ≤ {job:g} scans, peak below {memory:g} GiB" in readme


@pytest.mark.long
@pytest.mark.parametrize("schema", ["v3", "v4"])
def test_the_run_is_held_against_a_scan(tmp_path: Path, schema: str) -> None:
    done = run("scale.py", tmp_path / "data", "--observations", "20000", "--rounds", "1", "--schema", schema)
    assert done.returncode in (BOUNDS_HOLD, BOUND_BROKEN), done.stderr
    assert "Traceback" not in done.stderr
    made, _, told = done.stdout.partition("planted:")
    assert re.search(r"^100% made: +2\d,\d{3} observations", made, re.MULTILINE)
    (observations,) = re.findall(rf"^([\d,]+) observations, schema {schema}; \d+ findings:$", told, re.MULTILINE)
    assert 18_000 < int(observations.replace(",", "")) < 22_000
    for part in ("scan", "profile", "run"):
        assert re.search(rf"^  {part} +[\d.]+ s  \( *[\d.]+ s\)", told, re.MULTILINE)
    for bound in ("profile  / scan", "run      / scan", "peak memory   "):
        assert re.search(rf"^  {bound} +[\d.]+ .*(holds|BROKEN)", told, re.MULTILINE)
    assert "lookup_order" in told
