"""Which traces are judged: drawn by the hash of their id, so that the same request always draws the same ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hansei.contracts import Segment, parse_instant
from hansei.contracts.evaluation import PlanName
from hansei.errors import UsageError
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.playbook.segments import column, condition

LONGEST_STRATUM = 100


@dataclass(frozen=True)
class Chosen:
    """A trace that is to be judged. `weight`: how many traces of the population it stands for; 0: it is judged only
    since people have labelled it."""

    id: str
    at: datetime
    environment: str
    stratum: str = ""
    weight: float = 1.0


def choose(
    dataset: Dataset, count: int, *, plan: PlanName = "uniform", by: str = "trace_name", segment: Segment | None = None,
    seed: int = 1,
) -> tuple[list[Chosen], int]:  # fmt: skip
    """Draws traces of the window.

    Args:
        dataset: the data.
        count: how many at most.
        plan: stratified: as many of each stratum, and small ones whole; else each trace alike.
        by: with stratified: the dimension; `outcome` is whether a step failed.
        segment: only these.
        seed: another one draws others.

    Returns:
        The traces in the order in which they are to be judged, and how many there are in all.

    Raises:
        UsageError: the dimension cannot be divided by.
    """
    try:
        where = condition(segment or {}, "traces", "seg")
    except KeyError as unknown:
        raise UsageError(f"Traces have no {unknown}.", "Take another dimension.") from None
    stratum, joined, relations = "''", "", ["traces"]
    if plan == "stratified":
        stratum, joined = _stratum(by)
    relations += [*(["observations"] if joined else []), *where.looks_up]
    sql = f"""SELECT *, count() OVER (PARTITION BY stratum) AS of, count() OVER () AS population,
  row_number() OVER (PARTITION BY stratum ORDER BY cityHash64(id, {{seed:UInt32}}), id) AS place
FROM (
  SELECT t.id AS id, t.timestamp AS at, t.environment AS environment, leftUTF8({stratum}, {LONGEST_STRATUM}) AS stratum
  FROM traces AS t {joined} WHERE {where.sql}
)
ORDER BY {"place, " if plan == "stratified" else ""}cityHash64(id, {{seed:UInt32}}), id LIMIT {count}"""
    values: dict[str, Any] = {**where.parameters, "seed": seed % 2**32}
    bound = dataset.bind(sql, relations, where.needs)
    rows = dataset.ask("chosen", "chosen", bound, values, since=dataset.periods.window.start).records()
    drawn: dict[str, int] = {}
    for row in rows:
        drawn[str(row["stratum"])] = drawn.get(str(row["stratum"]), 0) + 1
    chosen = [
        Chosen(
            str(row["id"]), parse_instant(str(row["at"])), str(row["environment"]), str(row["stratum"]),
            int(row["of"]) / drawn[str(row["stratum"])],
        )
        for row in rows
    ]  # fmt: skip
    return chosen, int(rows[0]["population"]) if rows else 0


def _stratum(by: str) -> tuple[str, str]:
    """SQL of a trace's stratum over ``traces AS t``, and the join that it needs."""
    if by == "outcome":
        failed = "SELECT DISTINCT trace_id FROM observations WHERE level = 'ERROR'"
        return "if(b.trace_id = '', 'ended well', 'failed')", f"LEFT ANY JOIN ({failed}) AS b ON t.id = b.trace_id"
    if (found := column(by, "traces")) is not None and by != "tag":
        return f"toString(t.{found[0]})", ""
    if (found := column(by, "observations")) is not None and not found[1]:
        value = f"argMinIf({found[0]}, (start_time, id), {found[0]} != '')"
        inner = f"SELECT trace_id, {value} AS value FROM observations GROUP BY trace_id"
        return "b.value", f"LEFT ANY JOIN ({inner}) AS b ON t.id = b.trace_id"
    raise UsageError(f"Traces cannot be divided by {by[:40]!r}.", "Take trace_name, release, model, outcome, …")


def ids(chosen: Sequence[Chosen]) -> list[str]:
    return [one.id for one in chosen]
