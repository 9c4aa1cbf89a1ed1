"""The checks behind `hansei doctor`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.integration.conftest import PASSWORD, Place
from tests.support.clickhouse_http import RunningServer, User, start_server

from hansei.tools.clickhouse import open_reader, open_writer
from hansei.tools.clickhouse.check import CheckResult, check_connection

NAMES = ["connection", "version", "read-only session", "limits", "grants", "clock", "time zone"]


def by_name(results: list[CheckResult]) -> dict[str, CheckResult]:
    assert all(bool(result.remedy) == (result.ok is not True) for result in results)
    assert all("hunter2" not in repr(result) and "\n" not in result.detail + result.remedy for result in results)
    return {result.name: result for result in results}


@pytest.fixture(scope="module")
def questionable_server() -> Iterator[RunningServer]:
    """A server in another time zone, whose users have profiles that spoil an analysis."""
    users = {
        "default": User(),
        "cutting": User(PASSWORD, init=["SET result_overflow_mode = 'break'", "SET readonly = 1"]),
        "loose": User(PASSWORD, init=["SET readonly = 2"]),
        "clerk": User(PASSWORD, grants=["SELECT ON lf.traces", "SELECT(id) ON lf.scores"]),
        "stranger": User(PASSWORD, grants=["SELECT ON elsewhere.traces", "SHOW DATABASES ON lf.*"]),
    }
    with start_server(users=users, timezone="Asia/Tokyo") as server:
        writer = open_writer(server.url(database="lf"))
        for table in ("traces", "scores", "observations"):
            writer.command(f"CREATE TABLE {table} (id UInt8, name String) ENGINE = MergeTree ORDER BY id")
        writer.close()
        yield server


def test_all_is_fine(place: Place) -> None:
    writer = open_writer(place.url)
    writer.command("CREATE OR REPLACE TABLE traces (id UInt8, project_id String) ENGINE = MergeTree ORDER BY id")
    writer.close()

    results = check_connection(place.url)

    # A server's user that may write is bound by what is sent along alone: worth a note, whatever is sent.
    fine = {name: None if name == "read-only session" and place.engine != "embedded" else True for name in NAMES}
    assert {result.name: result.ok for result in results} == fine
    assert by_name(results)["grants"].detail == f"may read all 1 tables of {place.database}"


def test_an_open_session_stays_open(place: Place) -> None:
    reader = open_reader(place.url)

    assert by_name(check_connection(reader))["connection"].ok
    assert reader.query("SELECT 1").rows == [[1]]
    reader.close()


def test_no_connection_is_one_failed_check(clickhouse_server: RunningServer) -> None:
    (result,) = check_connection(clickhouse_server.url("analyst", "hunter2"))

    assert (result.name, result.ok) == ("connection", False)
    by_name([result])


@pytest.mark.parametrize(
    ("user", "check", "ok", "words"),
    [
        ("cutting", "limits", False, "result_overflow_mode"),
        ("loose", "read-only session", None, "lift its own limits"),
        ("clerk", "read-only session", None, "the user itself is held to neither"),
        ("clerk", "grants", None, "scores"),
        ("stranger", "grants", False, "no tables"),
        ("default", "time zone", False, "Asia/Tokyo"),
    ],
)
def test_what_spoils_an_analysis_is_found(
    questionable_server: RunningServer, user: str, check: str, ok: bool | None, words: str
) -> None:
    results = by_name(check_connection(questionable_server.url(user, "" if user == "default" else PASSWORD, "lf")))

    assert list(results) == NAMES
    assert results[check].ok is ok
    assert words in results[check].detail


def test_a_profile_without_limits_is_noted(clickhouse_server: RunningServer) -> None:
    results = by_name(check_connection(clickhouse_server.url("analyst", PASSWORD)))

    assert results["limits"].ok is None
    assert "hansei doctor --sql" in results["limits"].remedy
    assert "max_execution_time" in results["limits"].detail
    assert results["read-only session"].ok
