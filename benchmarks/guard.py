"""What the guard costs per query: SQL of a model or a person, and SQL out of a report. It needs no directory.

    python benchmarks/guard.py

In memory, without rows: only the guard is measured. Prints medians in milliseconds, beside them the processor time (all
threads), which a busy machine disturbs less. Exits with 1 when a query takes longer than the bound.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from hansei.contracts import Periods
from hansei.demo.tables import create_tables
from hansei.errors import QueryRefused
from hansei.tools.clickhouse import open_reader, open_writer
from hansei.tools.langfuse.dataset import RELATIONS, Dataset
from hansei.tools.langfuse.relations import Needs
from hansei.tools.langfuse.trusted import ReportGuard
from hansei.tools.langfuse.v3 import V3
from hansei.tools.langfuse.v4 import V4

BOUND = 10.0
"""Most milliseconds for a query of a model or a person."""

PROJECT = "acme"
QUESTIONS = {
    "a count": "SELECT count() FROM traces",
    "a table": "SELECT name, count() AS n, quantile(0.95)(latency_ms) AS p95 FROM traces GROUP BY name ORDER BY n DESC",
    "a join": """WITH bad AS (
          SELECT trace_id, count() AS errors FROM observations WHERE level = 'ERROR' GROUP BY trace_id
        )
        SELECT t.name, t.release, uniqExact(t.user_id), sum(b.errors), avgIf(s.value, s.data_type = 'NUMERIC')
        FROM traces AS t JOIN bad AS b ON t.id = b.trace_id LEFT JOIN scores AS s ON s.trace_id = t.id
        WHERE t.timestamp >= {window_start:DateTime64(6, 'UTC')}
          AND t.id NOT IN (SELECT trace_id FROM scores WHERE value > 0.5)
        GROUP BY ALL HAVING sum(b.errors) > 3 ORDER BY 4 DESC LIMIT 20""",
    "a window": """SELECT * FROM (
        SELECT toDate(start_time) AS day, name, count() AS n, sum(n) OVER (PARTITION BY name ORDER BY day) AS running,
          row_number() OVER (PARTITION BY day ORDER BY n DESC) AS place,
          arrayStringConcat(arraySort(groupUniqArray(model)), ', ')
        FROM observations WHERE type IN ('TOOL', 'GENERATION') AND mapContains(metadata, 'plan') GROUP BY day, name
      ) WHERE place <= 3 ORDER BY day, place""",
    "refused": "SELECT file('/etc/passwd')",
}


def median(work: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Milliseconds on the clock and of the processor, after one round that fills caches."""
    work()
    clock, processor = [], []
    for _ in range(rounds):
        started, used = time.perf_counter(), time.process_time()
        work()
        clock.append(time.perf_counter() - started)
        processor.append(time.process_time() - used)
    return statistics.median(clock) * 1000, statistics.median(processor) * 1000


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=30, help="how often each is measured (30)")
    rounds = parser.parse_args().rounds
    end = datetime(2026, 11, 16, tzinfo=UTC)
    periods = Periods.ending(end, timedelta(days=7), timedelta(days=7))
    slowest = 0.0
    writer = open_writer("chdb://?database=guarded")
    create_tables(writer, "v3", "guarded")
    reader = open_reader("chdb://?database=guarded", project_id=PROJECT)
    for adapter in (V3("guarded", has_experiments=True), V4("guarded", has_experiments=True)):
        dataset = Dataset(reader, adapter, PROJECT, periods)
        print(f"{adapter.version}: milliseconds per query (of the processor)")
        for name, sql in QUESTIONS.items():
            clock, processor = median(partial(admitted, dataset, sql), rounds)
            slowest = max(slowest, clock)
            print(f"  {name:<12} {clock:6.1f} ({processor:.1f})")
        for needs in (Needs(), Needs(trace=True, totals=True)):
            sql = dataset.bind("SELECT count() FROM traces CROSS JOIN observations", sorted(RELATIONS), needs)
            again = partial(ReportGuard(reader, PROJECT).admit, sql, dataset.parameters())
            clock, processor = median(again, rounds)
            print(f"  {'of a report':<12} {clock:6.1f} ({processor:.1f})  {len(sql):,} characters")
    reader.close()
    writer.close()
    print(f"slowest question {slowest:.1f} ms, bound {BOUND:.0f} ms")
    return 1 if slowest > BOUND else 0


def admitted(dataset: Dataset, sql: str) -> object:
    """What the guard says: SQL, or a refusal."""
    try:
        return dataset.admit(sql)
    except QueryRefused as refused:
        return refused


if __name__ == "__main__":
    raise SystemExit(main())
