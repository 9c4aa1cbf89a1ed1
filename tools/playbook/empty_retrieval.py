"""Empty retrieval: searches that end well and find nothing, so that what follows has nothing to stand on.

Looked at are retrievers, and tools and spans whose names say that they search. An output that was not recorded at all
says nothing and is left out. The first 200 characters decide, which is what v4's events_core keeps.
"""

from __future__ import annotations

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
from hansei.tools.playbook.texts import FINDS_NOTHING, SEARCHES
from hansei.tools.report.catalogue import say
from hansei.tools.report.formats import format_count, format_value

RATE = Metric(
    name="empty_retrieval_rate",
    kind="empty_retrieval",
    unit="ratio",
    shape="share",
    relation="observations",
    where=SEARCHES,
    y=FINDS_NOTHING,
    min_n=50,
    min_effect=0.02,
    min_relative=0.5,
    per="searches",
    again=f"countIf({FINDS_NOTHING}) / count()",
    again_where=SEARCHES,
)

_CONTEXTS = (("trace_name", "environment", "step", "release"), ("trace_name", "step"), ("step",))
# Without the whole project: projects have few searches, and then the largest of them passes for all.
_GROUPINGS = tuple(units for units in STEP_GROUPINGS if units and not {"model", "prompt"} & set(units))
_WORSE = Question("searches", "empty", _CONTEXTS, _GROUPINGS, min_x=50, min_effect=0.02, min_relative=0.5)
_BETTER = Question("searches", "empty", _CONTEXTS, _GROUPINGS, sign=-1, min_x=50, min_effect=0.03, min_relative=0.4)
_ALWAYS = Question("searches", "empty", [()], _GROUPINGS, min_x=100, min_effect=0.1, min_relative=0.5, limit=3)


def screen(profile: Profile) -> Screening:
    """The searches' outputs, as the profile counted them."""
    cells = profile.tools
    if isinstance(cells, str):
        return Screening([], 0, "partial", cells)
    cells = cells.where(cells.sums["searches"] > 0)
    if not len(cells):
        return Screening.nothing("no searches: there are no observations of type RETRIEVER, and no tool is named so")
    worse, better, looked = both_ways(cells, _WORSE, _BETTER)
    always, looked_within = stand_out(cells, _ALWAYS, explained=[*worse, *better])
    hidden, looked_closer = confined("empty_retrieval", RATE, profile.uses, _WORSE, _ALWAYS, _BETTER)
    candidates = [
        *hidden,
        *against_baseline("empty_retrieval", RATE, "regression", cells, worse, "searches"),
        *against_baseline("empty_retrieval", RATE, "improvement", cells, better, "searches"),
        *against_rest("empty_retrieval", RATE, always),
    ]
    return Screening.of(candidates, looked + looked_within + looked_closer, cells.has_baseline)


def detail(dataset: Dataset, candidate: Candidate, id: str) -> Evidence:
    """How nothing looks, and what was searched for when nothing came.

    Columns: output (120 characters, digits folded), now, before (searches), input (200 characters, of one of them).
    """
    text = "replaceRegexpAll(leftUTF8(output, 120), '[0-9]+', '0')"
    rows = rows_of(RATE, candidate, extra=f", {text} AS output, leftUTF8(input, 200) AS input")
    sql = f"""
WITH {rows.cte}
SELECT output, countIf(period = 'window') AS now, countIf(period != 'window') AS before, max(input) AS input
FROM rows WHERE y = 1 GROUP BY output ORDER BY now DESC, output LIMIT 5"""
    return dataset.ask(id, "detail", dataset.bind(sql, rows.relations, rows.needs), rows.parameters)


def tell(finding: Finding) -> Words:
    """Empty retrieval in words."""
    place, moved = telling.where(finding.segment), telling.from_to(finding)
    measured = telling.measured(finding, RATE.per)
    if finding.direction == "improvement":
        return Words(say("retrieval.better", place=place, moved=moved), measured, None, say("keep"))
    title = say("retrieval.title", share=format_value(finding.current.value, "ratio"), place=place)
    summary = telling.sentences(
        say("retrieval.summary", moved=moved, since=telling.since(finding)), measured, telling.touched(finding)
    )
    found = telling.detail(finding)
    shown = ""
    if found is not None and found.rows:
        top = found.records()[0]
        told = {"count": format_count(int(top["now"])), "output": telling.name(str(top["output"]), 80)}
        asked = str(top["input"]).strip()
        shown = say("retrieval.cause", **told, input=telling.name(asked, 80)) if asked else ""
        shown = shown or say("retrieval.cause_bare", **told)
    cause = telling.sentences(shown, telling.came_with(finding)) or None
    change = telling.change_of(finding.segment)
    if change and telling.is_new(finding):
        advice = say("retrieval.roll_back", change=change, place=place)
    elif finding.direction == "hotspot":
        advice = say("retrieval.fill", place=place)
    else:
        advice = say("retrieval.index", place=place, since=telling.since(finding))
    return Words(telling.up_from(finding, title), summary, cause, advice)


DETECTOR = Detector(
    name="empty_retrieval",
    question="Which searches find nothing?",
    metrics=(RATE,),
    tell=tell,
    screen_profile=screen,
    detail=detail,
)
