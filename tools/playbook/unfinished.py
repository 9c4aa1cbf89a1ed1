"""Unfinished steps: observations that began and never ended. Events have no end, and the last hour may still be
running."""

from __future__ import annotations

from hansei.contracts import Finding
from hansei.tools.playbook import telling
from hansei.tools.playbook.cohorts import confined
from hansei.tools.playbook.expectation import Question
from hansei.tools.playbook.groupings import STEP_CONTEXTS, STEP_GROUPINGS, against_baseline, against_rest
from hansei.tools.playbook.model import Detector, Metric, Screening, Words
from hansei.tools.playbook.profile import Profile
from hansei.tools.playbook.screen import both_ways, stand_out
from hansei.tools.report.catalogue import say
from hansei.tools.report.formats import format_value

RATE = Metric(
    name="unfinished_rate",
    kind="unfinished",
    unit="ratio",
    shape="share",
    relation="observations",
    where="type != 'EVENT' AND start_time < {range_end:DateTime64(6, 'UTC')} - toIntervalHour(1)",
    y="end_time IS NULL",
    min_n=50,
    min_effect=0.01,
    min_relative=0.5,
    per="steps",
    again="countIf(isNull(end_time)) / count()",
    again_where="type != 'EVENT' AND start_time < {range_end:DateTime64(6, 'UTC')} - toIntervalHour(1)",
)

_WORSE = Question("due", "unfinished", STEP_CONTEXTS, STEP_GROUPINGS, min_x=50, min_effect=0.01, min_relative=0.5)
_BETTER = Question(
    "due", "unfinished", STEP_CONTEXTS, STEP_GROUPINGS, sign=-1, min_x=50, min_effect=0.02, min_relative=0.4
)
_ALWAYS = Question("due", "unfinished", [()], STEP_GROUPINGS, min_x=100, min_effect=0.05, min_relative=2.0, limit=3)


def screen(profile: Profile) -> Screening:
    """Regressions and improvements against the baseline, then what never ends all the time."""
    cells = profile.steps
    worse, better, looked = both_ways(cells, _WORSE, _BETTER)
    always, looked_within = stand_out(cells, _ALWAYS, explained=[*worse, *better])
    hidden, looked_closer = confined("unfinished", RATE, profile.cohorts, _WORSE, _ALWAYS, _BETTER)
    candidates = [
        *hidden,
        *against_baseline("unfinished", RATE, "regression", cells, worse, "due"),
        *against_baseline("unfinished", RATE, "improvement", cells, better, "due"),
        *against_rest("unfinished", RATE, always),
    ]
    return Screening.of(candidates, looked + looked_within + looked_closer, cells.has_baseline)


def tell(finding: Finding) -> Words:
    """Unfinished steps in words."""
    place, moved = telling.where(finding.segment), telling.from_to(finding)
    if finding.direction == "improvement":
        title = say("unfinished.better", place=place, moved=moved)
        return Words(title, telling.measured(finding, "steps"), None, say("keep"))
    title = say("unfinished.title", share=format_value(finding.current.value, "ratio"), place=place)
    summary = telling.sentences(
        say("unfinished.summary", moved=moved, since=telling.since(finding)),
        telling.measured(finding, "steps"),
        telling.touched(finding),
        say("unfinished.settling"),
    )
    cause = telling.came_with(finding) or None
    return Words(telling.up_from(finding, title), summary, cause, say("unfinished.advice", place=place))


DETECTOR = Detector(
    name="unfinished",
    question="Which steps begin and never end?",
    metrics=(RATE,),
    tell=tell,
    screen_profile=screen,
)
