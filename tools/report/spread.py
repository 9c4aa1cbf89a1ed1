"""What the second charts draw, taken from a finding's evidence: the spread of a latency, and the kinds of traffic."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hansei.contracts import Finding
from hansei.tools.playbook.parts import kinds_of_traffic
from hansei.tools.report.text import excerpt, one_line
from hansei.tools.statistics import Interval, wilson

MOST_STRATA = 6
_FEWEST = 10
_LONGEST = 20


@dataclass(frozen=True)
class Spread:
    """Seconds that so many per cent of a period's calls stay below."""

    period: str
    p5: float
    p25: float
    p50: float
    p75: float
    p95: float


@dataclass(frozen=True)
class Stratum:
    """A kind of traffic. Its values are shares with Wilson's intervals, or averages, whose bounds are the value."""

    name: str
    short: str
    window: Interval | None
    reference: Interval | None


def spreads(finding: Finding) -> list[Spread]:
    """The spread of both sides, the reference first; empty when the evidence does not tell it."""
    found = []
    for row in _rows(finding, "quantiles", {"period", "levels", "seconds"}):
        levels, seconds = row["levels"], row["seconds"]
        if not isinstance(levels, list) or not isinstance(seconds, list) or len(levels) != len(seconds):
            return []
        values = {level: second for level, second in zip(levels, seconds, strict=True) if _is_number(second)}
        if any(level not in values for level in (0.05, 0.25, 0.5, 0.75, 0.95)):
            return []
        found.append(Spread(str(row["period"]), *(float(values[level]) for level in (0.05, 0.25, 0.5, 0.75, 0.95))))
    known = {one.period: one for one in found if one.period in ("window", "baseline", "rest")}
    return [known[period] for period in ("baseline", "rest", "window") if period in known] if "window" in known else []


def strata(finding: Finding, blank: str) -> list[Stratum]:
    """The kinds of traffic with most cases, largest first; empty when there is only one.

    Args:
        finding: with the evidence of the critic's look at the mix of traffic.
        blank: what an empty name is shown as.
    """
    if finding.comparison.against != "baseline":
        return []
    rows = [
        row
        for row in kinds_of_traffic(finding.evidence) or ()
        if isinstance(row["stratum"], list)
        and all(_is_number(row[key]) for key in ("x", "y", "reference_x", "reference_y"))
        and row["x"] + row["reference_x"] >= _FEWEST
    ]
    rows = sorted(rows, key=lambda row: -row["x"] - row["reference_x"])[:MOST_STRATA]
    width = min((len(row["stratum"]) for row in rows), default=0)
    telling = [i for i in range(width) if len({str(row["stratum"][i]) for row in rows}) > 1]
    if len(rows) < 2 or not telling:
        return []
    shares = finding.unit in ("ratio", "s")
    found = []
    for row in rows:
        name = " / ".join(one_line(str(row["stratum"][i])) or blank for i in telling)
        sides = [_side(row[x], row[y], shares) for x, y in (("x", "y"), ("reference_x", "reference_y"))]
        short = name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
        found.append(Stratum(excerpt(name, 120), short, sides[0], sides[1]))
    return found


def _side(x: float, y: float, share: bool) -> Interval | None:
    if x <= 0:
        return None
    value = y / x
    return wilson(value, x) if share and 0 <= value <= 1 else Interval(value, value, value)


def _rows(finding: Finding, purpose: str, columns: set[str]) -> Sequence[Mapping[str, Any]]:
    for evidence in finding.evidence:
        if evidence.purpose == purpose and columns <= set(evidence.columns):
            return [
                dict(zip(evidence.columns, row, strict=False))
                for row in evidence.rows
                if len(row) == len(evidence.columns)
            ]
    return []


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and abs(value) < 1e15
