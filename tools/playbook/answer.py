"""Answers that are none: a model refuses, or says nothing, although its call ended well.

Both are told as silent failures. All model calls whose answer was recorded are looked at, by patterns in SQL. The first
200 characters decide, which is what v4's events_core keeps. Reading all answers takes long: of a large project all are
read only when the window's last day holds some that refuse or are empty.
"""

from __future__ import annotations

from dataclasses import replace

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
from hansei.tools.playbook.templates import WHEN, count_templates, what_they_say
from hansei.tools.playbook.texts import ANSWERED, REFUSES, SAYS_NOTHING
from hansei.tools.report.catalogue import say
from hansei.tools.report.formats import format_value

ENOUGH = 1_000_000
"""Model calls up to which all answers are read in any case."""

REFUSALS = Metric(
    name="refusal_rate",
    kind="silent_failure",
    unit="ratio",
    shape="share",
    relation="observations",
    where=ANSWERED,
    y=REFUSES,
    min_n=50,
    min_effect=0.01,
    min_relative=0.5,
    per="model calls",
    again=f"countIf({REFUSES}) / count()",
    again_where=ANSWERED,
)
EMPTY = replace(REFUSALS, name="empty_answer_rate", y=SAYS_NOTHING, again=f"countIf({SAYS_NOTHING}) / count()")
_COUNTED = {"refused": REFUSES, "empty": SAYS_NOTHING}

_GROUPINGS = tuple(units for units in STEP_GROUPINGS if units)
_WORSE = Question("calls", "refused", STEP_CONTEXTS, _GROUPINGS, min_x=50, min_effect=0.01, min_relative=0.5)
_BETTER = replace(_WORSE, sign=-1, min_effect=0.02, min_relative=0.4)
# Saying nothing all the time may be the way of a step, or of who uses it; refusing all the time is not.
_ALWAYS = Question("calls", "refused", [()], _GROUPINGS, min_x=100, min_effect=0.05, min_relative=2.0, limit=3)


def screen(dataset: Dataset) -> Screening:
    """The model calls' answers, in a query of its own, since it reads texts."""
    if not _worth_reading(dataset):
        return Screening(
            [], 0, "partial", "only the answers of the last day were read, since they are many; none of them is "
            "a refusal or empty"
        )  # fmt: skip
    cells = read_some_steps(dataset, _COUNTED, ANSWERED)
    if not len(cells):
        return Screening.nothing("no generation has a recorded answer")
    cohorts = look_closer(dataset, cells, _COUNTED, ANSWERED)
    found: list[Candidate] = []
    slices = 0
    for metric, y in ((REFUSALS, "refused"), (EMPTY, "empty")):
        asked, asked_better = replace(_WORSE, y=y), replace(_BETTER, y=y)
        worse, better, looked = both_ways(cells, asked, asked_better)
        found += against_baseline("answer", metric, "regression", cells, worse, "calls")
        found += against_baseline("answer", metric, "improvement", cells, better, "calls")
        always_of = _ALWAYS if metric is REFUSALS else None
        hidden, looked_closer = confined("answer", metric, cohorts, asked, always_of, asked_better)
        found += hidden
        slices += looked + looked_closer
        if metric is REFUSALS:
            always, looked_within = stand_out(cells, _ALWAYS, explained=[*worse, *better])
            found += against_rest("answer", metric, always)
            slices += looked_within
    return Screening.of(found, slices, cells.has_baseline).noted(cohorts.note)


def _worth_reading(dataset: Dataset) -> bool:
    """Whether there are few answers, or some on the window's last day refuse or are empty."""
    sums = ", ".join(f"countIf({condition}) AS {name}" for name, condition in _COUNTED.items())
    sql = f"SELECT count() AS calls, {sums} FROM observations WHERE {ANSWERED}"
    day = dataset.columns(dataset.bind(sql, ("observations",)), since=dataset.periods.window.end - DAY)
    days = dataset.periods.window.days + dataset.periods.baseline.days
    return bool(day["refused"][0] + day["empty"][0]) or int(day["calls"][0]) * days <= ENOUGH


def detail(dataset: Dataset, candidate: Candidate, id: str) -> Evidence:
    """What the answers say, as templates; see `templates.count_templates` for the columns."""
    metric = DETECTOR.metric(candidate.metric)
    rows = rows_of(metric, candidate, extra=f", leftUTF8(output, 200) AS text{WHEN}")
    sql = count_templates(rows, "text")
    return dataset.ask(id, "detail", dataset.bind(sql, rows.relations, rows.needs), rows.parameters)


def tell(finding: Finding) -> Words:
    """Refusals and empty answers in words."""
    place, moved = telling.where(finding.segment), telling.from_to(finding)
    refuses = finding.metric == REFUSALS.name
    measured = telling.measured(finding, REFUSALS.per)
    if finding.direction == "improvement":
        title = say("answer.fewer_refusals" if refuses else "answer.fewer_empty", place=place, moved=moved)
        return Words(title, measured, None, say("keep"))
    share = format_value(finding.current.value, "ratio")
    title = say("answer.refusals" if refuses else "answer.empty", share=share, place=place)
    summary = telling.sentences(
        say("answer.summary", moved=moved, since=telling.since(finding)), measured, telling.touched(finding)
    )
    said = what_they_say(finding) if refuses else ""
    cause = telling.sentences(said, telling.came_with(finding)) or None
    change = telling.change_of(finding.segment)
    if change and telling.is_new(finding):
        advice = say("answer.roll_back", change=change, place=place)
    else:
        advice = say("answer.allow" if refuses else "answer.retry", place=place)
    return Words(telling.up_from(finding, title), summary, cause, advice)


DETECTOR = Detector(
    name="answer",
    question="Which model calls refuse to answer, or answer nothing?",
    metrics=(REFUSALS, EMPTY),
    tell=tell,
    screen_data=screen,
    detail=detail,
)
