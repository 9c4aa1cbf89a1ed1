"""Judges that disagree: evaluators' scores against what users or annotators say of the same traces.

A pair of scores is looked at when the two agreed beyond chance before (Cohen's kappa): what never went together need
not. When answers get worse and both say so, chance agreement moves too, so kappa must fall as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hansei.contracts import Evidence, Finding
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.relations import Needs, in_spans
from hansei.tools.playbook import telling
from hansei.tools.playbook.cells import Cells
from hansei.tools.playbook.expectation import Question
from hansei.tools.playbook.groupings import against_baseline
from hansei.tools.playbook.measure import rows_of
from hansei.tools.playbook.model import Candidate, Detector, Metric, Screening, Words
from hansei.tools.playbook.quality import is_lower_better
from hansei.tools.playbook.screen import Hit, both_ways
from hansei.tools.report.catalogue import say
from hansei.tools.report.formats import format_value

_BETWEEN = " / "
"""Stands between the evaluator's and the human's score in the name of a pair."""

_LEAST_KAPPA = 0.2
"""Two scores that agreed less than this beyond chance are about different things."""
_LOST_KAPPA = 0.1


def _pairs(relation: str, columns: Sequence[str], where: str = "1") -> str:
    """One row per trace and pair of an evaluator's and a human's score, the newest of each."""
    kept = ", ".join(columns)
    first, again = (", ".join(f"max({table}.{name}) AS {name}" for name in columns) for table in ("s", "n"))
    return f"""SELECT trace_id AS id, trace_id, moment AS timestamp, pair.1.1 AS judge_name, pair.2.1 AS human_name,
      concat(pair.1.1, '{_BETWEEN}', pair.2.1) AS name, pair.1.2 AS judged, pair.2.2 AS felt, {kept}
    FROM (
      SELECT n.trace_id AS trace_id, max(n.last) AS moment, {again},
        groupArrayIf((n.name, n.newest), n.is_judge) AS judges,
        groupArrayIf((n.name, n.newest), NOT n.is_judge) AS humans
      FROM (
        SELECT s.trace_id AS trace_id, s.name AS name, s.source = 'EVAL' AS is_judge,
          argMax(s.value, (s.timestamp, s.id)) AS newest, max(s.timestamp) AS last, {first}
        FROM {relation} AS s
        WHERE s.trace_id != '' AND s.data_type IN ('NUMERIC', 'BOOLEAN') AND {where}
        GROUP BY s.trace_id, s.name, is_judge
      ) AS n GROUP BY n.trace_id
    ) ARRAY JOIN arrayFlatten(arrayMap(judge -> arrayMap(human -> (judge, human), humans), judges)) AS pair"""


_OF_TRACE = ("environment", "session_id", "trace_name", "user_id", "release", "version")
_DIFFER = "((judged > {judge_cut:Float64}) != (felt > {human_cut:Float64})) != ({opposite:Float64} = 1)"
RATE = Metric(
    name="judge_disagreement_rate",
    kind="judge_disagreement",
    unit="ratio",
    shape="share",
    relation="scores",
    source=_pairs("scores", _OF_TRACE),
    y=_DIFFER,
    min_n=40,
    min_effect=0.08,
    min_relative=0.25,
    per="judged traces",
    again=f"countIf({_DIFFER}) / count()",
    again_from=_pairs("raw_scores", ("environment", "session_id"), in_spans("s.timestamp")),
)

_DIMENSIONS = ("score", "trace_name", "environment", "release", "version")
_CONTEXTS = (("score", "trace_name", "environment"), ("score", "trace_name"), ("score",))
_GROUPINGS = (("score",), ("score", "trace_name"), ("score", "release"), ("score", "version"), ("score", "environment"))
_WORSE = Question("n", "differ", _CONTEXTS, _GROUPINGS, min_x=40, min_effect=0.08, min_relative=0.25)
_BETTER = Question("n", "differ", _CONTEXTS, _GROUPINGS, sign=-1, min_x=40, min_effect=0.08, min_relative=0.25)

# Asked first, since it needs nothing of the traces themselves.
_JUDGED_TWICE = """SELECT count() AS traces FROM (
  SELECT trace_id FROM scores WHERE trace_id != '' AND data_type IN ('NUMERIC', 'BOOLEAN')
  GROUP BY trace_id HAVING uniqExact(source = 'EVAL') = 2
)"""

# A score is good above 0.5 when it is boolean, else above the middle of the values it takes.
_CUTS = """SELECT name, if(max(data_type) = 'BOOLEAN', 0.5, (min(value) + max(value)) / 2) AS cut FROM scores
  WHERE data_type IN ('NUMERIC', 'BOOLEAN') GROUP BY name"""
_SQL = f"""
SELECT toInt32(floor(dateDiff('millisecond', {{window_start:DateTime64(6, 'UTC')}}, timestamp) / 86400000)) AS day,
  p.name AS score, trace_name, environment, release, version, judge_name, human_name,
  any(j.cut) AS judge_cut, any(h.cut) AS human_cut, count() AS n, countIf(judged > j.cut) AS judge_good,
  countIf(felt > h.cut) AS human_good, countIf(judged > j.cut AND felt > h.cut) AS both_good
