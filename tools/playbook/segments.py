"""A segment as a condition on a logical relation, with its values bound as parameters."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hansei.contracts import Segment
from hansei.tools.langfuse.relations import Needs
from hansei.tools.playbook.languages import language_of
from hansei.tools.playbook.model import Metric, Relation

CLUSTER: dict[Relation, str] = {"observations": "trace_id", "traces": "id", "scores": "if(trace_id = '', id, trace_id)"}
"""What a row belongs to that may make it like other rows."""

TIME: dict[Relation, str] = {"observations": "start_time", "traces": "timestamp", "scores": "timestamp"}

_OWN: dict[Relation, dict[str, str]] = {
    "observations": {
        "observation_name": "name",
        "observation_type": "type",
        "model": "model",
        "prompt_name": "prompt_name",
        "prompt_version": "prompt_version",
        "version": "version",
        "environment": "environment",
        "status_message": "status_message",
        "trace_name": "trace_name",
        "release": "release",
        "user_id": "user_id",
        "session_id": "session_id",
    },
    "traces": {
        "trace_name": "name",
        "release": "release",
        "version": "version",
        "environment": "environment",
        "user_id": "user_id",
        "session_id": "session_id",
    },
    "scores": {
        "score_name": "name",
        "environment": "environment",
        "session_id": "session_id",
        "trace_name": "trace_name",
        "release": "release",
        "version": "version",
        "user_id": "user_id",
    },
}
_OF_TRACE: dict[Relation, frozenset[str]] = {
    "observations": frozenset({"trace_name", "release", "user_id", "session_id"}),
    "traces": frozenset(),
    "scores": frozenset({"trace_name", "release", "version", "user_id"}),
}
_LANGUAGE = language_of("input")
_CARRIED = {"tag": "has(tags, @)", "language": f"{_LANGUAGE} = @"}
"""Dimensions that only traces have, as conditions on one; @ stands for the value."""
_TRACE_KEY: dict[Relation, str] = {"observations": "trace_id", "traces": "id", "scores": "trace_id"}


@dataclass(frozen=True)
class Condition:
    """SQL over one relation, its parameters, and what the relation must offer for it."""

    sql: str
    parameters: dict[str, str]
    needs: Needs
    looks_up: tuple[str, ...] = ()
    """Relations that the SQL looks rows up by."""


def raw_condition(segment: Segment, relation: Relation, prefix: str) -> tuple[str, dict[str, str], frozenset[str]]:
    """The same rows over the relations without FINAL, which never have a trace's columns.

    Returns:
        (SQL, parameters, the raw relations that it looks up).
    """
    tests: dict[str, list[str]] = {}
    looked_up: set[str] = set()
    parameters: dict[str, str] = {}
    for i, (dimension, value) in enumerate(sorted(segment.items())):
        name = f"{prefix}{i}"
        parameters["category" if dimension == "score_category" else name] = value
        home: Relation = relation
        if dimension in _OF_TRACE[relation]:
            home = "traces"
        elif _test(dimension, relation, name) is None:
            home = "observations"
        test = _test(dimension, home, name, traces="raw_traces")
        if test is None:
            raise KeyError(f"no such dimension: {dimension}")
        if home == relation and _is_carried(dimension, relation):
            looked_up.add("traces")
        tests.setdefault(home, []).append(test)
    parts = tests.pop(relation, [])
    for other, conditions in tests.items():
        key = "id" if other == "traces" else "trace_id"
        parts.append(f"{_TRACE_KEY[relation]} IN (SELECT {key} FROM raw_{other} WHERE {' AND '.join(conditions)})")
    return " AND ".join(parts) or "1", parameters, frozenset({*tests, *looked_up})


def condition(segment: Segment, relation: Relation, prefix: str) -> Condition:
    """The rows of `relation` in `segment`.

    A dimension that the relation lacks is looked up through the trace's observations: traces and scores *with* a step
    of that tool, model or prompt version. Tags and
    metadata are looked up on the trace.

    Args:
        prefix: begins the names of the parameters, so that several conditions can stand in one query.
    """
    here, through, parameters, trace = [], [], {}, False
    for i, (dimension, value) in enumerate(sorted(segment.items())):
        name = f"{prefix}{i}"
        parameters["category" if dimension == "score_category" else name] = value
        if (test := _test(dimension, relation, name)) is not None:
            here.append(test)
            trace |= dimension in _OF_TRACE[relation]
        else:
            test = _test(dimension, "observations", name)
            if test is None:
                raise KeyError(f"no such dimension: {dimension}")
            through.append(test)
    if through:
        where = " AND ".join(through)
        here.append(f"{_TRACE_KEY[relation]} IN (SELECT trace_id FROM nearby_observations WHERE {where})")
    carried = any(_is_carried(dimension, relation) for dimension in segment)
    looks_up = (*(("nearby_observations",) if through else ()), *(("nearby_traces",) if carried else ()))
    return Condition(" AND ".join(here) or "1", parameters, Needs(trace=trace), looks_up)


def column(dimension: str, relation: Relation) -> tuple[str, bool] | None:
    """A dimension's value as SQL over rows of a relation, and whether it is a column of the row's trace.

    Returns:
        None when the relation's rows have no such column.
    """
    if dimension in _OWN[relation]:
        return _OWN[relation][dimension], dimension in _OF_TRACE[relation]
    if dimension == "tag" and relation != "scores":
        return "arrayJoin(if(empty(tags), [''], tags))", relation != "traces"
    if dimension == "tool_name" and relation == "observations":
        return "if(type = 'TOOL', name, '')", False
    if dimension == "language" and relation == "traces":
        return _LANGUAGE, False
    if dimension.startswith("metadata.") and relation != "scores":
        key = dimension.removeprefix("metadata.").replace("\\", "\\\\").replace("'", "\\'")
        return f"metadata['{key}']", False
    return None


@dataclass(frozen=True)
class Split:
    """A dimension's value as SQL over rows of `home`, from which rows of another relation are split by it.

    Where a row may have several (tags, the models that a trace used), it counts for each: the parts overlap.
    """

    sql: str
    home: Relation
    own: bool
    """Whether it is a column of the rows themselves; else it is looked up by their trace."""
    with_trace: bool
    overlapping: bool


def split_of(dimension: str, metric: Metric) -> Split | None:
    """How a metric's rows are split by a dimension: by a column of theirs, of their trace, or of its steps.

    Returns:
        None when neither has such a column.
    """
    own = column(dimension, metric.relation)
    if own is not None and not dimension.startswith("metadata.") and _offers(metric.source, own[0]):
        return Split(own[0], metric.relation, True, own[1], dimension == "tag")
    homes: tuple[Relation, ...] = ("traces", "observations")
    for home in homes:
        if (found := column(dimension, home)) is not None:
            return Split(found[0], home, False, False, home == "observations" or dimension == "tag")
    return None


def _offers(source: str, sql: str) -> bool:
    """Whether a metric's own rows have all columns that an expression uses."""
    columns = {word for word in re.findall(r"[a-z_]+", re.sub(r"'[^']*'|\w+\(", "", sql)) if word}
    return not source or all(re.search(rf"\bAS {name}\b", source) for name in columns)


