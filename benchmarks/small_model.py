"""A run with a small real model: what it takes to end in a valid report whose findings are the rules'.

    python benchmarks/small_model.py

Sets the model up first (see tests/support/small_model.py): the first time that compiles llama.cpp, some minutes on two
idle cores. The model is hopeless, and that is the point. Exit code 0: the report is valid, its findings are those of a
run without a model, and `hansei verify` finds every number again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.job import the_rules
from tests.support.small_model import NAME, serving, set_up, why_not

from hansei import Report

PATIENCE = "300"
"""Seconds for one answer: it may write until it is cut off, at ten to forty tokens a second."""


def hansei(*arguments: str | Path, **environment: str) -> float:
    """Runs a command, which must succeed; the seconds that it took."""
    started = time.perf_counter()
    env = {**{key: value for key, value in os.environ.items() if not key.startswith("HANSEI_")}, **environment}
    subprocess.run(
        [sys.executable, "-m", "hansei", *map(str, arguments)], check=True, env=env, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - started


def read(report: Path) -> Report:
    """A report that was written, valid or an error."""
    return Report.model_validate_json((report / "report.json").read_text(encoding="utf-8"))


def compared(directory: Path, url: str, traces: int, calls: int) -> dict[str, Any]:
    """Analyses demo data by rules and with the model behind `url`; what came of it."""
    demo = directory / "demo"
    hansei("demo", "--out", demo, "--traces", str(traces))
    truth = json.loads((demo / "truth.json").read_text(encoding="utf-8"))
    data = f"chdb://{quote(str(demo / 'clickhouse'))}"
    what = ("--clickhouse", data, "--project", truth["project_id"], "--until", truth["base_time"], "--no-ledger")
    hansei("analyze", *what, "--out", directory / "rules", "--no-llm", "--quiet")
    bounds = ("--no-cache", "--max-calls", str(calls))
    there = {"OPENAI_BASE_URL": url, "HANSEI_MODEL_TIMEOUT": PATIENCE, "HANSEI_MODEL_AT_ONCE": "1"}
    seconds = hansei("analyze", *what, *bounds, "--out", directory / "model", "--model", NAME, "--quiet", **there)
    hansei("verify", directory / "model" / "report.json", "--clickhouse", data)
    rules, model = read(directory / "rules"), read(directory / "model")
    return {
        "same": the_rules(model) == the_rules(rules), "seconds": round(seconds, 1), "tokens": model.run.tokens,
        "usage": {node: used.calls for node, used in model.run.usage.items()}, "findings": len(model.findings),
        "notes": model.coverage.notes, "summary": model.summary,
    }  # fmt: skip


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--traces", type=int, default=2_000, help="traces of the demo's data (2000)")
    parser.add_argument("--calls", type=int, default=30, help="most calls of the model (30)")
    chosen = parser.parse_args()
    if why_not():
        print("Setting the model up: llama.cpp is compiled, some minutes on idle cores …", file=sys.stderr, flush=True)
    set_up()
    with tempfile.TemporaryDirectory() as directory, serving() as url:
        found = compared(Path(directory), url, chosen.traces, chosen.calls)
    print(f"{found['findings']} findings in {found['seconds']} s, {found['tokens']:,} tokens; calls: {found['usage']}")
    for note in found["notes"]:
        print(f"- {note}")
    print("The findings are the rules'." if found["same"] else "BROKEN: the findings are not the rules'.")
    return 0 if found["same"] else 1


if __name__ == "__main__":
    sys.exit(main())
