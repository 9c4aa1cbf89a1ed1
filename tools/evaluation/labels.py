"""What people say of traces: scores in Langfuse with the source ANNOTATION, or users' feedback where it is asked for.

A rule says which score and which of its values let a trace pass:

    helpful             true passes (or 1, or the category True)
    stars>=4            a number of at least 4 passes; <= likewise
    tone=calm,friendly  these categories pass

Judges of numbers and of categories are held against annotations of their own kind: a number, one of the categories. Of
pairs, the better trace is the one that people gave the higher score.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from hansei.contracts import Periods, Window, parse_instant
from hansei.contracts.evaluation import Criterion, Verdict
from hansei.errors import UsageError
from hansei.tools.langfuse.dataset import Dataset

Said = bool | float | str

LATER = timedelta(days=365)
"""How long after the window people may have labelled its traces."""

MOST_LABELLED = 200
"""Labelled traces that are judged beside those that were chosen."""


MOST_BEFORE = 2_000
"""Traces of earlier runs whose labels are read, for the drift of their judges."""


@dataclass(frozen=True)
class Rule:
    """Which score holds a label, and what of it lets a trace pass."""

    score: str
    sign: str = ""
    """“”, >=, <= or =."""
    values: tuple[str, ...] = ()
    any_source: bool = False
    """Also scores that are no annotations: users' feedback."""
    true_passes: bool = True
    reads: Literal["pass", "number", "category", "rank"] = "pass"
    """What a label is: pass or fail; a number of the criterion's range; one of its categories; more or less good."""
    span: tuple[float, float] | None = None
    """Of a number."""
    categories: tuple[str, ...] = ()
    own: Rule | None = None
    """Beside feedback: annotations under the criterion's own score, which people give when they are asked to label."""

    def said(self, value: float | None, text: str, data_type: str) -> Said | None:
        """What a score says as a label of this kind; None: nothing by this rule."""
        if self.reads == "category":
            return text if text in self.categories else None
        if self.reads == "number":
            within = self.span is not None and value is not None and self.span[0] <= value <= self.span[1]
            return value if within and data_type == "NUMERIC" else None
        if self.reads == "rank" and not self.sign and data_type != "CATEGORICAL":
            return None if value is None else (value if self.true_passes else -value)
        return self.passes(value, text, data_type)

    def passes(self, value: float | None, text: str, data_type: str) -> bool | None:
        """What a score says; None: nothing by this rule."""
        if self.sign == "=":
            return text in self.values if text else None
        if self.sign:
            bound = float(self.values[0])
            return None if value is None else (value >= bound if self.sign == ">=" else value <= bound)
        if data_type == "CATEGORICAL":
            found = {"true": True, "pass": True, "false": False, "fail": False}.get(text.lower())
        else:
            found = value > 0 if value is not None and (data_type == "BOOLEAN" or value in (0, 1, -1)) else None
        return None if found is None else found is self.true_passes


def rule_of(criterion: Criterion, feedback: str | None = None) -> Rule:
    """The rule for a criterion's labels: annotations under the score's own name, or what is said.

    Feedback says whether something is good, so it is no label of categories or numbers of another meaning.

    Raises:
        UsageError: the rule cannot be read.
    """
    own = Rule(criterion.score_name, true_passes=criterion.true_means == "pass")
    given = None if feedback is None else replace(rule_of_feedback(feedback), own=own)
    if criterion.kind == "pairwise":
        own = replace(own, reads="rank")
        return own if given is None else replace(given, reads="rank", own=own)
    if criterion.type == "categorical":
        return replace(own, reads="category", categories=tuple(criterion.categories))
    if criterion.type == "numeric":
        assert criterion.lowest is not None
        assert criterion.highest is not None
        return replace(own, reads="number", span=(criterion.lowest, criterion.highest))
    return given or own


def rule_of_feedback(feedback: str) -> Rule:
    """What `--feedback` says.

    Raises:
        UsageError: it cannot be read.
    """
    found = re.fullmatch(r"\s*([^<>=]{1,200}?)\s*(?:(>=|<=|=)\s*(.{1,400}))?\s*", feedback)
    sign, given = (found[2] or "", found[3] or "") if found else ("", "")
    values = tuple(part.strip() for part in given.split(",")) if sign == "=" else ((given.strip(),) if sign else ())
    if found is None or "" in values or (sign in (">=", "<=") and not _is_number(values[0])):
        raise UsageError(
            f"“{feedback[:60]}” names no feedback.", "Write NAME, NAME>=NUMBER, NAME<=NUMBER or NAME=CATEGORY,CATEGORY."
        )
    return Rule(found[1], sign, values, any_source=True)


