"""How fast Hansei is on small work: ``hansei --help``, and a run on the demo data.

    python benchmarks/startup.py /data/demo

Makes the demo data with ``hansei demo`` when the directory is missing. Each measurement is a process of its own, as a
user would start it. The run counts from when ClickHouse is open and the code is loaded. Prints medians with bounds, and
beside them the processor time (all threads), which a busy machine disturbs less.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

HELP_BOUND, RUN_BOUND = 0.5, 10.0
"""Most seconds that ``hansei --help`` and the run may take."""

_HANSEI = [sys.executable, "-m", "hansei"]


class Spent(NamedTuple):
    """Seconds on the clock, and of the processor."""

    seconds: float
    processor: float


def measured(work: Callable[[], object], whose: int = resource.RUSAGE_SELF) -> Spent:
    """What a piece of work takes in this process (``RUSAGE_SELF``) or in those it starts (``RUSAGE_CHILDREN``)."""
    used, started = resource.getrusage(whose), time.perf_counter()
    work()
    seconds, now = time.perf_counter() - started, resource.getrusage(whose)
    return Spent(seconds, now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime)


def spent_on_help() -> Spent:
    """``hansei --help``, with the interpreter's start."""
    command = [*_HANSEI, "--help"]
    return measured(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL), resource.RUSAGE_CHILDREN)


def spent_on_run(directory: Path) -> Spent:
    """A run on the demo data, in this process, from an open session to the report."""
    import scipy.special  # noqa: F401  # code as well, though it is loaded when first needed

    from hansei import Context, Request, build_graph
    from hansei.tools.clickhouse.reader import shared_reader

    truth = json.loads((directory / "truth.json").read_text(encoding="utf-8"))
    context = Context.model_validate({"clickhouse_url": f"chdb://{quote(str(directory / 'clickhouse'))}"})
    request = Request(project_id=truth["project_id"], until=truth["base_time"])
    graph = build_graph()
    shared_reader(context)
    return measured(lambda: graph.invoke(request.model_dump(), context=context))


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("directory", type=Path, help="directory of the demo; filled when missing")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (3)")
    parser.add_argument("--run", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    directory = chosen.directory.resolve()
    if chosen.run:
        print(json.dumps(spent_on_run(directory)))
        return 0
    if not directory.exists():
        subprocess.run([*_HANSEI, "demo", "--out", str(directory)], check=True, stdout=subprocess.DEVNULL)
    again = [sys.executable, __file__, str(directory), "--run"]
    spent_on_help()  # so that no round pays for a cold disk
    helps = [spent_on_help() for _ in range(chosen.rounds)]
    runs = [
        Spent(*json.loads(subprocess.run(again, check=True, stdout=subprocess.PIPE, text=True).stdout))
        for _ in range(chosen.rounds)
    ]
    held = []
    for name, each, bound in (("hansei --help", helps, HELP_BOUND), ("run on the demo", runs, RUN_BOUND)):
        seconds, processor = (statistics.median(values) for values in zip(*each, strict=True))
        held.append(seconds < bound)
        every = ", ".join(f"{one.seconds:.2f}" for one in each)
        said = f"below {bound:g} s  {'holds' if held[-1] else 'BROKEN'}"
        print(f"{name:16} {seconds:6.2f} s  ({processor:5.2f} s)  {said}   {every}")
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
