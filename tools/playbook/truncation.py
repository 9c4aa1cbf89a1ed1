"""Truncation: answers that end because of the limit on tokens, and so in the middle.

Told by what is sure: the reason for stopping that the SDK noted in the output or the metadata, or as many output tokens
as the call was allowed. Only calls that tell one of these are counted, so that an SDK that begins to note reasons
changes nothing. The first 200 characters of a text decide, which is what v4's events_core keeps.
"""

from __future__ import annotations

from hansei.contracts import Evidence, Finding
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.playbook import telling
from hansei.tools.playbook.assess import DAY
from hansei.tools.playbook.cohorts import confined
from hansei.tools.playbook.expectation import Question
from hansei.tools.playbook.groupings import STEP_CONTEXTS, STEP_GROUPINGS, against_baseline, against_rest
from hansei.tools.playbook.measure import rows_of
from hansei.tools.playbook.model import Candidate, Detector, Metric, Screening, Words
from hansei.tools.playbook.profile import look_closer, read_some_steps
from hansei.tools.playbook.screen import both_ways, stand_out
from hansei.tools.playbook.side_by_side import beside
from hansei.tools.playbook.texts import ENDS_AT_LIMIT, ENDS_KNOWN, TOKEN_LIMIT
from hansei.tools.report.catalogue import say
from hansei.tools.report.formats import format_count, format_value

_ENDED = "type = 'GENERATION' AND level != 'ERROR'"
_USED = "arraySum((k, v) -> if(startsWith(k, 'output'), v, 0), mapKeys(usage_details), mapValues(usage_details))"


def _tells(used: str) -> str:
    return f"({TOKEN_LIMIT} > 0 AND {used} > 0 OR {ENDS_KNOWN})"


def _cut(used: str) -> str:
    return f"({TOKEN_LIMIT} > 0 AND {used} > 0 AND {used} >= {TOKEN_LIMIT} OR {ENDS_AT_LIMIT})"


_TELLS, _CUT = _tells("output_tokens"), _cut("output_tokens")
RATE = Metric(
    name="truncation_rate",
    kind="truncation",
    unit="ratio",
    shape="share",
    relation="observations",
    where=f"{_ENDED} AND {_TELLS}",
    y=_CUT,
    min_n=50,
    min_effect=0.01,
    min_relative=0.5,
    per="model calls",
    again=f"avg({_cut(_USED)})",
    again_where=f"{_ENDED} AND {_tells(_USED)}",
)

_COUNTED = {"cut": _CUT}
_GROUPINGS = tuple(units for units in STEP_GROUPINGS if units)
_WORSE = Question("calls", "cut", STEP_CONTEXTS, _GROUPINGS, min_x=50, min_effect=0.01, min_relative=0.5)
_BETTER = Question("calls", "cut", STEP_CONTEXTS, _GROUPINGS, sign=-1, min_x=50, min_effect=0.02, min_relative=0.4)
_ALWAYS = Question("calls", "cut", [()], _GROUPINGS, min_x=100, min_effect=0.05, min_relative=0.5, limit=3)


def screen(dataset: Dataset) -> Screening:
    """The model calls' ends, in a query of its own, since it reads texts."""
    if not _is_told(dataset):
        return Screening.nothing("no generation tells why it ended, or how many tokens it may use")
    cells = read_some_steps(dataset, _COUNTED, RATE.where)
    if not len(cells):
        return Screening.nothing("no generation tells why it ended, or how many tokens it may use")
    worse, better, looked = both_ways(cells, _WORSE, _BETTER)
    always, looked_within = stand_out(cells, _ALWAYS, explained=[*worse, *better])
    others, looked_beside = beside("truncation", RATE, cells, _WORSE)
    cohorts = look_closer(dataset, cells, _COUNTED, RATE.where)
    hidden, looked_closer = confined("truncation", RATE, cohorts, _WORSE, _ALWAYS, _BETTER)
    candidates = [
        *hidden,
        *others,
        *against_baseline("truncation", RATE, "regression", cells, worse, "calls"),
        *against_baseline("truncation", RATE, "improvement", cells, better, "calls"),
        *against_rest("truncation", RATE, always),
    ]
    slices = looked + looked_within + looked_beside + looked_closer
    return Screening.of(candidates, slices, cells.has_baseline).noted(cohorts.note)


def _is_told(dataset: Dataset) -> bool:
    """Whether calls of the window's last day tell how they ended, or there are none on that day to go by.

    Most SDKs never tell, and reading all texts to learn that takes long.
    """
    last = dataset.periods.window.end - DAY
    sql = f"SELECT count() AS calls, countIf({_TELLS}) AS told FROM observations WHERE {_ENDED}"
    found = dataset.columns(dataset.bind(sql, ("observations",)), since=last)
    return bool(found["told"][0]) or not found["calls"][0]


def detail(dataset: Dataset, candidate: Candidate, id: str) -> Evidence:
    """Under which limit calls ended.

    Columns: token_limit (0: not recorded), now, before (calls), cut_now, cut_before (those that were cut off).
    """
    rows = rows_of(RATE, candidate, extra=f", {TOKEN_LIMIT} AS token_limit")
    sql = f"""
WITH {rows.cte}
SELECT token_limit, countIf(period = 'window') AS now, countIf(period != 'window') AS before,
  countIf(period = 'window' AND y = 1) AS cut_now, countIf(period != 'window' AND y = 1) AS cut_before
FROM rows GROUP BY token_limit ORDER BY cut_now DESC, now DESC, token_limit LIMIT 5"""
    return dataset.ask(id, "detail", dataset.bind(sql, rows.relations, rows.needs), rows.parameters)


def tell(finding: Finding) -> Words:
    """Truncation in words."""
    place, moved = telling.where(finding.segment), telling.from_to(finding)
    measured = telling.measured(finding, RATE.per)
    if finding.direction == "improvement":
        return Words(say("truncation.better", place=place, moved=moved), measured, None, say("keep"))
    title = say("truncation.title", share=format_value(finding.current.value, "ratio"), place=place)
    summary = telling.sentences(
        say("truncation.summary", moved=moved, since=telling.since(finding)), measured, telling.touched(finding)
    )
    limit, lower = _limit(finding)
    change = telling.change_of(finding.segment)
    if lower:
        advice = say("truncation.raise", place=place, limit=format_count(limit))
    elif change and telling.is_new(finding):
        advice = say("truncation.compare", change=change, place=place)
    elif limit:
        advice = say("truncation.raise_or_shorten", place=place, limit=format_count(limit))
    else:
        advice = say("truncation.shorten", place=place)
    why = say("truncation.lower", limit=format_count(limit)) if lower else ""
    cause = telling.sentences(why, telling.came_with(finding)) or None
    return Words(telling.up_from(finding, title), summary, cause, advice)


def _limit(finding: Finding) -> tuple[int, bool]:
    """The limit under which most calls were cut off (0: not recorded), and whether it is new."""
    found = telling.detail(finding)
    if found is None or not found.rows:
        return 0, False
    top = found.records()[0]
    is_new = finding.comparison.against == "baseline" and int(top["before"]) < 0.05 * int(top["now"])
    return int(top["token_limit"]), is_new and int(top["token_limit"]) > 0


DETECTOR = Detector(
    name="truncation",
    question="Which answers are cut off by the limit on tokens?",
    metrics=(RATE,),
    tell=tell,
    screen_data=screen,
    detail=detail,
)