FROM ({RATE.source}) AS p
LEFT ANY JOIN ({_CUTS}) AS j ON p.judge_name = j.name
LEFT ANY JOIN ({_CUTS}) AS h ON p.human_name = h.name
GROUP BY day, score, trace_name, environment, release, version, judge_name, human_name"""


def screen(dataset: Dataset) -> Screening:
    """All pairs of scores of one trace, in a query of its own."""
    if not dataset.columns(dataset.bind(_JUDGED_TWICE, ("scores",)))["traces"][0]:
        return Screening.nothing("no trace has both an evaluator's score and one that a person gave")
    columns = dict(dataset.columns(dataset.bind(_SQL, ("scores",), Needs(trace=True))))
    judges, humans = columns.pop("judge_name"), columns.pop("human_name")
    opposite = np.array(
        [is_lower_better(str(a)) != is_lower_better(str(b)) for a, b in zip(judges, humans, strict=True)]
    )
    n, judge, human, both = (
        np.asarray(columns[name], dtype=np.float64) for name in ("n", "judge_good", "human_good", "both_good")
    )
    human, both = np.where(opposite, n - human, human), np.where(opposite, judge - both, both)
    differ = judge + human - 2 * both
    made: dict[str, Any] = {**columns, "human_good": human, "both_good": both, "differ": differ, "opposite": opposite}
    cells = Cells.read(made, _DIMENSIONS)
    worse, better, looked = both_ways(cells, _WORSE, _BETTER)
    found = [
        (hit, candidate)
        for direction, hits in (("regression", worse), ("improvement", better))
        for hit in hits
        for candidate in against_baseline(
            "judge_disagreement", RATE, "regression" if direction == "regression" else "improvement", cells, [hit], "n"
        )
    ]
    return Screening.of(
        [_with_cuts(cells, hit, candidate) for hit, candidate in found if _meant_to_agree(cells, hit, candidate)],
        looked,
        cells.has_baseline,
    )


def kappa(n: float, judge: float, human: float, both: float) -> float:
    """Cohen's kappa of two yes-or-no verdicts: agreement beyond chance (Educ. Psychol. Meas. 20 (1960) 37).

    Args:
        n: cases; judge, human, both: those that the one, the other, and both call good.
    """
    if n <= 0:
        return 0.0
    agreed = (n - judge - human + 2 * both) / n
    chance = (judge * human + (n - judge) * (n - human)) / n**2
    return (agreed - chance) / (1 - chance) if chance < 1 else 0.0


def _meant_to_agree(cells: Cells, hit: Hit, candidate: Candidate) -> bool:
    pair = cells.codes["score"] == cells.values["score"].index((hit.segment["score_name"],))

    def of(mask: Any) -> float:
        return kappa(*(float(cells.sums[name][mask].sum()) for name in ("n", "judge_good", "human_good", "both_good")))

    now, before = of(cells.inside(hit.units, hit.values) & cells.in_window), of(pair & ~cells.in_window)
    if candidate.direction == "improvement":
        return now >= _LEAST_KAPPA and now - before >= _LOST_KAPPA
    return before >= _LEAST_KAPPA and before - now >= _LOST_KAPPA


def _with_cuts(cells: Cells, hit: Hit, candidate: Candidate) -> Candidate:
    first = int(np.flatnonzero(cells.inside(hit.units, hit.values))[0])
    cuts = {name: float(cells.sums[name][first]) for name in ("judge_cut", "human_cut", "opposite")}
    return candidate.model_copy(update={"parameters": cuts})


def detail(dataset: Dataset, candidate: Candidate, id: str) -> Evidence:
    """Who calls what good. Columns: period, n, judge_good, human_good, both_good (traces)."""
    opposite = "({opposite:Float64} = 1)"
    extra = f""", judged > {{judge_cut:Float64}} AS judge_says,
      (felt > {{human_cut:Float64}}) != {opposite} AS human_says"""
    rows = rows_of(RATE, candidate, extra=extra)
    sql = f"""
WITH {rows.cte}
SELECT period, count() AS n, countIf(judge_says) AS judge_good, countIf(human_says) AS human_good,
  countIf(judge_says AND human_says) AS both_good
FROM rows GROUP BY period ORDER BY period DESC"""
    return dataset.ask(id, "detail", dataset.bind(sql, rows.relations, rows.needs), rows.parameters)


def tell(finding: Finding) -> Words:
    """Disagreement in words."""
    segment = dict(finding.segment)
    judge, _, human = segment.pop("score_name", "").partition(_BETWEEN)
    names = {"judge": telling.name(judge), "human": telling.name(human)}
    place, moved = telling.where(segment), telling.from_to(finding)
    measured = telling.measured(finding, RATE.per)
    if finding.direction == "improvement":
        return Words(say("judges.better", **names, place=place, moved=moved), measured, None, say("keep"))
    share = format_value(finding.current.value, "ratio")
    title = telling.up_from(finding, say("judges.title", **names, place=place, share=share))
    return Words(
        title, telling.sentences(measured, _beyond_chance(finding)), telling.came_with(finding) or None,
        say("judges.advice", **names),
    )  # fmt: skip


def _beyond_chance(finding: Finding) -> str:
    found = telling.detail(finding)
    rows = {str(row["period"]): row for row in found.records()} if found else {}
    if "window" not in rows or "baseline" not in rows:
        return ""
    now, before = (
        f"{kappa(*(float(rows[period][name]) for name in ('n', 'judge_good', 'human_good', 'both_good'))):.2f}"
        for period in ("window", "baseline")
    )
    return say("judges.kappa", now=now, before=before)


DETECTOR = Detector(
    name="judge_disagreement",
    question="Which evaluators no longer agree with people?",
    metrics=(RATE,),
    tell=tell,
    screen_data=screen,
    detail=detail,
    parameters={
        "judge_cut": "the evaluator's score above which it calls a trace good",
        "human_cut": "the person's score above which they call it good",
        "opposite": "1: less of one score and more of the other is good",
    },
)
