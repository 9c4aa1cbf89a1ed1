"""A segment as a condition on a logical relation, with its values bound as parameters."""

from __future__ import annotations

from dataclasses import dataclass

from hansei.contracts import Segment
from hansei.tools.langfuse.relations import Needs
from hansei.tools.playbook.model import Relation

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
    "observations": frozenset({"trace_name", "release", "user_id", "session_id", "tag"}),
    "traces": frozenset(),
    "scores": frozenset({"trace_name", "release", "version", "user_id", "tag"}),
}
_TRACE_KEY: dict[Relation, str] = {"observations": "trace_id", "traces": "id", "scores": "trace_id"}


@dataclass(frozen=True)
class Condition:
    """SQL over one relation, its parameters, and what the relation must offer for it."""

    sql: str
    parameters: dict[str, str]
    needs: Needs
    through_observations: bool = False
    """Whether the SQL looks the relation `observations` up."""
    through_traces: bool = False
    """Whether the SQL looks the relation `traces` up."""


def raw_condition(segment: Segment, relation: Relation, prefix: str) -> tuple[str, dict[str, str], frozenset[str]]:
    """The same rows over the relations without FINAL, which never have a trace's columns.

    Returns:
        (SQL, parameters, the raw relations that it looks up).
    """
    tests: dict[str, list[str]] = {}
    parameters: dict[str, str] = {}
    for i, (dimension, value) in enumerate(sorted(segment.items())):
        name = f"{prefix}{i}"
        parameters[name] = value
        home: Relation = relation
        if dimension in _OF_TRACE[relation] or _is_noted_on_trace(dimension, relation):
            home = "traces"
        elif _test(dimension, relation, name) is None:
            home = "observations"
        test = _test(dimension, home, name)
        if test is None:
            raise KeyError(f"no such dimension: {dimension}")
        tests.setdefault(home, []).append(test)
    parts = tests.pop(relation, [])
    for other, conditions in tests.items():
        key = "id" if other == "traces" else "trace_id"
        parts.append(f"{_TRACE_KEY[relation]} IN (SELECT {key} FROM raw_{other} WHERE {' AND '.join(conditions)})")
    return " AND ".join(parts) or "1", parameters, frozenset(tests)


def condition(segment: Segment, relation: Relation, prefix: str) -> Condition:
    """The rows of `relation` in `segment`.

    A dimension that the relation lacks is looked up through the trace's observations: traces and scores *with* a step
    of that tool, model or prompt version. What is noted in the metadata of a score's trace is looked up there.

    Args:
        prefix: begins the names of the parameters, so that several conditions can stand in one query.
    """
    here, through, noted, parameters, trace = [], [], [], {}, False
    for i, (dimension, value) in enumerate(sorted(segment.items())):
        name = f"{prefix}{i}"
        parameters[name] = value
        if (test := _test(dimension, relation, name)) is not None:
            here.append(test)
            trace |= dimension in _OF_TRACE[relation]
        elif _is_noted_on_trace(dimension, relation):
            noted.append(str(_test(dimension, "traces", name)))
        else:
            test = _test(dimension, "observations", name)
            if test is None:
                raise KeyError(f"no such dimension: {dimension}")
            through.append(test)
    if through:
        where = " AND ".join(through)
        here.append(f"{_TRACE_KEY[relation]} IN (SELECT trace_id FROM observations WHERE {where})")
    if noted:
        here.append(f"{_TRACE_KEY[relation]} IN (SELECT id FROM traces WHERE {' AND '.join(noted)})")
    return Condition(" AND ".join(here) or "1", parameters, Needs(trace=trace), bool(through), bool(noted))


def _is_noted_on_trace(dimension: str, relation: Relation) -> bool:
    return relation == "scores" and dimension.startswith("metadata.")


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


def _test(dimension: str, relation: Relation, name: str) -> str | None:
    value = f"{{{name}:String}}"
    if dimension in _OWN[relation]:
        return f"{_OWN[relation][dimension]} = {value}"
    if dimension == "tag":
        return f"has(tags, {value})"
    if dimension == "tool_name" and relation == "observations":
        return f"(type = 'TOOL' AND name = {value})"
    if dimension.startswith("metadata.") and relation != "scores":
        key = dimension.removeprefix("metadata.").replace("\\", "\\\\").replace("'", "\\'")
        return f"metadata['{key}'] = {value}"
    return None
