"""Is the connection fit for an analysis? One check after the other, for `hansei doctor`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pydantic import SecretStr

from hansei.context import Limits
from hansei.contracts import parse_instant
from hansei.errors import HanseiError, PermissionMissing
from hansei.tools.clickhouse.reader import Reader, open_reader
from hansei.tools.clickhouse.settings import session_settings

OLDEST_VERSION = (24, 3)
"""Langfuse v3 asks for this ClickHouse or a later one; FINAL and the query parameters that Hansei uses need less."""

HOW_TO = "hansei doctor --sql --project ID prints the statements."

OPEN_FIRST = (
    "Let Hansei open the directory before other code of this process does, in a database whose name has only letters, "
    "digits, _ and -."
)

BOUNDS = (
    "max_execution_time",
    "max_memory_usage",
    "max_rows_to_read",
    "max_bytes_to_read",
    "max_result_rows",
    "max_result_bytes",
)
"""The settings that bound a query; 0 stands for no bound."""

CLOCK_TOLERANCE = timedelta(seconds=30)


@dataclass(frozen=True)
class CheckResult:
    """One check. `ok` is None when it could not be made or is only worth a note; `remedy` is empty when it is True."""

    name: str
    ok: bool | None
    detail: str
    remedy: str = ""


def check_connection(source: Reader | SecretStr | str, limits: Limits | None = None) -> list[CheckResult]:
    """Connection, session, grants, clock, time zone and version of a ClickHouse.

    Args:
        source: an open session, or a URL (then a session is opened and closed again).
        limits: the bounds of that session.

    Returns:
        The checks in order. When the connection fails it is the only one. Never raises a `HanseiError`.
    """
    try:
        reader = source if isinstance(source, Reader) else open_reader(source, limits)
    except HanseiError as error:
        return [CheckResult("connection", False, error.message, error.remedy)]
    try:
        return list(_checks(reader))
    finally:
        if reader is not source:
            reader.close()


def _checks(reader: Reader) -> Iterator[CheckResult]:
    checks: tuple[tuple[str, Callable[[Reader], CheckResult]], ...] = (
        ("connection", _round_trip),
        ("version", _version),
        ("read-only session", _read_only),
        ("limits", _limits),
        ("grants", _grants),
        ("clock", _clock),
        ("time zone", _time_zone),
    )
    for name, check in checks:
        try:
            yield check(reader)
        except HanseiError as error:
            yield CheckResult(name, False, error.message, error.remedy)
            if name == "connection":
                return


def _round_trip(reader: Reader) -> CheckResult:
    started = time.perf_counter()
    reader.query("SELECT 1")
    milliseconds = (time.perf_counter() - started) * 1000
    return CheckResult(
        "connection", True, f"{reader.target.display}, ClickHouse {reader.version}, round trip {milliseconds:.0f} ms"
    )


def _version(reader: Reader) -> CheckResult:
    numbers = tuple(int(part) for part in reader.version.split(".")[:2] if part.isdigit())
    if numbers < OLDEST_VERSION:
        return CheckResult(
            "version",
            False,
            f"ClickHouse {reader.version} is older than {'.'.join(map(str, OLDEST_VERSION))}.",
            "Upgrade ClickHouse to a version that Langfuse supports.",
        )
    return CheckResult("version", True, f"ClickHouse {reader.version}")


def _read_only(reader: Reader) -> CheckResult:
    """What holds the session to reading, and what that leaves open."""
    if reader.engine == "chdb":
        return _embedded_session(reader)
    match reader.session.readonly:
        case 1:
            return CheckResult(
                "read-only session",
                True,
                "no inserts, no DDL, no change of settings (readonly = 1 in the user's profile)",
            )
        case 2:
            return CheckResult(
                "read-only session",
                None,
                "the engine refuses writes, but a query could lift its own limits (readonly = 2 in the user's "
                "profile). "
                "Hansei sends them with each query, and its SQL guard lets none change them",
                f"Have an administrator set readonly = 1 with the limits in the user's profile: {HOW_TO}",
            )
    return CheckResult(
        "read-only session",
        None,
        "Hansei sends readonly = 1 and its limits with each query; the user itself is held to neither, and whoever "
        "has its password may do all that it is granted",
        f"Give Hansei a user of its own, with readonly = 1 in its profile: {HOW_TO}",
    )


def _embedded_session(reader: Reader) -> CheckResult:
    if reader.session.roles:
        return CheckResult(
            "read-only session",
            True,
            "no inserts, no DDL, no change of settings; a run sees Langfuse's tables alone. file() and INTO OUTFILE "
            "are left to the SQL guard",
        )
    return CheckResult(
        "read-only session",
        None,
        "no inserts, no DDL, no change of settings; but the engine knows no roles for this database, so tables and "
        "projects are kept apart by the SQL guard alone",
        OPEN_FIRST,
    )


def _limits(reader: Reader) -> CheckResult:
    """Whether our limits are in force, and whether a profile cuts results silently instead of refusing them."""
    values = _setting_values(reader)
    cutting = [name for name in values if name.endswith("_overflow_mode") and values[name] != "throw"]
    if cutting:
        return CheckResult(
            "limits",
            False,
            f"The user's profile cuts large results silently ({', '.join(cutting)}), so figures could be too low.",
            "Have an administrator set these to 'throw' in the profile.",
        )
    missing = [name for name in BOUNDS if float(values[name]) == 0]
    if missing:
        return CheckResult(
            "limits",
            None,
            f"a query is not bounded by the engine ({', '.join(missing)} may not be set by this user)",
            f"Have an administrator set them in the user's profile: {HOW_TO}",
        )
    return CheckResult(
        "limits",
        True,
        f"a query may take {float(values['max_execution_time']):,.0f} s and "
        f"{int(values['max_memory_usage']) / 1e6:,.0f} MB of memory, read {int(values['max_rows_to_read']):,} rows and "
        f"{int(values['max_bytes_to_read']) / 1e9:,.0f} GB, return {int(values['max_result_rows']):,} rows and "
        f"{int(values['max_result_bytes']) / 1e6:,.0f} MB",
    )


def _grants(reader: Reader) -> CheckResult:
    """Reads one row of each table that the user may see in the database of the URL."""
    database = reader.target.database
    listed = reader.query(
        "SELECT name FROM system.tables WHERE database = {database:String} AND engine LIKE '%MergeTree' ORDER BY name",
        {"database": database},
    )
    names = [str(row[0]) for row in listed.rows]
    if not names:
        return CheckResult(
            "grants",
            False,
            f"The database {database} has no tables that this user may read.",
            "Name Langfuse's database in the URL, or have an administrator run: "
            f"GRANT SELECT ON {database}.* TO {reader.target.username or 'default'};",
        )
    denied: list[str] = []
    remedy = ""
    for name in names:
        try:
            reader.query(
                "SELECT * FROM {database:Identifier}.{name:Identifier} LIMIT 0", {"database": database, "name": name}
            )
        except PermissionMissing as error:
            denied.append(name)
            remedy = remedy or error.remedy
    if denied:
        return CheckResult("grants", None, f"this user may not read all of {', '.join(denied)}", remedy)
    return CheckResult("grants", True, f"may read all {len(names)} tables of {database}")


def _clock(reader: Reader) -> CheckResult:
    before = datetime.now(UTC)
    server = parse_instant(str(reader.query("SELECT now64(3, 'UTC')").rows[0][0]))
    after = datetime.now(UTC)
    apart = max(before - server, server - after, timedelta(0))
    if apart > CLOCK_TOLERANCE:
        return CheckResult(
            "clock",
            False,
            f"ClickHouse's clock and this machine's are {apart.total_seconds():,.0f} s apart.",
            "Set both clocks by NTP: windows that end now would miss traces or reach into the future.",
        )
    return CheckResult("clock", True, f"within {CLOCK_TOLERANCE.total_seconds():.0f} s of this machine's")


def _time_zone(reader: Reader) -> CheckResult:
    zone = str(reader.query("SELECT timezone()").rows[0][0])
    if zone in ("UTC", "Etc/UTC", "Etc/UCT", "UCT", "Zulu", "GMT", "Etc/GMT"):
        return CheckResult("time zone", True, zone)
    return CheckResult(
        "time zone",
        False,
        f"ClickHouse runs in {zone}; Langfuse needs UTC.",
        "Set <timezone>UTC</timezone> in the server's configuration (for chdb: TZ=UTC before the process starts).",
    )


def _setting_values(reader: Reader) -> dict[str, str]:
    answer = reader.query(
        "SELECT name, value FROM system.settings WHERE name IN {names:Array(String)}",
        {"names": list(session_settings(reader.limits))},
    )
    return {str(name): str(value) for name, value in answer.rows}
