"""Cache: which share of the input tokens was read from the provider's prompt cache.

Tokens count, not calls: a long prompt that is read afresh costs more than many short ones. Calls without usage say
nothing and are left out.
"""

from __future__ import annotations

from dataclasses import replace

from hansei.contracts import Evidence, Finding
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.playbook import telling
from hansei.tools.playbook.expectation import Question
from hansei.tools.playbook.groupings import STEP_CONTEXTS, STEP_GROUPINGS, against_baseline
from hansei.tools.playbook.measure import rows_of
from hansei.tools.playbook.model import Candidate, Detector, Metric, Screening, Words
from hansei.tools.playbook.prices import PRODUCTS, no_longer_cached
from hansei.tools.playbook.profile import Profile
from hansei.tools.playbook.screen import both_ways
from hansei.tools.report.catalogue import say
from hansei.tools.report.formats import format_count, format_value

_PAIRS = "mapKeys(usage_details), mapValues(usage_details)"
_READ = "position(k, 'cached') > 0 OR position(k, 'cache_read') > 0"
_GIVEN = "position(k, 'input') = 1 OR position(k, 'cache_creation') > 0 OR position(k, 'cache_read') > 0"
SHARE = Metric(
    name="cached_input_share",
    kind="cache",
    unit="ratio",
    shape="mean",
    relation="observations",
    where="input_tokens > 0",
    x="input_tokens",
    y="cached_tokens",
    worse=-1,
    min_n=20_000,
    min_effect=0.1,
    min_relative=0.2,
    per="input tokens",
    again=f"sum(arraySum((k, v) -> if({_READ}, v, 0), {_PAIRS}))"
    f" / sum(arraySum((k, v) -> if({_GIVEN}, v, 0), {_PAIRS}))",
    again_where=f"arrayExists((k, v) -> v > 0 AND ({_GIVEN}), {_PAIRS})",
)

# The screen looks at the average call, whose share scatters less than that of all tokens; tokens are then measured.
_LESS = Question(
    "fed", "cached", STEP_CONTEXTS, STEP_GROUPINGS, yy="cached2", sign=-1, min_x=50, min_effect=0.1, min_relative=0.2
)


def screen(profile: Profile) -> Screening:
    """A lower share, then a higher one."""
    cells = profile.steps
    if not cells.sums["cached"].any():
        return Screening.nothing("no observation tells of tokens read from a cache")
    worse, better, looked = both_ways(cells, _LESS, replace(_LESS, sign=1))
    candidates = [
        *against_baseline("cache", SHARE, "regression", cells, worse, "fed"),
        *against_baseline("cache", SHARE, "improvement", cells, better, "fed"),
    ]
    return Screening.of(candidates, looked, cells.has_baseline)


def detail(dataset: Dataset, candidate: Candidate, id: str) -> Evidence:
    """What is needed to tell the price of a token that the cache no longer serves.

    Columns, by model: now_input, now_cached (tokens of the window), then `PRODUCTS` over both periods.
    """
    nanos = "toInt256(toDecimal128(ifNull(total_cost, 0), 12) * 1000000000)"
    rows = rows_of(
        SHARE,
        candidate,
        extra=f""", model, total_cost IS NOT NULL AS costed, toInt256(y) AS cached, toInt256(x) - cached AS fresh,
      toInt256(ifNull(output_tokens, 0)) AS output, {nanos} AS nanos""",
    )
    sql = f"""
WITH {rows.cte}
SELECT model, toUInt64(sumIf(x, period = 'window')) AS now_input, toUInt64(sumIf(y, period = 'window')) AS now_cached,
  {PRODUCTS}
FROM rows GROUP BY model ORDER BY now_input DESC, model LIMIT 10"""
    return dataset.ask(id, "detail", dataset.bind(sql, rows.relations, rows.needs), rows.parameters)


def tell(finding: Finding) -> Words:
    """The cache in words."""
    place, since, moved = telling.where(finding.segment), telling.since(finding), telling.from_to(finding)
    title, measured = say("cache.title", place=place, moved=moved), telling.measured(finding, SHARE.per)
    came = telling.came_with(finding) or None
    if finding.direction == "improvement":
        return Words(title, measured, came, say("keep"))
    summary = telling.sentences(say("cache.summary", moved=moved, since=since), measured, _loss(finding))
    change = telling.change_of(finding.segment)
    advice = say("cache.advice", place=place)
    if change and telling.is_new(finding):
        advice = say("cache.compare", change=change, place=place)
    return Words(title, summary, came, say("error.end", advice=advice))


def _loss(finding: Finding) -> str:
    found = telling.detail(finding)
    if found is None or finding.baseline is None:
        return ""
    tokens, dollars = no_longer_cached(found, finding.baseline.value)
    if tokens <= 0:
        return ""
    shown = format_count(round(tokens))
    if dollars is None or dollars < 0.005:
        return say("cache.lost", tokens=shown)
    return say("cache.lost_money", tokens=shown, value=format_value(dollars, "usd"))


DETECTOR = Detector(
    name="cache",
    question="Which prompts are no longer read from the cache?",
    metrics=(SHARE,),
    tell=tell,
    screen_profile=screen,
    detail=detail,
)
