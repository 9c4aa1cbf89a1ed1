"""Which of Langfuse's schemas holds a project's recent rows.

The presence of a table proves nothing: in Langfuse's v4 write mode ``events_only`` the v3 tables stay behind without
new rows, in ``dual`` both are filled. So the newest rows decide, and only one schema is ever read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from hansei.contracts import Periods, Window, parse_instant
from hansei.errors import NoData, PermissionMissing, SchemaNotSupported
from hansei.tools.clickhouse import Reader
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.relations import Adapter, SchemaVersion, id_key, in_range
from hansei.tools.langfuse.v3 import V3
from hansei.tools.langfuse.v4 import V4


def _columns(names: str) -> frozenset[str]:
    return frozenset(names.split())


_REQUIRED: dict[str, frozenset[str]] = {
    "traces": _columns(
        "id timestamp name user_id session_id environment release version tags metadata input output project_id"
        " event_ts is_deleted"
    ),
    "observations": _columns(
        "id trace_id parent_observation_id type name start_time end_time completion_start_time level status_message"
        " provided_model_name prompt_name prompt_version version environment total_cost usage_details metadata input"
        " output project_id event_ts is_deleted"
    ),
    "events_core": _columns(
        "span_id trace_id parent_span_id type name start_time end_time completion_start_time level status_message"
        " provided_model_name prompt_name prompt_version version environment cost_details usage_details metadata_names"
        " metadata_values input output trace_name user_id session_id release tags experiment_id project_id event_ts"
        " is_deleted"
    ),
    "scores": _columns(
        "id timestamp trace_id observation_id session_id dataset_run_id name value string_value data_type source"
        " comment environment project_id event_ts is_deleted"
    ),
}
"""Every column that the adapters name."""

_TABLES: dict[SchemaVersion, tuple[str, ...]] = {"v3": ("traces", "observations"), "v4": ("events_core",)}
"""What tells a schema; `scores` belongs to both."""

_SAME_AGE = timedelta(hours=1)

_SHOWN = 80
"""Characters of a project's id that an error shows."""

_CALLS = 2_000
"""Model calls, of the last days, of which it is looked up whether they tell the tools that the model was offered."""

_LOOKED_AT = 200_000
"""Spans, about, of which it is looked up whether those of one trace carry the same attributes."""


