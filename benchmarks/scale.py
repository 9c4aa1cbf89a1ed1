"""How Hansei scales: time and memory of a run on millions of observations, held against a plain scan of the same rows.

    python benchmarks/scale.py /data/bench --observations 10000000 --schema v3

Makes the data when the directory is missing (see ``generate.py``). All is measured in a process of its own, one part
after the other in each round, so that the generator's memory does not count and a busy machine slows all parts alike:

- *scan*: a query with FINAL that hashes every column that the profile reads, of the same tables and rows;
- *profile*: `read_profile` over window and baseline, which together hold all the data;
- *run*: the whole graph without a model, from the request to the report.

Prints the medians, their ratios to the scan with the bounds, the peak resident memory, and where the run's time went.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from generate import DAYS, END, PROJECT_ID

from hansei import Context, Report, Request, build_graph
from hansei.contracts import Periods
from hansei.demo import SCHEMAS
from hansei.tools.clickhouse import session as sessions
from hansei.tools.clickhouse import shared_reader
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.schema import adapter_over, detect
from hansei.tools.playbook.profile import read_profile

PROFILE_BOUND, RUN_BOUND, MEMORY_BOUND = 4.0, 15.0, 3.0
"""Most times the scan that the profile and the run may take; most memory in GiB."""

SCANNED: dict[str, dict[str, tuple[str, str]]] = {
    "v3": {
        "observations": (
            "start_time",
            "id type trace_id name start_time end_time level provided_model_name prompt_name prompt_version version"
            " environment total_cost usage_details completion_start_time input output",
        ),
        "traces": ("timestamp", "id timestamp name environment release version user_id session_id"),
    },
    "v4": {
        "events_core": (
            "start_time",
            "span_id trace_id parent_span_id type name start_time end_time level provided_model_name prompt_name"
            " prompt_version version environment release trace_name cost_details usage_details"
            " completion_start_time user_id session_id input output",
        ),
    },
}
"""Schema → table → its time column and the columns that the profile reads of it."""


@dataclass(frozen=True)
class Spent:
    """Seconds on the clock, and of the processor (all threads), which a busy machine disturbs less."""

    seconds: float
    processor: float


def scans(schema: str) -> list[str]:
    """The plain scan, one query a table."""
    return [
        f"SELECT count(), {', '.join(f'sum(cityHash64({column}))' for column in columns.split())} FROM {table} FINAL"
        f" WHERE project_id = {{project_id:String}} AND {time_column} >= {{range_start:DateTime64(6, 'UTC')}}"
        f" AND {time_column} < {{range_end:DateTime64(6, 'UTC')}}"
        for table, (time_column, columns) in SCANNED[schema].items()
    ]


def measure(directory: Path, schema: str, rounds: int) -> dict[str, Any]:
    """Runs the parts in turn, `rounds` times.

    Returns:
        parts: name → `Spent` per round; purposes: what the run asked → queries, rows and seconds; observations,
        findings, and memory (peak resident, GiB).
    """
    _without_condition_cache()
    context = Context.model_validate({"clickhouse_url": f"chdb://{directory.resolve()}"})
    half = timedelta(days=DAYS / 2)
    reader = shared_reader(context)
    periods = Periods.ending(END, half, half)
    adapter = adapter_over(reader, detect(reader, "default", PROJECT_ID), PROJECT_ID, periods)
    dataset = Dataset(reader, adapter, PROJECT_ID, periods)
    counted = dataset.bind("SELECT count() AS n FROM observations", ("observations",))
    observations = int(dataset.columns(counted)["n"][0])
    request = Request(project_id=PROJECT_ID, window="14d", baseline="14d", until=END.isoformat())
    report: list[Report] = []

    def run() -> None:
        state = build_graph().invoke(request.model_dump(), context=context)
        report[:] = [Report.model_validate(state["report"])]

    def scan() -> None:
        for sql in scans(schema):
            reader.query(sql, dataset.parameters())

    parts: dict[str, Callable[[], object]] = {
        "scan": scan,
        "profile": lambda: read_profile(dataset, observations),
        "run": run,
    }
    spent: dict[str, list[Spent]] = defaultdict(list)
    scan()  # so that no part pays for a cold disk
    for _ in range(rounds):
        for name, part in parts.items():
            spent[name].append(_timed(part))
    found = report[0]
    return {
        "parts": {name: [asdict(one) for one in each] for name, each in spent.items()},
        "purposes": _purposes(found),
        "observations": found.coverage.observations.window + found.coverage.observations.baseline,
        "findings": [finding.title for finding in found.findings],
        "memory": _peak_memory(),
    }


def _without_condition_cache() -> None:
    """Makes each query read what it filters: with its cache, ClickHouse skips what an earlier round has looked at."""
    settings = sessions.session_settings

    def measured(limits: Any, *, one_core: bool = False) -> dict[str, int | str]:
        return {"use_query_condition_cache": 0, **settings(limits, one_core=one_core)}

    sessions.session_settings = measured


def _timed(part: Callable[[], object]) -> Spent:
    started, used = time.perf_counter(), _processor()
    part()
    return Spent(time.perf_counter() - started, _processor() - used)


def _processor() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _peak_memory() -> float:
    """Peak resident memory of this process since it began, in GiB. Linux only."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 2**20


