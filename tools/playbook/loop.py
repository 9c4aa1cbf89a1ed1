"""Loops: traces in which one tool is called again and again with the same input, or nearly the same.

Nearly the same: but for case, white space, punctuation and the order of words, with the same answer; or but for numbers
and ids, with the same failure or nothing found. So turning pages is no loop, nor is a list that is worked off.

Only inputs shorter than 200 characters are compared, because v4's events_core keeps no more of them: what was cut off
could differ, and two calls that differ are no loop.
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
from hansei.tools.playbook.texts import REPEATS, TOOLS, input_keys
from hansei.tools.report.catalogue import say
from hansei.tools.report.formats import format_count, format_value

# One row per trace and tool: how often its most repeated input was sent, and one of these. Hashes do for counting; the
# texts are only kept by queries that name `input`, and the first call's metadata by those that name that.
_USES = f"""SELECT any(o.trace_id) AS trace_id, any(o.type) AS type, any(o.name) AS name,
      max(o.trace_name) AS trace_name, max(o.environment) AS environment, max(o.release) AS release,
      max(o.version) AS version, max(o.user_id) AS user_id, max(o.session_id) AS session_id,
      min(o.start_time) AS start_time, argMin(o.metadata, (o.start_time, o.id)) AS metadata,
      groupArrayArray(o.keys) AS keys, arrayMax(arrayEnumerateUniq(keys)) AS repeats,
      arrayMax(arrayEnumerateUniq(groupArrayIf(cityHash64(o.input), notEmpty(o.keys)))) AS identical,
      arraySort(groupArrayIf((o.input, o.keys), notEmpty(o.keys))) AS inputs,
      arrayFirst(i -> arrayExists(key -> countEqual(keys, key) = repeats, i.2), inputs).1 AS input
    FROM (
      SELECT id, trace_id, type, name, trace_name, environment, release, version, user_id, session_id, start_time,
        metadata, input, {input_keys()} AS keys
      FROM observations WHERE {TOOLS}
    ) AS o
    GROUP BY cityHash64(o.trace_id, o.type, o.name)"""

RATE = Metric(
    name="loop_rate",
    kind="loop",
    unit="ratio",
    shape="share",
    relation="observations",
    source=_USES,
    y="repeats >= {repeats:Float64}",
    badness="repeats",
    min_n=50,
    min_effect=0.005,
    min_relative=1.0,
    per="traces that use it",
    again="countIf(arrayMax(input -> countEqual(inputs, input), inputs) >= {repeats:Float64}) / count()",
    again_from=f"""SELECT trace_id, type, name, max(environment) AS environment, max(version) AS version,
      min(start_time) AS start_time, argMin(o.metadata, (o.start_time, o.id)) AS metadata,
      groupArrayArray(o.keys) AS inputs
    FROM (
      SELECT id, trace_id, type, name, environment, version, start_time, metadata, {input_keys()} AS keys
      FROM raw_observations WHERE {TOOLS}
    ) AS o GROUP BY trace_id, type, name""",
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
    worse, better, looked = both_ways(cells, _WORSE, _BETTER)
    always, looked_within = stand_out(cells, _ALWAYS, explained=[*worse, *better])
    hidden, looked_closer = confined("loop", RATE, profile.uses, _WORSE, _ALWAYS, _BETTER)
    found = [
        *hidden,
        *against_baseline("loop", RATE, "regression", cells, worse, "uses"),
        *against_baseline("loop", RATE, "improvement", cells, better, "uses"),
        *against_rest("loop", RATE, always),
    ]
    candidates = [c.model_copy(update={"parameters": {"repeats": float(REPEATS)}}) for c in found]
    return Screening.of(candidates, looked + looked_within + looked_closer, cells.has_baseline)


def detail(dataset: Dataset, candidate: Candidate, id: str) -> Evidence:
    """What is repeated.

    Columns: input (cut to 200 characters; of nearly the same ones the first), traces, varied (traces in which the
    inputs are not identical), most (calls in one trace), looping and looping_varied (all such traces).
    """
    rows = rows_of(RATE, candidate, extra=", leftUTF8(input, 200) AS input, repeats, identical < repeats AS is_varied")
    sql = f"""
WITH {rows.cte}
SELECT input, uniqExact(cluster) AS traces, uniqExactIf(cluster, is_varied) AS varied, max(repeats) AS most,
  sum(traces) OVER () AS looping, sum(varied) OVER () AS looping_varied
FROM rows WHERE y = 1 AND period = 'window' GROUP BY input ORDER BY traces DESC, most DESC, input LIMIT 5"""
    return dataset.ask(id, "detail", dataset.bind(sql, rows.relations, rows.needs), rows.parameters)


def tell(finding: Finding) -> Words:
    """Loops in words."""
    place, moved = telling.where(finding.segment), telling.from_to(finding)
    least = format_count(finding.parameters["repeats"])
    if finding.direction == "improvement":
        title = say("loop.better", place=place, moved=moved)
        return Words(title, telling.measured(finding, RATE.per), None, say("keep"))
    found = telling.detail(finding)
    is_varied = _is_varied(found)
    title = say(
        "loop.title_varied" if is_varied else "loop.title",
        share=format_value(finding.current.value, "ratio"),
        place=place,
        least=least,
    )
    summary = telling.sentences(
        say("loop.summary", moved=moved, since=telling.since(finding)),
        telling.measured(finding, RATE.per),
        telling.touched(finding),
    )
    shown = ""
    if found is not None and found.rows:
        top = found.records()[0]
        most = max(int(row["most"]) for row in found.records())
        shown = say(
            "loop.cause_varied" if is_varied else "loop.cause",
            most=format_count(most),
            input=telling.name(str(top["input"]), 80),
        )
    cause = telling.sentences(shown, telling.came_with(finding)) or None
    advice = say("loop.advice_varied" if is_varied else "loop.advice", place=place, least=least)
    return Words(telling.up_from(finding, title), summary, cause, advice)


def _is_varied(found: Evidence | None) -> bool:
    """Whether most looping traces vary the input a little."""
    if found is None or not found.rows:
        return False
    row = found.records()[0]
    return 2 * int(row.get("looping_varied", 0)) > int(row.get("looping", 0))


DETECTOR = Detector(
    name="loop",
    question="Which tools are called again and again with the same or nearly the same input?",
    metrics=(RATE,),
    tell=tell,
    screen_profile=screen,
    detail=detail,
    parameters={"repeats": "calls with the same input, or nearly the same, in one trace that count as a loop"},
)
