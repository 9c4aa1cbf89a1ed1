"""Quality: the scores that users, annotators and evaluators gave.

Scores of one name with different data types are different things and are never mixed: NUMERIC scores are averaged,
BOOLEAN ones give the share of 1, CATEGORICAL ones the share of each category. A missing score is not a zero: only
scores that exist are counted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import compress
from typing import Any

from hansei.contracts import Evidence, Finding
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.relations import Needs
from hansei.tools.playbook import telling
from hansei.tools.playbook.attributes import LEAST_TRACES
from hansei.tools.playbook.averages import RUNS, moved_by_mix
from hansei.tools.playbook.categories import CATEGORIES, screen_categories
from hansei.tools.playbook.cells import Cells
from hansei.tools.playbook.cohorts import confined
from hansei.tools.playbook.evaluators import (
    COLUMNS,
    OF_CHECKS,
    OF_EVALUATORS,
    OF_PEOPLE,
    held_against_people,
    sums_of_pairs,
)
from hansei.tools.playbook.expectation import Question
from hansei.tools.playbook.groupings import against_baseline
from hansei.tools.playbook.measure import rows_of
from hansei.tools.playbook.model import Candidate, Detector, Metric, Screening, Words
from hansei.tools.playbook.score_cohorts import ATTRIBUTES, CARRIED, cohorts_of
from hansei.tools.playbook.screen import both_ways
from hansei.tools.playbook.side_by_side import beside
from hansei.tools.playbook.tell_tales import TellTale, in_words, tell_tale
from hansei.tools.report.catalogue import say
from hansei.tools.report.formats import format_count, format_estimate, format_value

_MICRO = 1_000_000
_MEAN = Metric(
    name="score_mean",
    kind="quality",
    unit="score",
    shape="mean",
    relation="scores",
    where="data_type = 'NUMERIC'",
    y=f"round(value * {_MICRO})",
    scale=float(_MICRO),
    worse=-1,
    min_n=30,
    min_relative=0.05,
    per="scores",
    again="avg(value)",
    again_where="data_type = 'NUMERIC'",
)
_RATE = replace(
    _MEAN, name="score_rate", unit="ratio", shape="share", where="data_type = 'BOOLEAN'", y="value > 0.5", scale=1.0,
    min_effect=0.03, min_relative=0.0, again="countIf(value > 0.5) / count()", again_where="data_type = 'BOOLEAN'",
)  # fmt: skip
METRICS = (
    _MEAN,
    _RATE,
    replace(_MEAN, name="score_mean_lower_is_better", worse=1),
    replace(_RATE, name="score_rate_lower_is_better", worse=1),
    *CATEGORIES,
)

_HANSEI, _CHECKS = "Hansei", "Hansei (checks)"
_HELD = ", ".join(f"tupleElement(any(pair), {place}) AS {name}" for place, name in enumerate(COLUMNS, start=1))

LOWER_IS_BETTER = (
    "error", "toxic", "hallucinat", "harm", "bias", "refus", "fail", "violation", "unsafe", "pii", "leak", "negative",
    "latency", "cost", "distance", "complaint", "escalat", "incorrect", "wrong", "spam", "contradict",
)  # fmt: skip
"""Beginnings of words in a score's name that say that less is better; otherwise more is."""

_CONTEXTS = (
    ("score", "trace_name", "environment", "prompt", "model"),
    ("score", "trace_name", "prompt"),
    ("score", "trace_name"),
    ("score",),
)
_GROUPINGS = (
    ("score",), ("score", "trace_name"), ("score", "prompt"), ("score", "model"), ("score", "release"),
    ("score", "environment"), ("score", "version"), ("score", "trace_name", "release"), ("score", "prompt", "model"),
)  # fmt: skip
_DIMENSIONS = (
    "score", "trace_name", "environment", "release", "version", "prompt_name", "prompt_version", "model",
)  # fmt: skip

# Each score counts once for every prompt and model that its trace called: which of them it judges is not known.
_SQL = f"""
SELECT * EXCEPT seen FROM (
  SELECT toInt32(floor(dateDiff('millisecond', {{window_start:DateTime64(6, 'UTC')}}, timestamp) / 86400000)) AS day,
    name AS score, data_type, trace_name, environment, if(part.1 = '', release, '') AS release,
    if(part.1 = '', version, '') AS version, part.3.1 AS prompt_name, part.3.2 AS prompt_version, part.3.3 AS model,
    part.1 AS key, part.2 AS value,
    if(data_type = 'CATEGORICAL' AND lengthUTF8(string_value) <= 80, string_value, '') AS category,
    count() AS n, sum(r.value) AS y, sum(r.value * r.value) AS yy, sum(n) OVER (PARTITION BY key, value) AS seen
  FROM (
    SELECT *, {ATTRIBUTES} AS attributes FROM scores LEFT JOIN (
@calls
    ) AS o USING trace_id
    WHERE data_type IN ('NUMERIC', 'BOOLEAN', 'CATEGORICAL')
  ) AS r
  ARRAY JOIN arrayConcat(arrayMap(c -> ('', '', c), if(empty(calls), [('', '', '')], calls)), {CARRIED}) AS part
  GROUP BY ALL
)
WHERE value = '' OR seen >= {LEAST_TRACES}"""
_CALLS = """
SELECT trace_id, groupUniqArray((prompt_name, prompt_version, model)) AS calls
FROM nearby_observations
WHERE type IN ('GENERATION', 'AGENT') AND (prompt_name != '' OR model != '')
  AND trace_id IN (SELECT trace_id FROM scores)
GROUP BY trace_id"""