@dataclass(frozen=True)
class Source:
    """What was found: the adapter to read with, and the project's span of data in it."""

    adapter: Adapter
    oldest: datetime
    newest: datetime
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Span:
    adapter: Adapter
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
        PermissionMissing: the scores cannot be seen.
        NoData: the project has no rows; the projects that can be seen are named.
    """
    present = tables(reader, database)
    there = [version for version, names in _TABLES.items() if set(names) <= present.keys()]
    if not there:
        raise SchemaNotSupported(
            f"The database “{database}” has no Langfuse tables that this user may read.",
            "Name Langfuse's database in the URL, and grant SELECT on traces, observations and scores (v3), or on "
            "events_core, events_full and scores (v4).",
        )
    if "scores" not in present:
        raise PermissionMissing(
            f"The database “{database}” has no table scores that this user may read.",
            f"GRANT SELECT ON {database}.scores TO <user>; Langfuse has that table in every version.",
        )
    spans: dict[SchemaVersion, _Span] = {}
    notes: list[str] = []
    lacking = ""
    for version in there:
        if lacking := _lacking(database, (*_TABLES[version], "scores"), present):
            notes.append(f"{lacking} The {version} tables were not read.")
            continue
        if span := _read_span(reader, database, version, project_id, present):
            spans[version] = span
    if len(notes) == len(there):
        raise SchemaNotSupported(
            lacking,
            "This shape of Langfuse's tables is not known: check the Langfuse version, and the grants on columns.",
        )
    if not spans:
        raise NoData(
            f"The project “{_shown(project_id)}” has no traces here.", _other_projects(reader, database, there)
        )
    version, more = _choose(spans)
    chosen = spans[version]
    return Source(chosen.adapter, chosen.oldest, chosen.newest, (*notes, *more))


def adapter_over(reader: Reader, source: Source, project_id: str, periods: Periods) -> Adapter:
    """The adapter for these periods of a project, which knows whether traces of theirs have rows on several dates."""
    adapter = source.adapter
    if not isinstance(adapter, V3):
        return adapter
    dates = "HAVING min(toDate(timestamp)) != max(toDate(timestamp))"
    moved = reader.query(
        f"SELECT count() FROM (SELECT 1 FROM `{adapter.database}`.`traces`"
        f" WHERE project_id = {{project_id:String}} AND {in_range('timestamp', slack=True)}"
        f" GROUP BY {id_key('id')} {dates} LIMIT 1)",
        {"project_id": project_id, "range_start": periods.baseline.start, "range_end": periods.window.end},
    ).rows[0][0]
    return replace(adapter, has_moved_traces=bool(moved))


def _lacking(database: str, names: Sequence[str], present: Mapping[str, frozenset[str]]) -> str:
    for name in names:
        if columns := sorted(_REQUIRED[name] - present[name]):
            return f"The table {database}.{name} lacks {', '.join(columns)}."
    return ""


def _choose(spans: Mapping[SchemaVersion, _Span]) -> tuple[SchemaVersion, list[str]]:
    """The schema to read, and what has to be said about the other one."""
    if len(spans) == 1:
        return next(iter(spans)), []
    v3, v4 = spans["v3"], spans["v4"]
    if abs(v3.newest - v4.newest) <= _SAME_AGE:
        taken: SchemaVersion = "v4" if v4.oldest <= v3.oldest else "v3"
        return taken, [f"Langfuse writes both schemas (dual mode); only {taken} was read, so nothing is counted twice."]
    taken = "v4" if v4.newest > v3.newest else "v3"
    stale: SchemaVersion = "v3" if taken == "v4" else "v4"
    note = f"The {stale} tables hold no traces after {spans[stale].newest:%Y-%m-%d %H:%M} UTC; they were not read."
    if spans[stale].oldest < spans[taken].oldest:
        note += f" The {taken} tables begin at {spans[taken].oldest:%Y-%m-%d %H:%M} UTC: what is older was not counted."
    return taken, [note]


def _read_span(
    reader: Reader, database: str, version: SchemaVersion, project_id: str, present: Mapping[str, frozenset[str]]
) -> _Span | None:
    """The project's traces in one schema, from first to last; None: there are none."""
    table, time = (f"`{database}`.`{_TABLES[version][0]}`", "timestamp" if version == "v3" else "start_time")
    columns = present.get("events_core" if version == "v4" else "observations", frozenset())
    special = ", countIf(trace_name = ''), countIf(experiment_id != '')" if version == "v4" else ""
    if version == "v4" and "tool_definitions" in columns:
        special += ", countIf(notEmpty(tool_definitions))"
    count, first, last, *found = reader.query(
        f"SELECT count(), min({time}), max({time}){special} FROM {table}"
        " WHERE project_id = {project_id:String} AND is_deleted = 0 AND NOT startsWith(environment, 'langfuse-')",
        {"project_id": project_id},
    ).rows[0]
    if count == 0:
        return None
    adapter: Adapter
    if version == "v3":
        experiments = "trace_id" in present.get("dataset_run_items_rmt", frozenset())
        noted, told = _tools_are_told(reader, database, project_id, "tool_definitions" in columns)
        adapter = V3(database, experiments, has_tools=noted or told, tools_in_inputs=told and not noted)
    else:
        unnamed, of_experiments, *with_tools = found
        named = unnamed == 0 or not _named_elsewhere(reader, table, project_id)
        alike = named and _attributes_agree(reader, table, project_id, count)
        adapter = V4(
            database, attributes_on_spans=alike, all_named=unnamed == 0, has_experiments=of_experiments > 0,
            has_tools=any(with_tools),
        )  # fmt: skip
    # Among these rows are superseded and deleted ones and experiments, so the edges are read again as traces.
    between = Window(start=parse_instant(str(first)), end=parse_instant(str(last)) + timedelta(milliseconds=1))
    exact = replace(adapter, has_moved_traces=True) if isinstance(adapter, V3) else adapter
    newest = _edge(reader, exact, project_id, between, "max")
    oldest = _edge(reader, exact, project_id, between, "min")
    return None if oldest is None or newest is None else _Span(adapter, oldest, newest)


