"""Rival explanations that somebody proposes: each is one typed query, and a rule that says what its answer shows.

Who proposes is not trusted. A proposal chooses a question and nothing else; what follows from the answer is computed
here, and only one kind of answer can refute: that the change is gone where the mix of the traffic is held fixed, far
beyond chance. Traffic is what comes from outside: who asks, for what, where and when. What the application does (its
steps) or is made of (versions, models, prompts) can be a cause: a step that only runs when something failed makes a
true fault look like a mix. It is left out or looked at alone, which is told and refutes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hansei.contracts import Check, Comparison, Evidence, Finding
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.playbook.assess import Facts, evidence_for, series
from hansei.tools.playbook.measure import Rows, measure_columns, rows_of
from hansei.tools.playbook.model import Candidate, Metric
from hansei.tools.playbook.segments import TIME, column_of, condition
from hansei.tools.playbook.telling import name
from hansei.tools.report.catalogue import catalogue, say
from hansei.tools.report.formats import format_value
from hansei.tools.statistics import Sums

Test = Literal["hold_fixed", "leave_out", "only_hours", "only_weekdays", "sibling"]

TRAFFIC = ("trace_name", "environment", "user_id", "hour")
"""What may be held fixed: who asks, for what and when."""

PURPOSE = "rival:"

REFUTING = "rival_mix"
"""The one check of these whose failure counts against the finding."""

_OVERLAP = 0.8
"""Of the cases on each side, so many must be of kinds that occur on both for the mix to be held fixed."""

_ERRORS = 3.0
"""Standard errors by which what is left must be below half of the change for it to be gone."""

_GONE = 0.25
"""And most of the change that may be left: of more than that something may well be true."""

_KEPT = 0.4
"""An effect survives when at least this share of it is left."""

_MOST_KINDS = 2_000


@dataclass(frozen=True)
class Rival:
    """One rival explanation.

    `hold_fixed`: the mix by `dimension` shifted. `leave_out`: it is only the rows with this `value`. `only_hours`: it
    is not in these hours of the day (UTC, `first` to `last`, both included). `only_weekdays`: it is not on these days
    (Monday is 1). `sibling`: another value of a dimension of the segment changed as well.
    """

    test: Test
    dimension: str = ""
    value: str = ""
    first: int = 0
    last: int = 0

    def applies_to(self, metric: Metric, candidate: Candidate) -> bool:
        """Whether it asks something about this candidate."""
        if metric.shape == "count" or candidate.comparison.against != "baseline":
            return False
        column = column_of(self.dimension, metric.relation)
        if self.test == "hold_fixed":
            known = self.dimension == "hour" or column is not None
            return self.dimension in TRAFFIC and known and self.dimension not in candidate.segment
        if self.test == "leave_out":
            return bool(self.value) and column is not None and self.dimension not in candidate.segment
        if self.test == "sibling":
            return bool(self.value) and candidate.segment.get(self.dimension, self.value) != self.value
        bounds = (0, 23) if self.test == "only_hours" else (1, 7)
        return bounds[0] <= self.first <= self.last <= bounds[1] and (self.first, self.last) != bounds

    @property
    def purpose(self) -> str:
        """Of its evidence."""
        return f"{PURPOSE}{self.test}" + (f":{self.dimension}" if self.dimension else "")


def ask_rival(dataset: Dataset, metric: Metric, candidate: Candidate, rival: Rival, id: str) -> Evidence:
    """The query of a rival explanation that applies.

    Columns: for `hold_fixed` kind, period, traces, x, y, xx, xy, yy, affected; else as in `measure`.
    """
    time = TIME[metric.relation]
    if rival.test == "hold_fixed":
        column = (
            f"toString(toHour({time}))" if rival.dimension == "hour" else column_of(rival.dimension, metric.relation)
        )
        rows = rows_of(metric, candidate, extra=f", {column} AS kind", with_trace=True)
        return _asked(dataset, rows, _KINDS.format(cte=rows.cte, scale=f"{metric.scale:.0f}"), rival, id, {})
    if rival.test == "sibling":
        other = candidate.model_copy(
            update={
                "segment": {**candidate.segment, rival.dimension: rival.value},
                "comparison": Comparison(
                    against="baseline", segment=_beside(candidate.comparison.segment, rival.dimension, rival.value)
                ),
            }
        )
        rows = rows_of(metric, other)
        values: dict[str, object] = {"rival_value": rival.value}
        return _asked(dataset, rows, f"WITH {rows.cte}\n{measure_columns(metric)}", rival, id, values)
    if rival.test == "leave_out":
        left = condition({rival.dimension: rival.value}, metric.relation, "rival")
        rows = rows_of(metric, candidate, also=f"NOT ({left.sql})", with_trace=True)
        return _asked(dataset, rows, f"WITH {rows.cte}\n{measure_columns(metric)}", rival, id, dict(left.parameters))
    unit = "toHour" if rival.test == "only_hours" else "toDayOfWeek"
    rows = rows_of(metric, candidate, also=f"{unit}({time}) BETWEEN {{rival_first:UInt8}} AND {{rival_last:UInt8}}")
    bounds: dict[str, object] = {"rival_first": rival.first, "rival_last": rival.last}
    return _asked(dataset, rows, f"WITH {rows.cte}\n{measure_columns(metric)}", rival, id, bounds)


_KINDS = f"""WITH {{cte}}
SELECT kind, period, count() AS traces, toUInt64(sum(xs)) AS x, toFloat64(sum(ys)) / {{scale}} AS y,
  toFloat64(sum(xs * xs)) AS xx, toFloat64(sum(xs * ys)) / {{scale}} AS xy,
  toFloat64(sum(ys * ys)) / {{scale}} / {{scale}} AS yy, countIf(ys > 0) AS affected
