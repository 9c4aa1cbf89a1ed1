"""Answers in another language than the question: to the one who asked, they are as good as none.

Looked at are traces whose question and answer (the trace's input and output) are both in a language that the first 200
characters tell. Apps that translate, or that answer in one language whatever they are asked in, do so all the time:
what is told is what changed against the baseline, and what happens to one language of an app now and then, while the
others are answered as they are asked. Of a large project a day of each period is screened.
"""

from __future__ import annotations

from dataclasses import replace

from hansei.contracts import Comparison, Evidence, Finding
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.playbook import telling
from hansei.tools.playbook.assess import DAY
from hansei.tools.playbook.attributes import part_of
from hansei.tools.playbook.cells import Cells
from hansei.tools.playbook.expectation import Question
from hansei.tools.playbook.groupings import against_baseline
from hansei.tools.playbook.languages import language_of
from hansei.tools.playbook.measure import rows_of
from hansei.tools.playbook.model import Candidate, Detector, Metric, Screening, Words
from hansei.tools.playbook.screen import Hit, both_ways, stand_out
from hansei.tools.report.catalogue import say
from hansei.tools.report.formats import format_count, format_value


def _asked_and_answered(relation: str) -> str:
    """Traces with the languages of their questions and answers: long SQL, so it is written once."""
    columns = ("id", "timestamp", "name", "user_id", "session_id", "environment", "release", "version", "tags")
    kept = ", ".join(f"s.{name} AS {name}" for name in (*columns, "metadata", "input"))
    return f"""SELECT {kept}, {language_of("s.input")} AS asked,
      {language_of("s.output")} AS answered FROM {relation} AS s"""


RATE = Metric(
    name="wrong_language_rate",
    kind="silent_failure",
    unit="ratio",
    shape="share",
    relation="traces",
    source=_asked_and_answered("traces"),
    where="asked != '' AND answered != ''",
    y="asked != answered",
    min_n=50,
    min_effect=0.02,
    min_relative=0.5,
    per="traces",
    again="1 - countIf(answered = asked) / count()",
    again_from=_asked_and_answered("raw_traces"),
    again_where="NOT (empty(asked) OR empty(answered))",
)

# The last model call of a trace is taken for the one that wrote its answer.
_SQL = f"""
SELECT day, trace_name, environment, release, version, language, call.1 AS prompt_name, call.2 AS prompt_version,
  call.3 AS model, count() AS n, sum(wrong) AS wrong
FROM (
  SELECT toInt32(floor(dateDiff('millisecond', {{window_start:DateTime64(6, 'UTC')}}, timestamp) / 86400000)) AS day,
    cityHash64(id) AS trace, name AS trace_name, environment, release, version, asked AS language, {RATE.y} AS wrong
  FROM ({RATE.source})
  WHERE cityHash64(id) % {{sample:UInt64}} = 0 AND {RATE.where}
) AS t
LEFT ANY JOIN (
  SELECT cityHash64(trace_id) AS trace, argMax((prompt_name, prompt_version, model), start_time) AS call
  FROM observations
  WHERE cityHash64(trace_id) % {{sample:UInt64}} = 0 AND type IN ('GENERATION', 'AGENT')
    AND (prompt_name != '' OR model != '')
  GROUP BY trace
) AS o ON t.trace = o.trace
GROUP BY ALL"""
_DIMENSIONS = (
    "trace_name", "environment", "release", "version", "language", "prompt_name", "prompt_version", "model",
)  # fmt: skip

# The language of the question comes first in each: more questions in a language that is often missed are no change.
_CONTEXTS = (
    ("language", "trace_name", "environment", "prompt", "model", "release", "version"),
    ("language", "trace_name", "environment", "prompt", "model"),
    ("language", "trace_name", "environment"),
    ("language", "trace_name"),
    ("trace_name",),
)
# What was deployed misses all languages but one: it is told once, and its cause names them.
_GROUPINGS = (
    ("trace_name",), ("environment",), ("release",), ("version",), ("language",), ("prompt",), ("model",),
    ("language", "trace_name"), ("trace_name", "release"), ("prompt", "model"), ("release", "environment"),
)  # fmt: skip
_WORSE = Question("n", "wrong", _CONTEXTS, _GROUPINGS, min_x=50, min_effect=0.02, min_relative=0.5)
_BETTER = replace(_WORSE, sign=-1, min_effect=0.03, min_relative=0.4)
_OFTEN = Question(
    "n", "wrong", [("trace_name",)], (("language", "trace_name"),), min_x=50, min_effect=0.05, min_relative=1.0, limit=3
)

_MEANT = 0.6
"""A language that is answered in another one more often than this is so by intent: the app translates, or speaks one
language only."""

