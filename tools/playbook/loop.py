"""Loops: traces in which one tool is called again and again with the identical input.

Only inputs shorter than 200 characters are compared, because v4's events_core keeps no more of them: what was cut off
could differ, and two calls that differ are no loop.
"""

from __future__ import annotations

from hansei.contracts import Evidence, Finding
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.playbook import telling
from hansei.tools.playbook.expectation import Question
from hansei.tools.playbook.groupings import STEP_GROUPINGS, against_baseline, against_rest
from hansei.tools.playbook.measure import rows_of
from hansei.tools.playbook.model import Candidate, Detector, Metric, Screening, Words
from hansei.tools.playbook.profile import Profile
from hansei.tools.playbook.screen import explain, stand_out
from hansei.tools.playbook.texts import COMPARABLE, REPEATS, TOOLS
from hansei.tools.report.catalogue import say
from hansei.tools.report.formats import format_count, format_value

# One row per trace and tool: how often its most repeated input was sent, and which. Hashes do for counting; the texts
# are only kept by queries that name `input`.
_USES = f"""SELECT any(o.trace_id) AS trace_id, any(o.type) AS type, any(o.name) AS name,
      max(o.trace_name) AS trace_name, max(o.environment) AS environment, max(o.release) AS release,
      max(o.version) AS version, max(o.user_id) AS user_id, min(o.start_time) AS start_time,
      arrayMax(arrayEnumerateUniq(groupArrayIf(cityHash64(o.input), {COMPARABLE}))) AS repeats,
      arraySort(groupArrayIf(o.input, {COMPARABLE})) AS inputs,
      inputs[indexOf(arrayEnumerateUniq(inputs), repeats)] AS input
    FROM (SELECT * FROM observations WHERE {TOOLS}) AS o
    GROUP BY cityHash64(o.trace_id, o.type, o.name)"""

RATE = Metric(
    name="loop_rate",
    kind="loop",
    unit="ratio",
    shape="share",
    relation="observations",
    source=_USES,
    y="repeats >= {repeats:Float64}",
    min_n=50,
    min_effect=0.005,
    min_relative=1.0,
    per="traces that use it",
    again="countIf(arrayMax(input -> countEqual(inputs, input), inputs) >= {repeats:Float64}) / count()",
    again_from=f"""SELECT trace_id, type, name, any(environment) AS environment, any(version) AS version,
      min(start_time) AS start_time, groupArrayIf(o.input, {COMPARABLE}) AS inputs
    FROM raw_observations AS o WHERE {TOOLS} GROUP BY trace_id, type, name""",
)

_CONTEXTS = (("trace_name", "environment", "step", "release"), ("trace_name", "step"), ("step",))
_GROUPINGS = tuple(units for units in STEP_GROUPINGS if not {"model", "prompt"} & set(units))
_WORSE = Question("uses", "looping", _CONTEXTS, _GROUPINGS, min_x=50, min_effect=0.005, min_relative=1.0)
_BETTER = Question("uses", "looping", _CONTEXTS, _GROUPINGS, sign=-1, min_x=50, min_effect=0.01, min_relative=0.5)
_ALWAYS = Question("uses", "looping", [()], _GROUPINGS, min_x=100, min_effect=0.03, min_relative=2.0, limit=3)


def screen(profile: Profile) -> Screening:
    """Repeated inputs of tools, as the profile counted them."""
    cells = profile.tools
    if isinstance(cells, str):
        return Screening([], 0, "partial", cells)
    if not len(cells):
        return Screening.nothing("no tool calls: there are no observations of type TOOL, RETRIEVER or SPAN")
    worse, looked = explain(cells, _WORSE)
    better, looked_again = explain(cells, _BETTER)
    always, looked_within = stand_out(cells, _ALWAYS, explained=[*worse, *better])
    found = [
        *against_baseline("loop", RATE, "regression", cells, worse, "uses"),
        *against_baseline("loop", RATE, "improvement", cells, better, "uses"),
        *against_rest("loop", RATE, always),
    ]
    candidates = [c.model_copy(update={"parameters": {"repeats": float(REPEATS)}}) for c in found]
    return Screening.of(candidates, looked + looked_again + looked_within, cells.has_baseline)


def detail(dataset: Dataset, candidate: Candidate, id: str) -> Evidence:
    """What is repeated. Columns: input (cut to 200 characters), traces, most (calls in one trace)."""
    rows = rows_of(RATE, candidate, extra=", leftUTF8(input, 200) AS input, repeats")
    sql = f"""
WITH {rows.cte}
SELECT input, uniqExact(cluster) AS traces, max(repeats) AS most
FROM rows WHERE y = 1 AND period = 'window' GROUP BY input ORDER BY traces DESC, most DESC, input LIMIT 5"""
    return dataset.ask(id, "detail", dataset.bind(sql, rows.relations, rows.needs), rows.parameters)


def tell(finding: Finding) -> Words:
    """Loops in words."""
    place, moved = telling.where(finding.segment), telling.from_to(finding)
    least = format_count(finding.parameters["repeats"])
    if finding.direction == "improvement":
        title = say("loop.better", place=place, moved=moved)
        return Words(title, telling.measured(finding, RATE.per), None, say("keep"))
    title = say("loop.title", share=format_value(finding.current.value, "ratio"), place=place, least=least)
    summary = telling.sentences(
        say("loop.summary", moved=moved, since=telling.since(finding)),
        telling.measured(finding, RATE.per),
        telling.touched(finding),
    )
    found = telling.detail(finding)
    cause = None
    if found is not None and found.rows:
        top = found.records()[0]
        most = max(int(row["most"]) for row in found.records())
        cause = say("loop.cause", most=format_count(most), input=telling.name(str(top["input"]), 80))
    return Words(telling.up_from(finding, title), summary, cause, say("loop.advice", place=place, least=least))


DETECTOR = Detector(
    name="loop",
    question="Which tools are called again and again with the same input?",
    metrics=(RATE,),
    tell=tell,
    screen_profile=screen,
    detail=detail,
    parameters={"repeats": "calls with the identical input in one trace that count as a loop"},
)
