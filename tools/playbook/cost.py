"""Cost: dollars per model call and per trace."""

from __future__ import annotations

from dataclasses import replace

from hansei.contracts import Evidence, Finding
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.playbook import telling
from hansei.tools.playbook.averages import RUNS, STEPS, moved_by_mix
from hansei.tools.playbook.cohorts import confined
from hansei.tools.playbook.expectation import Question
from hansei.tools.playbook.groupings import (
    RUN_CONTEXTS,
    RUN_GROUPINGS,
    STEP_CONTEXTS,
    STEP_GROUPINGS,
    against_baseline,
)
from hansei.tools.playbook.measure import rows_of
from hansei.tools.playbook.model import Candidate, Detector, Metric, Screening, Words
from hansei.tools.playbook.profile import Profile
from hansei.tools.playbook.screen import both_ways
from hansei.tools.playbook.side_by_side import DEPLOYED, beside
from hansei.tools.report.catalogue import say
from hansei.tools.report.formats import format_count, format_value

# Costs are decimals with twelve places, so a whole number of 1e-12 dollars is exact.
_PICO = 1_000_000_000_000
PER_CALL = Metric(
    name="cost_per_call",
    kind="cost",
    unit="usd",
    shape="mean",
    relation="observations",
    where="total_cost IS NOT NULL",
    y=f"toInt256(toDecimal128(assumeNotNull(total_cost), 12) * {_PICO})",
    scale=float(_PICO),
    min_n=50,
    min_relative=0.1,
    per="model calls",
    again="toFloat64(sum(total_cost)) / count()",
    again_where="total_cost IS NOT NULL",
)
PER_TRACE = replace(PER_CALL, name="cost_per_trace", relation="traces", totals=True, per="traces")

_CALLS = Question("costed", "cost", STEP_CONTEXTS, STEP_GROUPINGS, yy="cost2", min_x=50, min_relative=0.1)
_TRACES = Question("costed", "cost", RUN_CONTEXTS, RUN_GROUPINGS, yy="cost2", min_x=50, min_relative=0.1)


def screen(profile: Profile) -> Screening:
    """Cost per call, cost per trace, and averages that move although no part of them does."""
    if not profile.steps.sums["costed"].any():
        return Screening.nothing("no observation carries a cost")
    # Against the baseline alone: what a call costs follows from what is asked, so customers, tasks and sources differ.
    cheaper = replace(_CALLS, sign=-1)
    candidates, slices = confined("cost", PER_CALL, profile.cohorts, _CALLS, better=cheaper)
    for cells, question, metric, kinds in (
        (profile.steps, _CALLS, PER_CALL, STEPS),
        (profile.runs, _TRACES, PER_TRACE, RUNS),
    ):
        worse, better, looked = both_ways(cells, question, replace(question, sign=-1))
        others, looked_beside = beside("cost", metric, cells, question, DEPLOYED)
        slices += looked + looked_beside
        candidates += others
        candidates += against_baseline("cost", metric, "regression", cells, worse, "costed")
        candidates += against_baseline("cost", metric, "improvement", cells, better, "costed")
        candidates += moved_by_mix("cost", metric, cells, "costed", "cost", kinds, candidates)
    return Screening.of(candidates, slices, profile.steps.has_baseline)


def detail(dataset: Dataset, candidate: Candidate, id: str) -> Evidence:
    """What a call is made of, per period.

    Columns: period, calls, input_tokens, cached_tokens, output_tokens (averages per call), usd_per_million_tokens.
    """
    metric = DETECTOR.metric(candidate.metric)
    cached = "cached_tokens" if metric.relation == "observations" else "0"
    extra = f", input_tokens, {cached} AS cached, output_tokens, total_tokens"
    rows = rows_of(metric, candidate, extra=extra)
    sql = f"""
WITH {rows.cte}
SELECT period, count() AS calls, round(sum(input_tokens) / calls, 1) AS input_tokens,
  round(sum(cached) / calls, 1) AS cached_tokens, round(sum(output_tokens) / calls, 1) AS output_tokens,
  round(if(sum(total_tokens) = 0, NULL, toFloat64(sum(y)) / 1e6 / sum(total_tokens)), 4) AS usd_per_million_tokens
FROM rows GROUP BY period ORDER BY period DESC"""
    return dataset.ask(id, "detail", dataset.bind(sql, rows.relations, rows.needs), rows.parameters)