def screen(dataset: Dataset) -> Screening:
    """One pass over the scores, joined with the prompts and models of their traces."""
    # The calls are bound on their own: for them the scores need not be joined with their traces.
    sql = _SQL.replace("@calls", dataset.bind(_CALLS, ("nearby_observations", "scores")))
    rows = dataset.columns(dataset.bind(sql, ("scores",), Needs(trace=True)))
    found: list[Candidate] = []
    slices = 0
    has_baseline = False
    if not len(rows["day"]):
        return Screening.nothing("there are no scores to compare")
    carried = _where(rows, [key != "" for key in rows["key"]])
    columns = _where(rows, [key == "" for key in rows["key"]])
    for kind, shares in (("NUMERIC", False), ("BOOLEAN", True)):
        for lower in (False, True):
            cells = Cells.read(_sums(_only(columns, kind, lower)), _DIMENSIONS)
            if not len(cells):
                continue
            has_baseline |= cells.has_baseline
            metric = next(m for m in METRICS if (m.shape == "share") == shares and (m.worse > 0) == lower)
            question = Question(
                "n", "y", _CONTEXTS, _GROUPINGS, yy=None if shares else "yy", sign=metric.worse,
                min_x=metric.min_n, min_effect=metric.min_effect, min_relative=metric.min_relative,
                repeats=("score", "trace_name"),
            )  # fmt: skip
            other = replace(question, sign=-question.sign)
            worse, better, looked = both_ways(cells, question, other)
            found += against_baseline("quality", metric, "regression", cells, worse, "n")
            found += against_baseline("quality", metric, "improvement", cells, better, "n")
            others, looked_beside = beside("quality", metric, cells, question)
            cohorts = cohorts_of(_only(carried, kind, lower))
            hidden, looked_closer = confined("quality", metric, cohorts, question, better=other)
            slices += looked + looked_beside + looked_closer
            found += [*hidden, *others]
            found += moved_by_mix("quality", metric, cells, "n", "y", RUNS, found, per="score")
    of_categories, looked, compared = screen_categories(columns, _DIMENSIONS, _CONTEXTS, _GROUPINGS)
    found, slices, has_baseline = [*found, *of_categories], slices + looked, has_baseline or compared
    return Screening.of(found, slices, has_baseline)


def is_lower_better(score: str) -> bool:
    """Whether a score's name says that less is better: toxicity, error_count; not error_free, no_hallucination."""
    words = re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", score).lower())
    bad = any(word.startswith(stem) for word in words for stem in LOWER_IS_BETTER)
    return bad and not any(word in _NEGATIONS for word in words)


_NEGATIONS = frozenset({"no", "not", "non", "free", "without", "absence", "avoidance", "avoids", "anti"})


_Columns = Mapping[str, Sequence[Any]]


def _only(columns: _Columns, kind: str, lower: bool) -> _Columns:
    """The scores of one type, by whether less is better."""
    wanted = {name for name in set(columns["score"]) if is_lower_better(str(name)) == lower}
    rows = zip(columns["score"], columns["data_type"], strict=True)
    return _where(columns, [of == kind and name in wanted for name, of in rows])


def _where(columns: _Columns, keep: Sequence[bool]) -> _Columns:
    return {name: list(compress(column, keep)) for name, column in columns.items()}


def _sums(columns: _Columns) -> _Columns:
    """The columns that are dimensions and sums of cells."""
    return {name: columns[name] for name in (*_DIMENSIONS, "day", "n", "y", "yy")}