FROM (SELECT cluster, kind, period, sum(x) AS xs, sum(y) AS ys FROM rows GROUP BY cluster, kind, period)
GROUP BY kind, period ORDER BY x DESC, kind, period LIMIT {_MOST_KINDS}"""


def _beside(segment: dict[str, str], dimension: str, value: str) -> dict[str, str]:
    return {**segment, dimension: value} if dimension in segment else segment


def _asked(dataset: Dataset, rows: Rows, sql: str, rival: Rival, id: str, values: dict[str, object]) -> Evidence:
    bound = dataset.bind(sql, rows.relations, rows.needs)
    return dataset.ask(id, rival.purpose, bound, {**rows.parameters, **values}, since=rows.since(dataset))


def rival_checks(metric: Metric, finding: Finding, facts: Facts) -> list[Check]:
    """What the answers to rival explanations show, in the order in which they were asked."""
    measured = evidence_for(finding.evidence, "measure")
    asked = [evidence for evidence in finding.evidence if evidence.purpose.startswith(PURPOSE)]
    if measured is None or not asked:
        return []
    history = finding.parameters.get("history_days", 0)
    whole = series(measured, facts.periods, history_days=history)
    now, before = whole.current, whole.before
    checks = []
    for evidence in asked:
        _, test, dimension = [*evidence.purpose.split(":", 2), ""][:3]
        if before.x <= 0 or now.x <= 0 or now.ratio == before.ratio:
            checks.append(_open(test, dimension))
        elif test == "hold_fixed":
            checks.append(_held_fixed(evidence, dimension, now, before))
        else:
            part = series(evidence, facts.periods, history_days=history)
            checks.append(_left(metric, evidence, test, dimension, (part.current, part.before), (now, before)))
    return checks


def carriers(finding: Finding) -> list[tuple[dict[str, str], float, str]]:
    """Each value of a dimension without which the change is gone, as answers to `leave_out` show.

    Returns:
        The value as a segment, how many cases the reference has of it, and what the check says.
    """
    asked = [evidence for evidence in finding.evidence if evidence.purpose.startswith(PURPOSE)]
    checks = [check for check in finding.checks if check.name in _NAMES.values()]
    measured = evidence_for(finding.evidence, "measure")
    if measured is None:
        return []
    found = []
    for evidence, check in zip(asked, checks, strict=False):
        if check.name == _NAMES["leave_out"] and check.passed is False:
            left, whole = (
                sum(float(row["x"]) for row in one.records() if row["period"] != "window")
                for one in (evidence, measured)
            )
            part = {evidence.purpose.split(":", 2)[2]: str(evidence.parameters["rival0"])}
            found.append((part, whole - left, check.detail))
    return found


def _held_fixed(evidence: Evidence, dimension: str, now: Sums, before: Sums) -> Check:
    kinds: dict[str, dict[bool, Sums]] = {}
    for row in evidence.records():
        sums = Sums(
            int(row["traces"]), float(row["x"]), float(row["y"]), float(row["xx"]), float(row["xy"]),
            float(row["yy"]), int(row["affected"]),
        )  # fmt: skip
        sides = kinds.setdefault(str(row["kind"]), {True: Sums(), False: Sums()})
        sides[row["period"] == "window"] += sums
    both = [
        (sides[True], sides[False])
        for sides in kinds.values()
        if all(side.x > 0 and side.clusters >= 2 for side in sides.values())
    ]
    x, y = sum(one.x for one, _ in both), sum(other.x for _, other in both)
    if min(x / now.x, y / before.x) < _OVERLAP:
        return _open("hold_fixed", dimension)
    parts = [((one.x / now.x + other.x / before.x) / 2, one, other) for one, other in both]
    within = sum(weight * (one.ratio - other.ratio) for weight, one, other in parts)
    error = math.sqrt(sum(weight**2 * (one.variance + other.variance) for weight, one, other in parts))
    within += _elsewhere(both, now, before)
    change = now.ratio - before.ratio
    kept = within / change
    gone = _is_gone(kept, error / abs(change))
    key = "check.rival_mix_gone" if gone else "check.rival_mix"
    return Check(name=REFUTING, passed=not gone, detail=_say(key, dimension, share=_share(kept)))


def _elsewhere(both: Sequence[tuple[Sums, Sums]], now: Sums, before: Sums) -> float:
    """The change in what is of no kind that occurs on both sides, taken together: what is new may be the fault itself,
    so it counts as changed and not as mix. Where one side has none of it, it is held against that side's whole."""
    sides: list[tuple[float, float]] = []
    for side, whole in enumerate((now, before)):
        x = max(0.0, whole.x - sum(pair[side].x for pair in both))
        y = max(0.0, whole.y - sum(pair[side].y for pair in both))
        sides.append((x / whole.x, y / x if x > 0 else whole.ratio))
    (share, ratio), (share_before, ratio_before) = sides
    return (share + share_before) / 2 * (ratio - ratio_before)