def rules_of(criteria: Iterable[Criterion], feedback: str | None = None) -> dict[str, Rule]:
    """The rules for the judges among criteria, by name.

    Raises:
        UsageError: as `rule_of`.
    """
    return {one.name: rule_of(one, feedback) for one in criteria if one.kind != "code"}


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?", text) is not None


@dataclass(frozen=True)
class Label:
    """What a person said of a trace. `at` is the trace's time."""

    trace_id: str
    said: Said
    """True when it passes; a number; a category. Of a rank: more is better, and true is more than false."""
    at: datetime
    environment: str


def read_labels(
    dataset: Dataset, rules: Mapping[str, Rule], earlier: Mapping[str, datetime] | None = None
) -> dict[str, dict[str, Label]]:
    """Labels of the window's traces: criterion → trace → label. Of several on one trace the last one counts.

    Scores that Hansei wrote are never labels. Traces may have been labelled up to a year after the window.

    Args:
        dataset: the data.
        rules: which scores hold labels, by criterion.
        earlier: labels of these traces instead, with the times at which they were: no trace is looked up for them.
    """
    if not rules or (earlier is not None and not earlier):
        return {name: {} for name in rules}
    periods, at_first = dataset.periods, min([dataset.periods.window.start, *(earlier or {}).values()])
    later = Window(start=at_first, end=periods.window.end + LATER)
    # A person's score may lie in another environment than its trace.
    open_ended = replace(dataset, periods=Periods(window=later, baseline=periods.baseline), environments=())
    sql = f"""
  SELECT trace_id, name, source = 'ANNOTATION' AS annotated, argMax(value, (timestamp, id)) AS value,
    argMax(string_value, (timestamp, id)) AS text, argMax(data_type, (timestamp, id)) AS data_type
  FROM scores
  WHERE has({{names:Array(String)}}, name) AND trace_id != '' AND NOT startsWith(id, 'hansei-')
    AND (source = 'ANNOTATION' OR has({{feedback:Array(String)}}, name))
    AND {"1" if earlier is None else "has({those:Array(String)}, trace_id)"}
  GROUP BY trace_id, name, annotated"""
    if earlier is None:
        sql = f"""SELECT s.trace_id AS trace_id, s.name AS name, s.value AS value, s.text AS text,
  s.data_type AS data_type, s.annotated AS annotated, t.timestamp AS at, t.environment AS environment
FROM (
  SELECT id, timestamp, environment FROM traces WHERE timestamp < {{until:DateTime64(6, 'UTC')}}
    AND (empty({{wanted:Array(String)}}) OR has({{wanted:Array(String)}}, environment))
) AS t
INNER JOIN ({sql}
) AS s ON t.id = s.trace_id"""
    both = {name: [rule, *([rule.own] if rule.own else [])] for name, rule in rules.items()}
    values: dict[str, Any] = {
        "names": sorted({one.score for mine in both.values() for one in mine}),
        "feedback": sorted({rule.score for rule in rules.values() if rule.any_source}),
    }
    if earlier is None:
        relations: tuple[str, ...] = ("scores", "traces")
        values |= {"until": periods.window.end, "wanted": list(dataset.environments)}
    else:
        relations = ("scores",)
        values["those"] = sorted(earlier)
    bound = open_ended.bind(f"{sql}\nORDER BY name, annotated, trace_id", relations)
    rows = open_ended.ask("labels", "labels", bound, values, since=at_first).records()
    found: dict[str, dict[str, Label]] = {name: {} for name in rules}
    for name, rule in ((name, one) for name, mine in both.items() for one in mine):
        for row in rows:  # annotations come last, so they count where there is feedback as well
            if row["name"] != rule.score or not (row["annotated"] or rule.any_source):
                continue
            value = None if row["value"] is None else float(row["value"])
            said = rule.said(value, str(row["text"]), str(row["data_type"]))
            if said is not None:
                trace_id = str(row["trace_id"])
                at = parse_instant(str(row["at"])) if earlier is None else earlier[trace_id]
                found[name][trace_id] = Label(trace_id, said, at, str(row.get("environment", "")))
    return found


def traces_of(earlier: Sequence[Verdict]) -> dict[str, datetime]:
    """The traces that earlier runs judged, with their times, the last `MOST_BEFORE` of them."""
    found: dict[str, datetime] = {}
    for one in reversed(earlier):
        for id in (one.trace_id, one.against):
            if id and one.at is not None and len(found) < MOST_BEFORE:
                found.setdefault(id, one.at)
    return found


def labelled_traces(labels: Mapping[str, Mapping[str, Label]], known: Sequence[str]) -> list[Label]:
    """One label of each trace that is labelled and not chosen anyway, so that its judge can be asked about it."""
    chosen = set(known)
    of_trace = {one.trace_id: one for mine in labels.values() for one in mine.values() if one.trace_id not in chosen}
    return [of_trace[id] for id in sorted(of_trace)][:MOST_LABELLED]