def tell(finding: Finding) -> Words:
    """Cost in words."""
    moved = telling.from_to(finding)
    title = telling.with_relative(
        finding, say("cost.title", per=_per(finding), place=telling.where(finding.segment), moved=moved)
    )
    weekly = finding.impact.cost_per_week
    bill = ""
    if weekly is not None and abs(weekly) >= 0.005:
        bill = say("cost.more" if weekly > 0 else "cost.less", value=format_value(abs(weekly), "usd"))
    summary = telling.sentences(
        say("cost.summary", per=_per(finding), moved=moved, since=telling.since(finding)),
        telling.measured(finding, "traces" if finding.metric == PER_TRACE.name else "model calls"),
        bill,
    )
    if finding.direction == "improvement":
        return Words(title, summary, _cause(finding), say("keep"))
    return Words(title, summary, _cause(finding), _recommendation(finding))


def _per(finding: Finding) -> str:
    return say("cost.per_trace" if finding.metric == PER_TRACE.name else "cost.per_call")


def parts(finding: Finding) -> tuple[dict[str, float], dict[str, float]] | None:
    """Averages per call now and before, from the finding's detail."""
    found = telling.detail(finding)
    if found is None:
        return None
    rows = {str(row["period"]): row for row in found.records()}
    other = "baseline" if finding.comparison.against == "baseline" else "rest"
    if "window" not in rows or other not in rows:
        return None
    return (
        {key: float(value or 0) for key, value in rows["window"].items() if key != "period"},
        {key: float(value or 0) for key, value in rows[other].items() if key != "period"},
    )


def lost_cache(now: dict[str, float], before: dict[str, float]) -> bool:
    """Whether a prompt cache that served a tenth of the input or more has lost most of it."""
    if before["input_tokens"] <= 0 or before["cached_tokens"] < 0.1 * before["input_tokens"]:
        return False
    return now["cached_tokens"] / max(now["input_tokens"], 1) < 0.5 * before["cached_tokens"] / before["input_tokens"]


def _cause(finding: Finding) -> str | None:
    both = parts(finding)
    if both is None:
        return None
    now, before = both
    said = []
    for key in ("input_tokens", "output_tokens", "cached_tokens"):
        if before[key] > 0 and abs(now[key] / before[key] - 1) >= 0.1:
            shown = format_count(before[key]), format_count(now[key])
            said.append(say(f"cost.{key}", moved=telling.moved(before[key], now[key], shown)))
    price = "usd_per_million_tokens"
    if before[price] > 0 and abs(now[price] / before[price] - 1) >= 0.1:
        shown = format_value(before[price], "usd"), format_value(now[price], "usd")
        said.append(say("cost.price", moved=telling.moved(before[price], now[price], shown)))
    text = say("cost.cause", per=_per(finding), said=say("cost.join").join(said)) if said else ""
    return telling.sentences(telling.came_with(finding), text) or None


def _recommendation(finding: Finding) -> str:
    both = parts(finding)
    change = telling.change_of(finding.segment)
    thing = telling.where(finding.segment)
    if both is not None and lost_cache(*both):
        text = say("cost.cache", thing=thing)
    elif change and telling.is_new(finding):
        text = say("cost.roll_back", change=change)
    elif both is not None and both[0]["input_tokens"] > 1.1 * both[1]["input_tokens"] > 0:
        text = say("cost.shorten", thing=thing)
    elif both is not None and both[0]["output_tokens"] > 1.1 * both[1]["output_tokens"] > 0:
        text = say("cost.cap", thing=thing)
    else:
        text = say("cost.check", thing=thing, since=telling.since(finding))
    return say("error.end", advice=text)


DETECTOR = Detector(
    name="cost",
    question="Where does the money go that did not go there before?",
    metrics=(PER_CALL, PER_TRACE),
    tell=tell,
    screen_profile=screen,
    detail=detail,
)