def _purposes(report: Report) -> dict[str, tuple[int, int, float]]:
    out: dict[str, tuple[int, int, float]] = {}
    asked = [*report.coverage.evidence, *(e for f in (*report.findings, *report.refuted) for e in f.evidence)]
    for item in asked:
        purpose = item.purpose.partition(":")[0]
        count, rows, seconds = out.get(purpose, (0, 0, 0.0))
        out[purpose] = (count + 1, rows + item.rows_read, seconds + item.seconds)
    return out


def tell(found: Mapping[str, Any], schema: str) -> bool:
    """Prints what was measured. Returns whether all bounds hold."""
    print(f"\n{found['observations']:,} observations, schema {schema}; {len(found['findings'])} findings:")
    print(*(f"  {title}" for title in found["findings"]), sep="\n")
    print("\nqueries of the last run, those for the findings (analysts wait for each other, so seconds overlap):")
    for purpose, (count, rows, seconds) in sorted(found["purposes"].items(), key=lambda item: -item[1][2]):
        print(f"  {purpose:10} {count:3} queries {rows / 1e6:8.1f} million rows {seconds:8.1f} s")
    medians = {
        name: {key: statistics.median(one[key] for one in each) for key in ("seconds", "processor")}
        for name, each in found["parts"].items()
    }
    print(f"\nmedians of {len(found['parts']['scan'])} rounds (each with its processor time):")
    for name, each in found["parts"].items():
        every = ", ".join(f"{one['seconds']:.1f}" for one in each)
        print(f"  {name:8} {medians[name]['seconds']:7.2f} s  ({medians[name]['processor']:7.2f} s)   {every}")
    print("\nratios:")
    held = []
    for name, bound in (("profile", PROFILE_BOUND), ("run", RUN_BOUND)):
        ratio, processor = (medians[name][key] / medians["scan"][key] for key in ("seconds", "processor"))
        held.append(ratio <= bound)
        said = f"at most {bound:g}  {_said(held[-1])}"
        print(f"  {name:8} / scan  {ratio:6.2f}  {said}  ({processor:.2f} by processor time)")
    held.append(found["memory"] < MEMORY_BOUND)
    print(f"  peak memory      {found['memory']:6.2f} GiB  below {MEMORY_BOUND:g} GiB  {_said(held[-1])}")
    return all(held)


def _said(held: bool) -> str:
    return "holds" if held else "BROKEN"


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("directory", type=Path, help="directory of the embedded ClickHouse; filled when missing")
    parser.add_argument("--observations", type=int, default=10_000_000, help="how many to make, about (10,000,000)")
    parser.add_argument("--schema", choices=SCHEMAS, default="v3")
    parser.add_argument("--rounds", type=int, default=3, help="how often each part is measured (3)")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    directory = chosen.directory.resolve()
    if chosen.measure:
        print(json.dumps(measure(directory, chosen.schema, chosen.rounds)))
        return 0
    options = [str(directory), "--schema", chosen.schema]
    here = Path(__file__).parent
    if not directory.exists():
        command = [sys.executable, str(here / "generate.py"), *options, "--observations", str(chosen.observations)]
        subprocess.run(command, check=True)
    command = [sys.executable, str(here / "scale.py"), *options, "--rounds", str(chosen.rounds), "--measure"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return 0 if tell(json.loads(done.stdout), chosen.schema) else 1


if __name__ == "__main__":
    sys.exit(main())
