"""Silent failures: steps whose output is an error message or empty, although their level says that all is well.

Older SDKs and decorators record tools as spans, so these are looked at too, but only for reports of errors.

The first 200 characters of an output decide, which is what v4's events_core keeps.
"""

from __future__ import annotations

from dataclasses import replace

from hansei.contracts import Evidence, Finding
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.playbook import telling
from hansei.tools.playbook.cohorts import confined
from hansei.tools.playbook.expectation import Question
from hansei.tools.playbook.groupings import STEP_GROUPINGS, against_baseline, against_rest
from hansei.tools.playbook.measure import rows_of
from hansei.tools.playbook.model import Candidate, Detector, Metric, Screening, Words
from hansei.tools.playbook.profile import Profile
from hansei.tools.playbook.screen import both_ways, stand_out
from hansei.tools.playbook.side_by_side import beside
from hansei.tools.playbook.templates import WHEN, count_templates, messages_of, what_they_say
from hansei.tools.playbook.texts import LOOKS_EMPTY, LOOKS_FAILED, QUIET, TOOLS
from hansei.tools.report.catalogue import say
from hansei.tools.report.formats import format_count, format_value

RATE = Metric(
    name="silent_failure_rate",
    kind="silent_failure",
    unit="ratio",
    shape="share",
    relation="observations",
    where=QUIET,
    y=f"{LOOKS_FAILED} OR {LOOKS_EMPTY}",
    min_n=50,
    min_effect=0.01,
    min_relative=0.5,
    per="calls",
    again=f"avg(({LOOKS_FAILED}) OR ({LOOKS_EMPTY}))",
    again_where=f"{TOOLS} AND NOT (level IN ('ERROR', 'WARNING') OR isNull(end_time))",
)

_CONTEXTS = (("trace_name", "environment", "step", "release"), ("trace_name", "step"), ("step",))
_GROUPINGS = tuple(units for units in STEP_GROUPINGS if not {"model", "prompt"} & set(units))
_WORSE = Question("calls", "failed", _CONTEXTS, _GROUPINGS, min_x=50, min_effect=0.01, min_relative=0.5)
_BETTER = Question("calls", "failed", _CONTEXTS, _GROUPINGS, sign=-1, min_x=50, min_effect=0.02, min_relative=0.4)
# Being always empty may be a tool's way (it only acts); always reporting errors is not.
_ALWAYS = Question("calls", "errors", [()], _GROUPINGS, min_x=100, min_effect=0.05, min_relative=2.0, limit=3)
_CONFINED = replace(_ALWAYS, y="failed")


def screen(profile: Profile) -> Screening:
    """Outputs of tools, as the profile counted them."""
    cells = profile.tools
    if isinstance(cells, str):
        return Screening([], 0, "partial", cells)
    cells = cells.where(cells.sums["calls"] > 0)
    if not len(cells):
        return Screening.nothing("no tool calls: there are no observations of type TOOL, RETRIEVER or SPAN")
    worse, better, looked = both_ways(cells, _WORSE, _BETTER)
    always, looked_within = stand_out(cells, _ALWAYS, explained=[*worse, *better])
    hidden, looked_closer = confined("silent_failure", RATE, profile.uses, _WORSE, _CONFINED, _BETTER)
    others, looked_beside = beside("silent_failure", RATE, cells, _WORSE)
    candidates = [
        *hidden,
        *others,
        *against_baseline("silent_failure", RATE, "regression", cells, worse, "calls"),
        *against_baseline("silent_failure", RATE, "improvement", cells, better, "calls"),
        *against_rest("silent_failure", RATE, always),
    ]
    return Screening.of(candidates, looked + looked_within + looked_closer + looked_beside, cells.has_baseline)


def detail(dataset: Dataset, candidate: Candidate, id: str) -> Evidence:
    """What the failing outputs say, as templates; see `templates.count_templates` for the columns."""
    rows = rows_of(RATE, candidate, extra=f", leftUTF8(output, 200) AS text{WHEN}")
    sql = count_templates(rows, "text")
    return dataset.ask(id, "detail", dataset.bind(sql, rows.relations, rows.needs), rows.parameters)


def tell(finding: Finding) -> Words:
    """Silent failures in words."""
    place, moved = telling.where(finding.segment), telling.from_to(finding)
    if finding.direction == "improvement":
        title = say("silent.better", place=place, moved=moved)
        return Words(title, telling.measured(finding, "calls"), None, say("keep"))
    title = say("silent.title", share=format_value(finding.current.value, "ratio"), place=place)
    summary = telling.sentences(
        say("silent.summary", moved=moved, since=telling.since(finding)),
        telling.measured(finding, "calls"),
        telling.touched(finding),
    )
    found = messages_of(telling.detail(finding))
    shown = what_they_say(finding)
    if found is not None and found.clusters and not found.clusters[0].message:
        share = format_value(found.clusters[0].now / max(found.failing, 1), "ratio")
        shown = say("silent.nothing", share=share, total=format_count(found.failing))
    cause = telling.sentences(shown, telling.came_with(finding)) or None
    return Words(telling.up_from(finding, title), summary, cause, say("silent.advice", place=place))


DETECTOR = Detector(
    name="silent_failure",
    question="Which tools fail without saying so?",
    metrics=(RATE,),
    tell=tell,
    screen_profile=screen,
    detail=detail,
)
