"""Which of Langfuse's schemas holds a project's recent rows.

The presence of a table proves nothing: in Langfuse's v4 write mode ``events_only`` the v3 tables stay behind without
new rows, in ``dual`` both are filled. So the newest rows decide, and only one schema is ever read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from hansei.contracts import parse_instant
from hansei.errors import NoData, SchemaNotSupported
from hansei.tools.clickhouse import Reader
from hansei.tools.langfuse.relations import Adapter
from hansei.tools.langfuse.v3 import V3
from hansei.tools.langfuse.v4 import V4

_REQUIRED: dict[str, frozenset[str]] = {
    "traces": frozenset({"id", "timestamp", "project_id", "environment", "event_ts", "is_deleted"}),
    "observations": frozenset(
        {"id", "trace_id", "project_id", "type", "start_time", "end_time", "level", "usage_details", "total_cost"}
    ),
    "events_core": frozenset(
        {"trace_id", "span_id", "parent_span_id", "project_id", "start_time", "level", "usage_details", "cost_details"}
    ),
    "scores": frozenset({"id", "timestamp", "project_id", "name", "value", "string_value", "data_type"}),
}

_SAME_AGE = timedelta(hours=1)


@dataclass(frozen=True)
class Source:
    """What was found: the adapter to read with, and the project's span of data in it."""

    adapter: Adapter
    oldest: datetime
    newest: datetime
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Span:
    oldest: datetime
    newest: datetime


def tables(reader: Reader, database: str) -> dict[str, frozenset[str]]:
    """Table → its columns, of the tables that this user may see."""
    found = reader.query(
        "SELECT table, groupArray(name) AS columns FROM system.columns WHERE database = {database:String}"
        " GROUP BY table",
        {"database": database},
    )
    return {table: frozenset(columns) for table, columns in found.rows}


def detect(reader: Reader, database: str, project_id: str) -> Source:
    """Finds the schema that holds the project's newest rows.

    Raises:
        SchemaNotSupported: there are no Langfuse tables, or a table lacks columns that are needed.
        NoData: the project has no rows; the projects that can be seen are named.
    """
    present = tables(reader, database)
    v3_there = {"traces", "observations"} <= present.keys()
    v4_there = "events_core" in present
    if not v3_there and not v4_there:
        raise SchemaNotSupported(
            f"The database “{database}” has no Langfuse tables that this user may read.",
            "Name Langfuse's database in the URL, and grant SELECT on traces, observations and scores (v3), or on "
            "events_core, events_full and scores (v4).",
        )
    needed = ["scores"] + (["traces", "observations"] if v3_there else []) + (["events_core"] if v4_there else [])
    for table in needed:
        if lacking := sorted(_REQUIRED[table] - present.get(table, frozenset())):
            raise SchemaNotSupported(
                f"The table {database}.{table} lacks {', '.join(lacking)}.",
                "This shape of Langfuse's tables is not known: check the Langfuse version, and the grants on columns.",
            )
    v3 = _span(reader, f"`{database}`.`traces`", "timestamp", project_id) if v3_there else None
    v4 = _span(reader, f"`{database}`.`events_core`", "start_time", project_id) if v4_there else None
    if v3 is None and v4 is None:
        raise NoData(f"The project “{project_id}” has no traces here.", _other_projects(reader, database, v3_there))
    return _choose(reader, database, project_id, present, v3, v4)


def _choose(
    reader: Reader,
    database: str,
    project_id: str,
    present: dict[str, frozenset[str]],
    v3: _Span | None,
    v4: _Span | None,
) -> Source:
    take_v4 = v3 is None
    notes: list[str] = []
    if v3 is not None and v4 is not None:
        if abs(v3.newest - v4.newest) <= _SAME_AGE:
            take_v4 = v4.oldest <= v3.oldest
            notes.append(
                f"Langfuse writes both schemas (dual mode); only {'v4' if take_v4 else 'v3'} was read, so nothing is "
                "counted twice."
            )
        else:
            take_v4 = v4.newest > v3.newest
            stale, newest = ("v3", v3.newest) if take_v4 else ("v4", v4.newest)
            notes.append(f"The {stale} tables hold no rows after {newest:%Y-%m-%d %H:%M} UTC; they were not read.")
    if take_v4 and v4 is not None:
        adapter: Adapter = V4(database, attributes_on_spans=_attributes_on_spans(reader, database, project_id, v4))
        return Source(adapter, v4.oldest, v4.newest, tuple(notes))
    assert v3 is not None
    has_experiments = "trace_id" in present.get("dataset_run_items_rmt", frozenset())
    return Source(V3(database, has_experiments), v3.oldest, v3.newest, tuple(notes))


def _span(reader: Reader, table: str, column: str, project_id: str) -> _Span | None:
    row = reader.query(
        f"SELECT count(), min({column}), max({column}) FROM {table}"
        " WHERE project_id = {project_id:String} AND is_deleted = 0 AND NOT startsWith(environment, 'langfuse-')",
        {"project_id": project_id},
    ).rows[0]
    return None if row[0] == 0 else _Span(parse_instant(str(row[1])), parse_instant(str(row[2])))


def _attributes_on_spans(reader: Reader, database: str, project_id: str, span: _Span) -> bool:
    """Whether all recent spans carry their trace's name, so that figures by trace need no join."""
    row = reader.query(
        f"SELECT countIf(trace_name = '') FROM `{database}`.events_core"
        " WHERE project_id = {project_id:String} AND start_time >= {since:DateTime64(6, 'UTC')}",
        {"project_id": project_id, "since": span.newest - timedelta(days=35)},
    ).rows[0]
    return bool(row[0] == 0)


def _other_projects(reader: Reader, database: str, v3: bool) -> str:
    table = "traces" if v3 else "events_core"
    found = reader.query(f"SELECT DISTINCT project_id FROM `{database}`.`{table}` ORDER BY project_id LIMIT 11")
    names = [str(row[0]) for row in found.rows]
    if not names:
        return "No project has any yet: check that the URL names Langfuse's database, or load sample data: hansei demo."
    more = " and others" if len(names) > 10 else ""
    return f"Projects with data: {', '.join(names[:10])}{more}. Name one with --project."


def adapter_data(adapter: Adapter) -> dict[str, str | bool]:
    """An adapter as plain data for the state; `adapter_from` makes it again."""
    return {"version": adapter.version, **{key: value for key, value in vars(adapter).items() if key != "version"}}


def adapter_from(data: Mapping[str, str | bool]) -> Adapter:
    """The adapter that `adapter_data` described."""
    arguments = {key: value for key, value in data.items() if key != "version"}
    kind: Callable[..., Adapter] = V4 if data["version"] == "v4" else V3
    return kind(**arguments)
