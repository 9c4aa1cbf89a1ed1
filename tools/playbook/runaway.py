"""Runaways: traces with far more steps than their app ever needs."""

from __future__ import annotations

from dataclasses import replace

from hansei.contracts import Comparison, Evidence, Finding
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.playbook import telling
from hansei.tools.playbook.cohorts import confined
from hansei.tools.playbook.expectation import Question
from hansei.tools.playbook.groupings import RUN_CONTEXTS, against_baseline
from hansei.tools.playbook.long_traces import with_bound
from hansei.tools.playbook.measure import rows_of
from hansei.tools.playbook.model import Candidate, Detector, Metric, Screening, Words
from hansei.tools.playbook.profile import Profile
from hansei.tools.playbook.screen import explain
from hansei.tools.report.catalogue import say
from hansei.tools.report.formats import format_count, format_value

RATE = Metric(
    name="runaway_rate",
    kind="runaway",
    unit="ratio",
    shape="share",
    relation="traces",
    where="ifNull(steps, 0) > 0",
    y="steps > {many_steps:Float64}",
    badness="steps",
    totals=True,
    min_n=100,
    min_effect=0.001,
    min_relative=1.0,
    per="traces",
    again="countIf(steps > {many_steps:Float64}) / count()",
    again_where="steps > 0",
)

_COSTLY = 0.1
"""Runaways that take this share of an app's money are held against the rest of the project as well: they may be nothing
new, or too few for a comparison with the baseline to say anything."""

_GROUPINGS = (("trace_name",), ("trace_name", "release"), ("trace_name", "environment"), ("trace_name", "version"))
_WORSE = Question("n", "long", RUN_CONTEXTS, _GROUPINGS, min_x=100, min_effect=0.001, min_relative=1.0)
_AMONG_OTHERS = replace(_WORSE, x="traces")
_ALWAYS = replace(_AMONG_OTHERS, min_effect=0.01, min_relative=2.0)


def screen(profile: Profile) -> Screening:
    """For each app, the bound on steps that its baseline hardly exceeds; then who exceeds it now."""
    cells, bounds = with_bound(profile.runs)
    worse, looked = explain(cells, _WORSE)
    candidates = [
        _bounded(candidate, bounds) for candidate in against_baseline("runaway", RATE, "regression", cells, worse, "n")
    ]
    index, names = cells.group(("trace_name",))
    for i, ((app,),) in enumerate(names):
        now = cells.in_window & (index == i)
        n, long, cost = (float(cells.sums[key][now].sum()) for key in ("n", "long", "cost"))
        spent = float(cells.sums["long_cost"][now].sum())
        looked += 1
        if app not in bounds or n < RATE.min_n or long < 5 or cost <= 0 or spent < _COSTLY * cost:
            continue
        candidates.append(
            _bounded(
                Candidate(
                    detector="runaway",
                    metric=RATE.name,
                    direction="hotspot",
                    segment={"trace_name": app},
                    comparison=Comparison(against="rest_of_window", segment={}),
                    strength=round(spent / cost, 3),
                ),
                bounds,
            )
        )
    hidden, looked_closer = confined("runaway", RATE, profile.long, _AMONG_OTHERS, _ALWAYS)
    candidates = [*(_bounded(candidate, bounds) for candidate in hidden), *candidates]
    return Screening.of(candidates, looked + looked_closer, cells.has_baseline)


def _bounded(candidate: Candidate, bounds: dict[str, int]) -> Candidate:
    bound = bounds[candidate.segment["trace_name"]]
    return candidate.model_copy(update={"parameters": {"many_steps": float(bound)}})


def detail(dataset: Dataset, candidate: Candidate, id: str) -> Evidence:
    """What they cost, now and before, whatever the candidate is compared with.

    Columns: period, traces, runaways, cost, runaway_cost (US dollars), most_steps.
    """
    before = Comparison(against="baseline", segment=candidate.segment)
    rows = rows_of(RATE, candidate.model_copy(update={"comparison": before}), extra=", total_cost, steps")
    sql = f"""
WITH {rows.cte}
SELECT period, count() AS traces, toUInt64(sum(y)) AS runaways, toFloat64(sum(ifNull(total_cost, 0))) AS cost,
  toFloat64(sumIf(ifNull(total_cost, 0), y = 1)) AS runaway_cost, max(steps) AS most_steps
FROM rows GROUP BY period ORDER BY period DESC"""
    return dataset.ask(id, "detail", dataset.bind(sql, rows.relations, rows.needs), rows.parameters)


def tell(finding: Finding) -> Words:
    """Runaways in words."""
    place = telling.where(finding.segment)
    bound = format_count(finding.parameters["many_steps"])
    title = say("runaway.title", share=format_value(finding.current.value, "ratio"), place=place, bound=bound)
    found = telling.detail(finding)
    row = found.records()[0] if found is not None and found.rows else None
    money = ""
    if row is not None and row["period"] == "window" and float(row["cost"]) > 0:
        share = format_value(float(row["runaway_cost"]) / float(row["cost"]), "ratio")
        money = say(
            "runaway.money", runaway=format_value(float(row["runaway_cost"]), "usd"),
            whole=format_value(float(row["cost"]), "usd"), share=share, most=format_count(row["most_steps"]),
        )  # fmt: skip
        title = say("runaway.title_cost", title=title, share=share)
    before = ""
    old = next((r for r in found.records() if r["period"] == "baseline"), None) if found is not None else None
    if finding.direction == "hotspot" and old is not None:
        before = say("runaway.before", count=format_count(old["runaways"]), of=format_count(old["traces"]))
    summary = telling.sentences(
        say("runaway.summary", moved=telling.from_to(finding), since=telling.since(finding)),
        money,
        before,
        telling.measured(finding, "traces"),
        telling.touched(finding),
    )
    return Words(title, summary, telling.came_with(finding) or None, say("runaway.advice", place=place, bound=bound))


DETECTOR = Detector(
    name="runaway",
    question="Which traces take far more steps than their app needs?",
    metrics=(RATE,),
    tell=tell,
    screen_profile=screen,
    detail=detail,
    parameters={"many_steps": "steps above which a trace counts as a runaway"},
)