def _tools_are_told(reader: Reader, database: str, project_id: str, recorded: bool) -> tuple[bool, bool]:
    """Whether calls have definitions of tools, in a column of their own and in their inputs.

    Looks at some model calls only; older versions of Langfuse have no such column.
    """
    own = "notEmpty(tool_definitions)" if recorded else "false"
    row = reader.query(
        f"SELECT countIf(noted) > 0, countIf(told) > 0 FROM (SELECT {own} AS noted,"
        " JSONType(ifNull(input, ''), 'tools', 1) = 'Object' AS told"
        f" FROM `{database}`.`observations` WHERE project_id = {{project_id:String}} AND type = 'GENERATION'"
        f" ORDER BY toDate(start_time) DESC LIMIT {_CALLS})",
        {"project_id": project_id},
    ).rows[0]
    return bool(row[0]), bool(row[1])


def _edge(
    reader: Reader, adapter: Adapter, project_id: str, between: Window, which: Literal["min", "max"]
) -> datetime | None:
    """The first or last trace, looked for near that end of the span before all of it is read."""
    for reach in (timedelta(days=1), timedelta(days=31), between.length):
        start, end = between.start, between.end
        if which == "max":
            start = max(start, end - reach)
        else:
            end = min(end, start + reach)
        before = Window(start=start - timedelta(milliseconds=1), end=start)
        near = Dataset(reader, adapter, project_id, Periods(window=Window(start=start, end=end), baseline=before))
        sql = near.bind(f"SELECT count(), {which}(timestamp) FROM traces", ("traces",))
        count, moment = reader.query(sql, near.parameters()).rows[0]
        if count:
            return parse_instant(str(moment))
    return None


def _named_elsewhere(reader: Reader, table: str, project_id: str) -> bool:
    """Whether a span without its trace's name belongs to a trace that has one, elsewhere or as its root's."""
    mine = "project_id = {project_id:String} AND is_deleted = 0"
    row = reader.query(
        f"SELECT count() FROM (SELECT 1 FROM {table} WHERE {mine}"
        f" AND trace_id IN (SELECT trace_id FROM {table} WHERE {mine} AND trace_name = '')"
        " GROUP BY trace_id HAVING max(trace_name) != '' OR maxIf(name, parent_span_id = '') != '' LIMIT 1)",
        {"project_id": project_id},
    ).rows[0]
    return bool(row[0])


def _attributes_agree(reader: Reader, table: str, project_id: str, spans: int) -> bool:
    """Whether all spans of a trace carry the same attributes, so that figures by trace need no join.

    Some senders set user and session on later spans only. Looks at a sample of the traces.
    """
    # Superseded versions may differ without harm, so each span's newest one is taken.
    newest = "argMax(cityHash64(trace_name, user_id, session_id, release, tags), event_ts) AS attributes"
    row = reader.query(
        "SELECT count() FROM (SELECT 1 FROM ("
        f"SELECT cityHash64(trace_id) AS trace, {newest}, argMax(is_deleted, event_ts) AS deleted FROM {table}"
        " WHERE project_id = {project_id:String} AND trace % {share:UInt64} = 0"
        " GROUP BY trace, cityHash64(span_id, start_time)) WHERE deleted = 0"
        " GROUP BY trace HAVING min(attributes) != max(attributes) LIMIT 1)",
        {"project_id": project_id, "share": max(1, spans // _LOOKED_AT)},
    ).rows[0]
    return bool(row[0] == 0)


def _other_projects(reader: Reader, database: str, there: Sequence[SchemaVersion]) -> str:
    union = " UNION DISTINCT ".join(f"SELECT project_id FROM `{database}`.`{_TABLES[version][0]}`" for version in there)
    found = reader.query(f"SELECT DISTINCT project_id FROM ({union}) ORDER BY project_id LIMIT 11")
    names = [_shown(str(row[0])) for row in found.rows]
    if not names:
        return "No project has any yet: check that the URL names Langfuse's database, or load sample data: hansei demo."
    more = " and others" if len(names) > 10 else ""
    return f"Projects with data: {', '.join(names[:10])}{more}. Name one with --project."


def _shown(name: str) -> str:
    """A project's id, which may be any text, fit for an error's one line."""
    line = " ".join("".join(character if character.isprintable() else " " for character in name).split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"


def adapter_data(adapter: Adapter) -> dict[str, str | bool]:
    """An adapter as plain data for the state; `adapter_from` makes it again."""
    return {"version": adapter.version, **{key: value for key, value in vars(adapter).items() if key != "version"}}


def adapter_from(data: Mapping[str, str | bool]) -> Adapter:
    """The adapter that `adapter_data` described."""
    arguments = {key: value for key, value in data.items() if key != "version"}
    kind: Callable[..., Adapter] = V4 if data["version"] == "v4" else V3
    return kind(**arguments)
