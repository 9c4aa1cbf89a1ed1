"""How fast Hansei is on small work: ``hansei --help``, and a run on the demo data.

    python benchmarks/startup.py /data/demo

Makes the demo data with ``hansei demo`` when the directory is missing. Each measurement is a process of its own, as a
user would start it. The run counts from when ClickHouse is open and the code is loaded. Prints medians with bounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

HELP_BOUND, RUN_BOUND = 0.5, 10.0
"""Most seconds that ``hansei --help`` and the run may take."""

_HANSEI = [sys.executable, "-m", "hansei"]


def help_seconds() -> float:
    """Seconds of ``hansei --help``, with the interpreter's start."""
    started = time.perf_counter()
    subprocess.run([*_HANSEI, "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def run_seconds(directory: Path) -> float:
    """Seconds of a run on the demo data, in this process, from an open session to the report."""
    from hansei import Context, Request, build_graph
    from hansei.tools.clickhouse.reader import shared_reader

    truth = json.loads((directory / "truth.json").read_text(encoding="utf-8"))
    context = Context.model_validate({"clickhouse_url": f"chdb://{quote(str(directory / 'clickhouse'))}"})
    request = Request(project_id=truth["project_id"], until=truth["base_time"])
    graph = build_graph()
    shared_reader(context)
    started = time.perf_counter()
    graph.invoke(request.model_dump(), context=context)
    return time.perf_counter() - started


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("directory", type=Path, help="directory of the demo; filled when missing")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (3)")
    parser.add_argument("--run", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    directory = chosen.directory.resolve()
    if chosen.run:
        print(run_seconds(directory))
        return 0
    if not directory.exists():
        subprocess.run([*_HANSEI, "demo", "--out", str(directory)], check=True, stdout=subprocess.DEVNULL)
    again = [sys.executable, __file__, str(directory), "--run"]
    helps = [help_seconds() for _ in range(chosen.rounds)]
    runs = [
        float(subprocess.run(again, check=True, stdout=subprocess.PIPE, text=True).stdout) for _ in range(chosen.rounds)
    ]
    held = []
    for name, seconds, bound in (("hansei --help", helps, HELP_BOUND), ("run on the demo", runs, RUN_BOUND)):
        median = statistics.median(seconds)
        held.append(median < bound)
        every = ", ".join(f"{one:.2f}" for one in seconds)
        print(f"{name:16} {median:6.2f} s  below {bound:g} s  {'holds' if held[-1] else 'BROKEN'}   ({every})")
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
