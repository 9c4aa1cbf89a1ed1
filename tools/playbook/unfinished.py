"""Unfinished steps: observations that began and never ended. Events have no end, and the last hour may still be
running."""

from __future__ import annotations

from hansei.contracts import Finding
from hansei.tools.playbook import telling
from hansei.tools.playbook.expectation import Question
from hansei.tools.playbook.groupings import STEP_CONTEXTS, STEP_GROUPINGS, against_baseline, against_rest
from hansei.tools.playbook.model import Detector, Metric, Screening, Words
from hansei.tools.playbook.profile import Profile
from hansei.tools.playbook.screen import explain, stand_out
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
    worse, looked = explain(cells, _WORSE)
    better, looked_again = explain(cells, _BETTER)
    always, looked_within = stand_out(cells, _ALWAYS, explained=[*worse, *better])
    candidates = [
        *against_baseline("unfinished", RATE, "regression", cells, worse, "due"),
        *against_baseline("unfinished", RATE, "improvement", cells, better, "due"),
        *against_rest("unfinished", RATE, always),
    ]
    return Screening.of(candidates, looked + looked_again + looked_within, cells.has_baseline)


def tell(finding: Finding) -> Words:
    """Unfinished steps in words."""
    place = telling.where(finding.segment)
    share = format_value(finding.current.value, "ratio")
    if finding.direction == "improvement":
        return Words(
            f"Fewer unfinished steps of {place}: the share {telling.from_to(finding)}",
            telling.measured(finding, "steps"),
            None,
            "Keep what changed; nothing needs to be done.",
        )
    title = f"{share} of {place} never finish"
    if finding.direction == "regression" and finding.baseline is not None:
        title += f", up from {format_value(finding.baseline.value, 'ratio')}"
    return Words(
        title,
        telling.sentences(
            f"The share of steps without an end {telling.from_to(finding)}{telling.since(finding)}.",
            telling.measured(finding, "steps"),
            telling.touched(finding),
            "Steps of the last hour are left out, since they may still be running.",
        ),
        None,
        f"End the span of {place} on every path (exceptions, cancellation, worker shutdown) and flush the SDK "
        "before the "
        "process exits; if the work itself hangs, give it a timeout.",
    )


DETECTOR = Detector(
    name="unfinished",
    question="Which steps begin and never end?",
    metrics=(RATE,),
    tell=tell,
    screen_profile=screen,
)
