"""Is everything there that an analysis needs? What `hansei doctor` shows, one check after the other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Literal

from hansei.context import Context
from hansei.errors import HanseiError, PermissionMissing, QueryFailed, UsageError
from hansei.tools.clickhouse import Reader, shared_reader
from hansei.tools.clickhouse.access import LANGFUSE_TABLES
from hansei.tools.clickhouse.check import CLOCK_TOLERANCE, HOW_TO, OPEN_FIRST, CheckResult, check_connection
from hansei.tools.clickhouse.provision import Setup, quoted
from hansei.tools.langfuse.schema import detect, tables

Status = Literal["ok", "note", "failed", "skipped"]
"""note: an analysis works, and something is worth knowing or doing."""


@dataclass(frozen=True)
class Health:
    """The outcome of one check; `remedy` is empty unless there is something to do."""

    name: str
    status: Status
    detail: str
    remedy: str = ""


def examine(context: Context, project_id: str | None) -> Iterator[Health]:
    """Runs the checks in order. What cannot be checked because an earlier check failed is skipped and says so."""
    try:
        reader = shared_reader(context)
    except HanseiError as error:
        yield Health("connection", "failed", error.message, error.remedy)
        for name in ("permissions", "tenancy", "schema"):
            yield Health(name, "skipped", "there is no connection")
    else:
        for result in check_connection(reader):
            if result.name != "grants":  # `_permissions` asks about Langfuse's own tables
                yield _from_connection(result)
        yield _outcome("permissions", lambda: _permissions(reader))
        yield _outcome("tenancy", lambda: _tenancy(context, project_id))
        yield _outcome("schema", lambda: _schema(reader, project_id))
    yield _tracing()


def _from_connection(result: CheckResult) -> Health:
    status: Status = "ok" if result.ok else "note" if result.ok is None else "failed"
    return Health(result.name, status, result.detail, result.remedy)


def _outcome(name: str, check: Callable[[], str | Health]) -> Health:
    try:
        found = check()
    except HanseiError as error:
        return Health(name, "failed", error.message, error.remedy)
    return found if isinstance(found, Health) else Health(name, "ok", found)


def _permissions(reader: Reader) -> str:
    readable = _readable(reader)
    for name in readable:
        reader.query(f"SELECT count() FROM {_table(reader, name)} WHERE project_id = ''")
    return f"may read {', '.join(readable)}"


def _readable(reader: Reader) -> list[str]:
    database = reader.target.database
    found = tables(reader, database)
    readable = [name for name in LANGFUSE_TABLES if name in found]
    if not readable:
        raise PermissionMissing(
            f"The database “{database}” has no Langfuse tables that this user may read.",
            f"Name Langfuse's database in the URL, or: GRANT SELECT ON {database}.* TO <user>.",
        )
    return readable


def _table(reader: Reader, name: str) -> str:
    return f"{quoted(reader.target.database)}.{quoted(name)}"


def _tenancy(context: Context, project_id: str | None) -> Health:
    """Whether ClickHouse itself keeps other projects' rows, and what else is not Hansei's business, out of reach."""
    if project_id is None:
        return Health("tenancy", "skipped", "no project is named: give --project or set HANSEI_PROJECT_ID")
    reader = shared_reader(context, project_id=project_id)
    open_still = [
        name
        for name in _readable(shared_reader(context))
        if reader.query(
            f"SELECT 1 FROM {_table(reader, name)} WHERE project_id != {{project_id:String}} LIMIT 1",
            {"project_id": project_id},
        ).rows
    ]
    remedy = (
        f"Give the project a user of its own with a row policy: {HOW_TO}" if reader.engine == "http" else OPEN_FIRST
    )
    if open_still:
        return Health(
            "tenancy",
            "note",
            f"this session can read other projects' rows in {', '.join(open_still)}; the SQL guard alone keeps to the "
            "project",
            remedy,
        )
    if reader.engine == "chdb":
        return Health("tenancy", "ok", "the engine shows a run its own project's rows, and nothing else")
    if _reads(reader, "system.query_log"):
        return Health(
            "tenancy",
            "note",
            "no rows of other projects can be read, but system.query_log can, which holds other users' SQL",
            f"Give Hansei a user with SELECT on Langfuse's tables alone: {HOW_TO}",
        )
    return Health("tenancy", "ok", "no rows of other projects can be read")


def _reads(reader: Reader, table: str) -> bool:
    try:
        reader.query(f"SELECT 1 FROM {table} LIMIT 0")
    except (PermissionMissing, QueryFailed):
        return False
    return True


def user_setup(context: Context, project_id: str) -> Setup:
    """The user that a server should give to Hansei for one project, made out for the database and tables found.

    Raises:
        UsageError: an embedded ClickHouse has no users.
        HanseiError: it cannot be reached, or no table can be seen.
    """
    reader = shared_reader(context)
    if reader.engine == "chdb":
        raise UsageError(
            "An embedded ClickHouse has no users: Hansei gives each of its sessions a role when it starts the engine.",
            "Name a server: --clickhouse clickhouse://user:password@host:8123/database.",
        )
    readable = _readable(reader)
    engines = reader.query(
        "SELECT name, engine FROM system.tables WHERE database = {database:String}",
        {"database": reader.target.database},
    )
    # Langfuse makes replicated tables on a cluster of this name unless CLICKHOUSE_CLUSTER_NAME says otherwise.
    is_cluster = any(name in readable and str(engine).startswith("Replicated") for name, engine in engines.rows)
    return Setup(
        reader.target.database,
        readable,
        project_id,
        context.limits,
        context.budget,
        cluster="default" if is_cluster else "",
    )


def _schema(reader: Reader, project_id: str | None) -> str | Health:
    if project_id is None:
        return Health("schema", "skipped", "no project is named: give --project or set HANSEI_PROJECT_ID")
    source = detect(reader, reader.target.database, project_id)
    if source.newest > datetime.now(UTC) + CLOCK_TOLERANCE:
        return Health(
            "schema",
            "failed",
            f"The newest trace is dated {source.newest:%Y-%m-%d %H:%M} UTC, in the future.",
            "An application's clock is ahead: set it, and name the end of the window with --until meanwhile.",
        )
    span = f"{source.oldest:%Y-%m-%d} to {source.newest:%Y-%m-%d %H:%M} UTC"
    return " ".join((f"{source.adapter.version}, traces from {span}.", *source.notes))


def _tracing() -> Health:
    """Whether Langfuse takes the keys that Hansei's own runs are traced with. Waits five seconds at most."""
    keys = {name: os.environ.get(name) for name in ("LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY")}
    missing = [name for name, value in keys.items() if not value]
    if len(missing) == len(keys):
        return Health("tracing", "skipped", "off: LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY are not set")
    if missing:
        return Health("tracing", "failed", f"{missing[0]} is not set, its partner is.", "Set both, or neither.")

    import httpx

    from hansei.tools.langfuse.connection import Server

    base_url = os.environ.get("LANGFUSE_BASE_URL") or os.environ.get("LANGFUSE_HOST") or "https://cloud.langfuse.com"
    server = Server(base_url.rstrip("/"), keys["LANGFUSE_PUBLIC_KEY"] or "", keys["LANGFUSE_SECRET_KEY"] or "")
    try:
        with server.http() as http:
            answer = http.get(f"{server.base_url}/api/public/projects", headers=server.headers())
    except (httpx.HTTPError, httpx.InvalidURL, OSError):
        return Health("tracing", "failed", "Langfuse cannot be reached.", "Check LANGFUSE_BASE_URL and the network.")
    if answer.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return Health("tracing", "failed", "Langfuse refuses the keys.", "Copy both from Langfuse's project settings.")
    if not answer.is_success:
        return Health("tracing", "failed", f"Langfuse answers {answer.status_code}.", "Check LANGFUSE_BASE_URL.")
    return Health("tracing", "ok", "Langfuse takes the keys")