def _is_gone(kept: float, error: float) -> bool:
    """Whether so little of a change is left, as a share of it with its standard error, that it is not there."""
    return kept <= _GONE and kept + _ERRORS * error < 0.5


def _left(
    metric: Metric, evidence: Evidence, test: str, dimension: str, part: tuple[Sums, Sums], whole: tuple[Sums, Sums]
) -> Check:
    if min(side.x for side in part) < metric.min_n:
        return _open(test, dimension)
    change = whole[0].ratio - whole[1].ratio
    kept = (part[0].ratio - part[1].ratio) / change
    values = evidence.parameters
    told = {
        "value": name(str(values.get("rival0", values.get("rival_value", ""))), 40),
        "first": values.get("rival_first", ""),
        "last": values.get("rival_last", ""),
        "share": _share(kept),
    }
    if test == "sibling":
        passed = kept < 0.5
    else:
        passed = kept >= _KEPT
        if not passed and not _is_gone(kept, math.sqrt(part[0].variance + part[1].variance) / abs(change)):
            return _open(test, dimension)
    key = f"check.{_NAMES[test]}{'' if passed else '_gone'}"
    return Check(name=_NAMES[test], passed=passed, detail=_say(key, dimension, **told))


_NAMES = {
    "hold_fixed": REFUTING,
    "leave_out": "rival_without",
    "only_hours": "rival_hours",
    "only_weekdays": "rival_weekdays",
    "sibling": "rival_sibling",
}

TOLD = frozenset(_NAMES.values()) - {REFUTING}
"""Checks that are told and leave the verdict."""


def _open(test: str, dimension: str) -> Check:
    return Check(name=_NAMES.get(test, "rival_without"), passed=None, detail=_say("check.rival_open", dimension))


def _say(key: str, dimension: str, **values: object) -> str:
    return say(key, dimension=catalogue().text(f"dimension.{dimension}") if dimension else "", **values)


def _share(kept: float) -> str:
    return format_value(max(0.0, kept), "ratio")
