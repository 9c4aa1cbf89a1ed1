"""Cost: dollars per model call and per trace."""

from __future__ import annotations

from dataclasses import replace

from hansei.contracts import Comparison, Evidence, Finding
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.playbook import telling
from hansei.tools.playbook.cells import Cells
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
from hansei.tools.playbook.screen import explain
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
    """Cost per call, cost per trace, and an average that moves although no part of it does."""
    if not profile.steps.sums["costed"].any():
        return Screening.nothing("no observation carries a cost")
    candidates: list[Candidate] = []
    slices = 0
    for cells, question, metric in ((profile.steps, _CALLS, PER_CALL), (profile.runs, _TRACES, PER_TRACE)):
        worse, looked = explain(cells, question)
        better, looked_again = explain(cells, replace(question, sign=-1))
        slices += looked + looked_again
        candidates += against_baseline("cost", metric, "regression", cells, worse, "costed")
        candidates += against_baseline("cost", metric, "improvement", cells, better, "costed")
    candidates += average_moved("cost", PER_TRACE, profile.runs, "costed", "cost", candidates)
    return Screening.of(candidates, slices, profile.steps.has_baseline)


def average_moved(
    detector: str, metric: Metric, cells: Cells, x: str, y: str, known: list[Candidate]
) -> list[Candidate]:
    """The project's average as a candidate, when it moved and no candidate is about the whole project already.

    It is for the critic to tell how much of it is a shift of the mix.
    """
    now, before = cells.in_window, ~cells.in_window
    if cells.sums[x][before].sum() < metric.min_n or cells.sums[x][now].sum() < metric.min_n:
        return []
    if any(candidate.metric == metric.name and not candidate.segment for candidate in known):
        return []
    current = float(cells.sums[y][now].sum() / cells.sums[x][now].sum())
    reference = float(cells.sums[y][before].sum() / cells.sums[x][before].sum())
    if reference <= 0 or abs(current - reference) < metric.min_relative * reference:
        return []
    direction = "regression" if (current > reference) == (metric.worse > 0) else "improvement"
    return [
        Candidate(
            detector=detector,
            metric=metric.name,
            direction=direction,
            segment={},
            comparison=Comparison(against="baseline", segment={}),
            suspicion="mix_shift",
        )
    ]


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
    place = telling.where(finding.segment)
    per = "trace" if finding.metric == "cost_per_trace" else "call"
    weekly = finding.impact.cost_per_week
    title = f"Cost per {per} of {place} {telling.from_to(finding)}"
    if telling.relative(finding):
        title += f" ({telling.relative(finding)})"
    bill = ""
    if weekly is not None and abs(weekly) >= 0.005:
        bill = f"At this volume that is {format_value(abs(weekly), 'usd')} a week {'more' if weekly > 0 else 'less'}."
    summary = telling.sentences(
        f"The average cost per {per} {telling.from_to(finding)}{telling.since(finding)}.",
        telling.measured(finding, "traces" if per == "trace" else "model calls"),
        bill,
    )
    if finding.direction == "improvement":
        return Words(title, summary, _cause(finding), "Keep what changed; nothing needs to be done.")
    return Words(title, summary, _cause(finding), _recommendation(finding))


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
    for key, label in (("input_tokens", "input"), ("output_tokens", "output"), ("cached_tokens", "cached input")):
        if before[key] > 0 and abs(now[key] / before[key] - 1) >= 0.1:
            verb = "rose" if now[key] > before[key] else "fell"
            said.append(f"{label} tokens {verb} from {format_count(before[key])} to {format_count(now[key])}")
    price = "usd_per_million_tokens"
    if before[price] > 0 and abs(now[price] / before[price] - 1) >= 0.1:
        verb = "rose" if now[price] > before[price] else "fell"
        said.append(
            f"the price per million tokens {verb} from {format_value(before[price], 'usd')} to "
            f"{format_value(now[price], 'usd')}"
        )
    came = ""
    if telling.is_new(finding) and telling.change_of(finding.segment):
        came = f"It came with {telling.change_of(finding.segment)}, which the baseline hardly has."
    text = f"Per {'trace' if finding.metric == 'cost_per_trace' else 'call'}, {'; '.join(said)}." if said else ""
    return telling.sentences(came, text) or None


def _recommendation(finding: Finding) -> str:
    both = parts(finding)
    change = telling.change_of(finding.segment)
    thing = telling.where(finding.segment)
    if both is not None and lost_cache(*both):
        text = f"Restore the prompt cache of {thing}: put what never changes first, and what changes per call last"
    elif change and telling.is_new(finding):
        text = f"Roll back {change}, or shorten what it added"
    elif both is not None and both[0]["input_tokens"] > 1.1 * both[1]["input_tokens"] > 0:
        text = f"Shorten the input of {thing}: fewer retrieved texts, a shorter history, or a summary of it"
    elif both is not None and both[0]["output_tokens"] > 1.1 * both[1]["output_tokens"] > 0:
        text = f"Cap the output of {thing}, and ask for a shorter answer in the prompt"
    else:
        text = f"Check the model and the price tier that {thing} uses{telling.since(finding)}"
    weekly = finding.impact.cost_per_week
    if weekly is not None and weekly >= 0.005:
        text += f"; back at the former level this saves {format_value(weekly, 'usd')} a week"
    return text + "."


DETECTOR = Detector(
    name="cost",
    question="Where does the money go that did not go there before?",
    metrics=(PER_CALL, PER_TRACE),
    tell=tell,
    screen_profile=screen,
    detail=detail,
)