def shared(segment: Segment, other: Segment, relation: Relation) -> Segment:
    """What two segments have in common and rows of `relation` can be asked themselves.

    A condition that holds for both sides stands alone in a query: ClickHouse can use it before it reads and joins the
    rest, which it cannot do inside an ``if``.
    """
    return {
        dimension: value
        for dimension, value in segment.items()
        if other.get(dimension) == value and _test(dimension, relation, "") is not None
    }


def _is_carried(dimension: str, relation: Relation) -> bool:
    """Whether rows of `relation` have the dimension through their trace alone, which must be looked up."""
    return relation != "traces" and (dimension in _CARRIED or dimension.startswith("metadata."))


def _test(dimension: str, relation: Relation, name: str, traces: str = "nearby_traces") -> str | None:
    """SQL of one dimension's condition; None when rows of `relation` cannot be asked for it themselves.

    Args:
        name: of the parameter that holds the value.
        traces: the relation in which what a trace carries is looked up.
    """
    value = f"{{{name}:String}}"
    if dimension in _OWN[relation]:
        return f"{_OWN[relation][dimension]} = {value}"
    if dimension == "score_category" and relation == "scores":
        return "1"  # it chooses no rows: the metric counts it, by the parameter `category`
    if dimension == "hour_of_day":
        return _in_hours(TIME[relation], value)
    if dimension == "tool_name" and relation == "observations":
        return f"(type = 'TOOL' AND name = {value})"
    key = dimension.removeprefix("metadata.").replace("\\", "\\\\").replace("'", "\\'")
    carried = _CARRIED[dimension].replace("@", value) if dimension in _CARRIED else None
    if dimension.startswith("metadata."):
        carried = f"metadata['{key}'] = {value}"
    if carried is None or relation == "traces":
        return carried
    test = f"{_TRACE_KEY[relation]} IN (SELECT id FROM {traces} WHERE {carried})"
    # An observation may have metadata of its own.
    return f"({carried} OR {test})" if relation == "observations" and dimension not in _CARRIED else test


def _in_hours(time: str, value: str) -> str:
    """Whether a time's hour (UTC) lies in a span such as 22:00-02:00, its end left out."""
    first, last = (f"toUInt8OrZero(substring({value}, {at}, 2))" for at in (1, 7))
    length = f"if({first} = {last}, 24, ({last} + 24 - {first}) % 24)"
    return f"(toHour({time}, 'UTC') + 24 - {first}) % 24 < {length}"


def column_of(dimension: str, relation: Relation) -> str | None:
    """The column of `relation` that holds a dimension's values; None when it has none."""
    if dimension == "tool_name":
        return "name" if relation == "observations" else None
    return _OWN[relation].get(dimension)
