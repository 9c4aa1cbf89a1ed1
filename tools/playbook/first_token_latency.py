"""Time to the first token of calls that stream: at the 95th percentile; improvements at the median.

Only calls whose SDK noted when the completion started are looked at: the others do not stream, or do not tell.
"""

from __future__ import annotations

import math
from dataclasses import replace

from hansei.contracts import Evidence, Finding
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.playbook import telling
from hansei.tools.playbook.cohorts import confined
from hansei.tools.playbook.expectation import Question
from hansei.tools.playbook.groupings import STEP_CONTEXTS, STEP_GROUPINGS, against_baseline
from hansei.tools.playbook.measure import rows_of
from hansei.tools.playbook.model import Candidate, Detector, Metric, Screening, Words
from hansei.tools.playbook.profile import FIRST_TOKEN_MS, Profile
from hansei.tools.playbook.screen import explain, merged
from hansei.tools.playbook.tails import with_tail
from hansei.tools.report.catalogue import say
from hansei.tools.report.formats import format_count, format_value

_MS = (
    "(toUnixTimestamp64Milli(toDateTime64(completion_start_time, 3))"
    " - toUnixTimestamp64Milli(toDateTime64(start_time, 3)))"
)
P95 = Metric(
    name="first_token_p95",
    kind="first_token_latency",
    unit="s",
    shape="quantile",
    relation="observations",
    where="first_token_ms >= 0",
    y="first_token_ms > {slow_ms:Float64}",
    amount="first_token_ms",
    min_n=60,
    min_effect=0.2,
    min_relative=0.2,
    per="streamed calls",
    again=f"quantileExact(0.95)({_MS}) / 1000",
    again_where=f"completion_start_time IS NOT NULL AND {_MS} >= 0",
)
P50 = replace(P95, name="first_token_p50", level=0.5, min_effect=0.1, again=f"quantileExact(0.5)({_MS}) / 1000")

_LATER = Question(
    "streamed", "log_first", STEP_CONTEXTS, STEP_GROUPINGS, yy="log2_first", min_x=60, min_effect=math.log(1.2)
)
_TWICE = Question("streamed", "log_first", (), (), yy="log2_first", min_x=100, min_effect=math.log(2))
"""What waits twice as long as others do for the same steps, all the time."""
_TAIL = Question("streamed", "slow", STEP_CONTEXTS, STEP_GROUPINGS, min_x=60, min_effect=0.03, min_relative=0.5)


def screen(profile: Profile) -> Screening:
    """By the average of the logarithm (all calls start later) and by the tail (some do)."""
    if not profile.steps.sums["streamed"].any():
        return Screening.nothing("no generation says when its first token came")
    cells = with_tail(profile.steps, STEP_CONTEXTS, "streamed", "first_over", FIRST_TOKEN_MS)
    later = explain(cells, _LATER)
    worse, looked = merged(later, explain(cells, _TAIL, explained=later[0]))
    sooner = replace(_LATER, sign=-1)
    better, looked_again = explain(cells, sooner)
    hidden, looked_closer = confined("first_token_latency", P95, profile.cohorts, _LATER, _TWICE, sooner, P50)
    candidates = [
        *hidden,
        *against_baseline("first_token_latency", P95, "regression", cells, worse, "streamed"),
        *against_baseline("first_token_latency", P50, "improvement", cells, better, "streamed"),
    ]
    return Screening.of(candidates, looked + looked_again + looked_closer, cells.has_baseline)


def detail(dataset: Dataset, candidate: Candidate, id: str) -> Evidence:
    """Whether the calls were given more to read, or only had to wait longer.

    Columns: period, calls, input_tokens (per call that tells them), first_token_s and latency_s (medians).
    """
    metric = DETECTOR.metric(candidate.metric)
    rows = rows_of(metric, candidate, extra=", input_tokens, latency_ms, first_token_ms")
    sql = f"""
WITH {rows.cte}
SELECT period, count() AS calls,
  if(count(input_tokens) = 0, NULL, round(sum(input_tokens) / count(input_tokens), 1)) AS input_tokens,
  round(quantileExact(0.5)(first_token_ms) / 1000, 3) AS first_token_s,
  if(count(latency_ms) = 0, NULL, round(quantileExact(0.5)(latency_ms) / 1000, 3)) AS latency_s
FROM rows GROUP BY period ORDER BY period DESC"""
    return dataset.ask(id, "detail", dataset.bind(sql, rows.relations, rows.needs), rows.parameters)


def tell(finding: Finding) -> Words:
    """Time to the first token in words."""
    place, since, moved = telling.where(finding.segment), telling.since(finding), telling.from_to(finding)
    measured = telling.measured(finding, P95.per)
    if finding.direction == "improvement":
        title = say("first_token.better", place=place, moved=moved)
        return Words(title, measured, telling.came_with(finding) or None, say("keep"))
    summary = telling.sentences(
        say("first_token.summary", moved=moved, change=telling.relative(finding), since=since),
        measured,
        telling.touched(finding),
    )
    longer = _input(finding)
    cause = telling.sentences(telling.came_with(finding), say("first_token.input", moved=longer) if longer else "")
    change = telling.change_of(finding.segment)
    level = format_value(finding.baseline.value, "s") if finding.baseline else ""
    if change and telling.is_new(finding):
        advice = say("first_token.roll_back", change=change, level=level)
    elif longer:
        advice = say("first_token.shorten", place=place, level=level)
    else:
        advice = say("first_token.provider", place=place, level=level)
    return Words(say("first_token.title", place=place, moved=moved), summary, cause or None, advice)


def _input(finding: Finding) -> str:
    """How much more is read than in the reference, when it is a tenth or more; else nothing."""
    found = telling.detail(finding)
    if found is None:
        return ""
    tokens = {str(row["period"]): float(row["input_tokens"] or 0) for row in found.records()}
    now, before = tokens.get("window", 0.0), tokens.get("baseline", 0.0) or tokens.get("rest", 0.0)
    if before <= 0 or now < 1.1 * before:
        return ""
    shown = format_count(round(before)), format_count(round(now))
    if finding.direction == "hotspot":
        return say("is_against", now=shown[1], before=shown[0], rest=telling.against(finding))
    return telling.moved(before, now, shown)


DETECTOR = Detector(
    name="first_token_latency",
    question="Which streamed answers start later than before?",
    metrics=(P95, P50),
    tell=tell,
    screen_profile=screen,
    detail=detail,
    parameters={"slow_ms": "milliseconds above which a row counts as slow: the reference's quantile"},
)