def detail(dataset: Dataset, candidate: Candidate, id: str) -> Evidence:
    """Who gave the scores: Langfuse's source; or Hansei's judges or checks, whose scores come over the API as well.

    Columns: source, now, before (numbers of scores), value_now, value_before (averages); then, the same in each row,
    what `sums_of_pairs` says of the traces that evaluators and people scored.
    """
    metric = DETECTOR.metric(candidate.metric)
    extra = f""", multiIf({OF_CHECKS}, '{_CHECKS}', startsWith(id, 'hansei-'), '{_HANSEI}', source) AS given_by,
      trace_id AS of_trace,
      (timestamp, id) AS place, {OF_EVALUATORS} AS of_evaluators, {OF_PEOPLE} AS of_people"""
    rows = rows_of(metric, candidate, extra=extra)
    scale = f"{metric.scale:.0f}"
    yes = str(int(metric.scale / 2)) if metric.shape == "mean" else "0"
    sql = f"""
WITH {rows.cte},
  held AS (
    SELECT tuple(*) AS pair FROM (SELECT {sums_of_pairs("judge", "people", yes)} FROM (
      SELECT argMaxIf(y, place, of_evaluators) AS judge, argMaxIf(y, place, of_people) AS people FROM rows
      WHERE of_trace != '' GROUP BY of_trace HAVING countIf(of_evaluators) > 0 AND countIf(of_people) > 0
    ))
  )
SELECT given_by AS source, countIf(period = 'window') AS now, countIf(period != 'window') AS before,
  round(toFloat64(sumIf(y, period = 'window')) / {scale} / now, 4) AS value_now,
  round(toFloat64(sumIf(y, period != 'window')) / {scale} / before, 4) AS value_before, {_HELD}
FROM rows CROSS JOIN held GROUP BY given_by ORDER BY now DESC, source"""
    return dataset.ask(id, "detail", dataset.bind(sql, rows.relations, rows.needs), rows.parameters)


def tell(finding: Finding) -> Words:
    """Scores in words."""
    segment = dict(finding.segment)
    score = telling.name(segment.pop("score_name", "?"))
    place, moved = telling.where(segment), telling.from_to(finding)
    change = telling.change_of(segment)
    category = segment.pop("score_category", None)
    if category is not None:
        place, score = telling.where(segment), say("quality.category", score=score, category=telling.name(category))
    what = say("quality.what_share" if finding.unit == "ratio" else "quality.what", score=score)
    title = say("quality.title", score=score, place=place, moved=moved)
    sources = telling.detail(finding)
    given = believed = ""
    if sources is not None and sources.rows:
        if _is_evaluators(sources.records()):
            title, believed = _believed(title, finding, sources.records()[0])
        named = [
            say("quality.source", source=row["source"], count=format_count(row["now"])) for row in sources.records()
        ]
        given = say("quality.given", sources=say("place.join").join(named))
    summary = telling.sentences(
        say("quality.summary", what=what, moved=moved, since=telling.since(finding)),
        telling.measured(finding, "scores"),
        given,
        believed,
    )
    tale = tell_tale(finding)
    cause = telling.sentences(telling.came_with(finding), in_words(tale, finding) if tale else "") or None
    if finding.direction == "improvement":
        return Words(title, summary, cause, say("keep"))
    level = format_value(finding.baseline.value, finding.unit) if finding.baseline else say("quality.former")
    if not DETECTOR.metric(finding.metric).judged:
        return Words(title, summary, cause, say("quality.other_mix", place=place))
    if change and telling.is_new(finding):
        return Words(title, summary, cause, say("quality.roll_back", change=change, level=level))
    if tale is not None and tale.is_new:
        return Words(title, summary, cause, _mend(tale, level))
    return Words(title, summary, cause, say("quality.read", place=place, level=level))


def _mend(tale: TellTale, level: str) -> str:
    names = {"step": telling.name(tale.step), "message": telling.name(tale.message, 80)}
    return say("tale.mend", share=format_value(tale.share, "ratio"), level=level, **names)


def _believed(title: str, finding: Finding, row: Mapping[str, Any]) -> tuple[str, str]:
    """The title and a sentence of scores that an evaluator gave: how far it can be believed."""
    metric, is_share = DETECTOR.metric(finding.metric), finding.unit == "ratio"
    held = held_against_people(row, is_share=is_share, is_bad_high=metric.worse > 0 or not metric.judged)
    if held is None:
        return say("quality.uncalibrated_title", title=title), say("quality.uncalibrated")
    title, labels = say("quality.calibrated_title", title=title), format_count(held.labels)
    if held.correlation is not None:
        correlation = format_estimate(held.correlation, "score")
        return title, say("quality.calibrated_numbers", labels=labels, correlation=correlation)
    key = "quality.calibrated" if metric.judged else "quality.calibrated_category"
    rates = {name: format_estimate(rate, "ratio") for name, rate in (("tpr", held.tpr), ("tnr", held.tnr)) if rate}
    return title, say(key, labels=labels, **rates)


def _is_evaluators(sources: Sequence[Mapping[str, Any]]) -> bool:
    """Whether most of the window's scores were given by an evaluator and not by people."""
    theirs = sum(int(row["now"]) for row in sources if row["source"] in (_HANSEI, "EVAL"))
    return 2 * theirs > sum(int(row["now"]) for row in sources)


DETECTOR = Detector(
    name="quality",
    question="Which scores got worse, and where?",
    metrics=METRICS,
    tell=tell,
    screen_data=screen,
    detail=detail,
)
