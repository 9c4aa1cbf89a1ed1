"""The scorecard: how often Hansei's findings are right, on simulated projects of which the truth is known.

    python benchmarks/quality/run.py --worlds 40 --clean 40
    python benchmarks/quality/run.py --quick
    python benchmarks/quality/run.py --show faulty:7

Each world lives in a process of its own, in memory, and is gone with it. Results are appended to a file of JSON lines;
what is there is not measured again, so that a run that was interrupted goes on. They are kept per version of the code.
Exit code: 0 every threshold is kept, 1 one is broken, 2 it could not be measured.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import sys
import time
import traceback
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.quality.lies import hand_in  # noqa: E402
from benchmarks.quality.probes import probe  # noqa: E402
from benchmarks.quality.scorer import Scorer  # noqa: E402
from benchmarks.quality.session import analysed  # noqa: E402
from benchmarks.quality.table import exit_code, judge, show, told  # noqa: E402
from benchmarks.quality.world import Condition, make_world  # noqa: E402

PROBES = 12
"""Slices of a world whose intervals are held against the simulator's parameters."""

CONDITIONS: tuple[Condition, ...] = ("faulty", "clean", "aa")


def measure(condition: Condition, seed: int, small: bool = False, only: tuple[str, ...] = ()) -> dict[str, Any]:
    """Makes a world, analyses it and judges the report. The result is plain JSON."""
    started = time.monotonic()
    world = make_world(condition, seed, small=small, only=only)
    with analysed(world) as session:
        score = Scorer(world, session.report).score()
        right = {one["finding"] for one in score["planted"] if one["finding"] and one["place"] == "right"}
        return {
            "condition": condition, "seed": seed, "small": small, "schema": world.company.schema,
            "traces": len(world.drawn.rows.traces), "traps": [trap.id for trap in world.traps],
            "skipped": world.skipped, **score, "probes": probe(world, session, PROBES),
            "lies": hand_in(world, session, right), "seconds": round(time.monotonic() - started, 1),
        }  # fmt: skip


def _attempt(condition: Condition, seed: int, small: bool) -> dict[str, Any]:
    try:
        return measure(condition, seed, small)
    except Exception:  # noqa: BLE001  # whatever it is, the world could not be measured, and the others can
        return {"condition": condition, "seed": seed, "small": small, "failed": traceback.format_exc()}


def version() -> str:
    """A fingerprint of the code that a result depends on."""
    digest = hashlib.sha256()
    for folder in ("graph", "nodes", "tools", "src/hansei/contracts", "src/hansei/demo", "benchmarks/quality"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--worlds", type=int, default=40, help="worlds with faults (40)")
    parser.add_argument("--clean", type=int, default=40, help="worlds with traps only (40)")
    parser.add_argument("--aa", type=int, help="worlds with nothing in them (as many as clean ones)")
    parser.add_argument("--seed", type=int, default=1, help="number of the first world of each sort (1)")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time (1)")
    parser.add_argument("--small", action="store_true", help="companies of at most 3,000 traces")
    parser.add_argument(
        "--quick", action="store_true", help="three small worlds of each sort; judged by their intervals"
    )
    parser.add_argument(
        "--results", type=Path, default=Path("quality-results.jsonl"), help="file of JSON lines to keep"
    )
    parser.add_argument("--any-version", action="store_true", help="keep results of another version of the code, too")
    parser.add_argument("--show", metavar="SORT:SEED", help="only make this world and write its truth to a JSON file")
    chosen = parser.parse_args(arguments)
    if chosen.show:
        condition, _, seed = chosen.show.partition(":")
        if condition not in CONDITIONS or not seed.isdecimal():
            parser.error(f"--show takes one of {', '.join(CONDITIONS)} and a seed, such as faulty:3")
        return _write_truth(condition, seed, small=chosen.quick)
    numbers = (
        (3, 3, 3) if chosen.quick else (chosen.worlds, chosen.clean, chosen.clean if chosen.aa is None else chosen.aa)
    )
    if max(numbers) < 1:
        parser.error("there are no worlds to measure")
    # One of each sort after the other, so that a run that is cut short has measured something of everything.
    wanted = [
        (condition, chosen.seed + i, chosen.quick or chosen.small)
        for i in range(max(numbers))
        for condition, count in zip(CONDITIONS, numbers, strict=True)
        if i < count
    ]
    results = _results(wanted, chosen.results, chosen.jobs, "" if chosen.any_version else version())
    failed = [result for result in results if "failed" in result]
    for result in failed:
        print(f"{result['condition']}:{result['seed']} could not be measured:\n{result['failed']}", file=sys.stderr)
    lines = judge([result for result in results if "failed" not in result], strict=not chosen.quick)
    print(told([result for result in results if "failed" not in result]), show(lines), sep="\n\n")
    return exit_code(lines, len(failed), strict=not chosen.quick)


def _write_truth(condition: str, seed: str, *, small: bool) -> int:
    path = Path(f"truth-{condition}-{seed}.json")
    make_world(next(one for one in CONDITIONS if one == condition), int(seed), small=small).write_truth(path)
    print(path)
    return 0


def read_results(path: Path, code: str | None = None) -> list[dict[str, Any]]:
    """What a file of results holds of the worlds that could be measured, the last result of each.

    Args:
        code: only those of this version of the code; "": of any; None: of the present one.
    """
    wanted = version() if code is None else code
    known: dict[tuple[str, int, bool], dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        entry = json.loads(line)
        if wanted in ("", entry["code"]) and "failed" not in entry:
            known[entry["condition"], entry["seed"], entry["small"]] = entry
    return list(known.values())


def _results(wanted: list[tuple[Condition, int, bool]], path: Path, jobs: int, code: str) -> list[dict[str, Any]]:
    """The wanted worlds' results: those that are in the file, and the others, measured and added to it."""
    known = {(one["condition"], one["seed"], one["small"]): one for one in read_results(path, code)}
    # A process for each world: an embedded ClickHouse gives its memory back only when its process ends.
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), max_tasks_per_child=1)
    with pool, path.open("a", encoding="utf-8") as file:
        running = [pool.submit(_attempt, *one) for one in wanted if one not in known]
        for done in as_completed(running):
            entry = {"code": code or version(), **done.result()}
            file.write(json.dumps(entry, ensure_ascii=False, default=str) + "\n")
            file.flush()
            known[entry["condition"], entry["seed"], entry["small"]] = entry
            print(
                f"{entry['condition']}:{entry['seed']} {entry.get('seconds', 'failed')} s", file=sys.stderr, flush=True
            )
    return [known[one] for one in wanted]


if __name__ == "__main__":
    sys.exit(main())