_OTHERS = 0.03
"""Of the app's other languages at most this share is missed, or the app mixes languages by its nature."""


def screen(dataset: Dataset) -> Screening:
    """The traces' questions and answers, in a query of its own, since it reads texts."""
    texts = 2 * _traces(dataset)
    spans, sample, note = part_of(dataset, texts, "The languages of questions and answers")
    sql = dataset.bind(_SQL, ("traces", "observations"))
    parts = [dataset.columns(sql, {"sample": sample, **span}) for span in spans]
    cells = Cells.read({name: [one for part in parts for one in part[name]] for name in parts[0]}, _DIMENSIONS)
    if not len(cells):
        return Screening.nothing("no trace has a question and an answer whose languages can be told")
    worse, better, looked = both_ways(cells, _WORSE, _BETTER)
    often, looked_within = stand_out(cells, _OFTEN, explained=[*worse, *better])
    found = [
        *against_baseline("language_mix", RATE, "regression", cells, worse, "n"),
        *against_baseline("language_mix", RATE, "improvement", cells, better, "n"),
        *(_in_its_app(hit) for hit in often if _is_slip(cells, hit)),
    ]
    return Screening.of(found, looked + looked_within, cells.has_baseline).noted(note)


def _traces(dataset: Dataset) -> int:
    """About how many traces both periods have, by the window's last day."""
    sql = "SELECT count() AS n FROM traces"
    day = dataset.columns(dataset.bind(sql, ("traces",)), since=dataset.periods.window.end - DAY)
    return round(int(day["n"][0]) * (dataset.periods.window.days + dataset.periods.baseline.days))


def _is_slip(cells: Cells, hit: Hit) -> bool:
    """Whether a language of an app is missed now and then, while its other languages are answered as they are asked."""
    app = dict(zip(hit.units, hit.values, strict=True))["trace_name"]
    here = cells.in_window & cells.inside(["trace_name"], [app])
    mine = here & cells.inside(hit.units, hit.values)
    shares = [
        float(cells.sums["wrong"][rows].sum()) / max(1.0, float(cells.sums["n"][rows].sum()))
        for rows in (mine, here & ~mine)
    ]
    return shares[0] <= _MEANT and shares[1] <= _OTHERS


def _in_its_app(hit: Hit) -> Candidate:
    return Candidate(
        detector="language_mix", metric=RATE.name, direction="hotspot", segment=hit.segment,
        comparison=Comparison(against="rest_of_window", segment={"trace_name": hit.segment["trace_name"]}),
        strength=round(hit.z, 2), apps=list(hit.apps),
    )  # fmt: skip


def detail(dataset: Dataset, candidate: Candidate, id: str) -> Evidence:
    """Which languages are answered in which other ones.

    Columns: asked, answered (codes such as en), now, before (traces).
    """
    rows = rows_of(RATE, candidate, extra=", asked, answered")
    sql = f"""
WITH {rows.cte}
SELECT asked, answered, countIf(period = 'window') AS now, countIf(period != 'window') AS before
FROM rows WHERE y = 1 GROUP BY asked, answered ORDER BY now DESC, asked, answered LIMIT 5"""
    return dataset.ask(id, "detail", dataset.bind(sql, rows.relations, rows.needs), rows.parameters)


def tell(finding: Finding) -> Words:
    """Answers in the wrong language in words."""
    place, moved = telling.where(finding.segment), telling.from_to(finding)
    measured = telling.measured(finding, RATE.per)
    if finding.direction == "improvement":
        return Words(say("language_mix.better", place=place, moved=moved), measured, None, say("keep"))
    title = say("language_mix.title", share=format_value(finding.current.value, "ratio"), place=place)
    summary = telling.sentences(
        say("language_mix.summary", moved=moved, since=telling.since(finding)), measured, telling.touched(finding)
    )
    found = telling.detail(finding)
    pairs = [
        say(
            "language_mix.pair", count=format_count(int(row["now"])), asked=_language(row["asked"]),
            answered=_language(row["answered"]),
        )
        for row in (found.records() if found is not None else ())
        if int(row["now"])
    ]  # fmt: skip
    shown = say("language_mix.cause", pairs=say("place.join").join(pairs)) if pairs else ""
    cause = telling.sentences(shown, telling.came_with(finding)) or None
    change = telling.change_of(finding.segment)
    advice = say("language_mix.ask", place=place)
    if change and telling.is_new(finding):
        advice = say("language_mix.compare", change=change, place=place)
    return Words(telling.up_from(finding, title), summary, cause, advice)


def _language(code: object) -> str:
    return say(f"language.{code}")


DETECTOR = Detector(
    name="language_mix",
    question="Which answers are in another language than their question?",
    metrics=(RATE,),
    tell=tell,
    screen_data=screen,
    detail=detail,
)
