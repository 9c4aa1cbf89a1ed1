"""The read-only session, the same on every engine."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.integration.conftest import Place
from tests.support.failures import failure_of

from hansei.context import Context, Limits
from hansei.errors import ConnectionFailed, HanseiError, PermissionMissing, QueryFailed, UsageError
from hansei.tools.clickhouse import Reader, close_readers, open_reader, open_writer, shared_reader

MOMENT = datetime(2026, 11, 20, 12, 30, 45, 678_901, tzinfo=UTC)
ROWS = 20_000


@pytest.fixture(scope="module")
def filled(place: Place) -> Place:
    """A place with `steps`: ROWS rows and a newer version of each tenth, in two unmerged parts."""
    writer = open_writer(place.url)
    writer.command(
        "CREATE TABLE steps (id UInt32, at DateTime64(3), name String, cost Decimal64(12), secret String, "
        "version DateTime64(3), is_deleted UInt8) ENGINE = ReplacingMergeTree(version, is_deleted) "
        "PARTITION BY toYYYYMM(at) ORDER BY (toDate(at), id)"
    )
    writer.command("SYSTEM STOP MERGES steps")
    for step, version in ((1, "2026-01-01"), (10, "2026-01-02")):
        writer.command(
            f"INSERT INTO steps SELECT number * {step}, toDateTime64('2026-10-01', 3) + number * {step} * 300, "
            f"concat('step ', toString(number % 3)), 0.1, 'hunter2', '{version}', 0 FROM numbers({ROWS // step})"
        )
    writer.close()
    return place


@pytest.fixture
def reader(filled: Place) -> Iterator[Reader]:
    session = open_reader(filled.url)
    yield session
    session.close()


def one(reader: Reader, expression: str, parameters: dict[str, Any] | None = None, source: str = "") -> Any:
    return reader.query(f"SELECT {expression} AS x {source}", parameters).rows[0][0]


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("String", 'it\'s "a" \\ new\nline\ttab \0 {x:UInt8} %s é 🙂', None),
        ("String", "", None),
        ("Nullable(String)", None, None),
        ("Array(String)", ["a'b", "\n\\", "", "é", "NULL"], None),
        ("Array(String)", [], None),
        ("Array(Nullable(String))", ["a", None], None),
        ("UInt64", 2**64 - 1, None),
        ("Int64", -(2**63), None),
        ("Float64", 1e-300, None),
        ("Float64", 0.1, None),
        ("Bool", True, None),
        ("Decimal(18, 12)", Decimal("0.000000000003"), 0.000000000003),
        ("DateTime64(6)", MOMENT, "2026-11-20T12:30:45.678901Z"),
        ("DateTime64(6)", "2026-11-20T12:30:45.678901Z", "2026-11-20T12:30:45.678901Z"),
        ("DateTime64(3)", MOMENT.replace(tzinfo=None), "2026-11-20T12:30:45.678Z"),
        ("DateTime", MOMENT, "2026-11-20T12:30:45Z"),
        ("DateTime64(3, 'Asia/Tokyo')", MOMENT, "2026-11-20T12:30:45.678Z"),
        ("Array(DateTime64(3))", [MOMENT], ["2026-11-20T12:30:45.678Z"]),
        ("DateTime64(6)", "1999-12-31T23:59:59.999999Z", None),
        ("DateTime64(6)", "1969-07-20T20:17:40.500Z", None),
        ("Date", "2026-11-20", None),
        ("Array(Tuple(String, UInt8))", [["it's", 1]], None),
    ],
)
def test_parameters_arrive_as_they_were_sent(reader: Reader, kind: str, value: Any, expected: Any) -> None:
    assert one(reader, f"{{p:{kind}}}", {"p": value}) == (value if expected is None else expected)


def test_a_long_list_of_parameters_arrives(reader: Reader) -> None:
    names = [f"trace-{number:05d}-'é" for number in range(5_000)]

    assert one(reader, "arraySort({names:Array(String)})", {"names": names}) == names


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("toDecimal64('1.1', 12)", 1.1),
        ("CAST('b', 'Enum8(\\'a\\' = 1, \\'b\\' = 2)')", "b"),
        ("toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0')", "61f0c404-5cb3-11e7-907b-a6006ad3dba0"),
        ("map('input', toUInt64(7))", {"input": 7}),
        ("(1, 'a', [toDate('2026-11-20')])", [1, "a", ["2026-11-20"]]),
        ("nan", None),
        ("[1 / 0, 0.5]", [None, 0.5]),
        ("NULL", None),
        ("toLowCardinality('x')", "x"),
        ("true", True),
        ("toUInt256('115792089237316195423570985008687907853269984665640564039457584007913129639935')", 2**256 - 1),
        ("toFixedString('ab', 2)", "ab"),
        ("toIPv4('10.0.0.1')", "10.0.0.1"),
        ("now64(3, 'UTC') > toDateTime64('2020-01-01', 3, 'UTC')", 1),
        ("'%s and %(x)s and 100%'", "%s and %(x)s and 100%"),
    ],
)
def test_answers_are_plain_json(reader: Reader, expression: str, expected: Any) -> None:
    assert one(reader, expression) == expected


def test_a_result_without_rows_keeps_its_columns(reader: Reader) -> None:
    result = reader.query("SELECT id, at, 'x' AS label FROM steps WHERE name = {name:String}", {"name": "no such step"})

    assert (result.columns, result.rows) == (["id", "at", "label"], [])
    assert reader.columns("SELECT id, name FROM steps WHERE id > 4000000000 -- none") == {"id": [], "name": []}
    assert reader.query("SELECT id FROM steps LIMIT 0").columns == ["id"]


def test_columns_come_as_the_driver_delivers_them(reader: Reader) -> None:
    columns = reader.columns("SELECT id, at, cost FROM steps FINAL ORDER BY id LIMIT 2")

    assert list(columns["id"]) == [0, 1]
    assert columns["at"][1] == datetime(2026, 10, 1, 0, 5, tzinfo=UTC)
    assert columns["cost"][0] == Decimal("0.1")


def test_rows_read_counts_what_was_read_from_tables(reader: Reader) -> None:
    assert reader.query("SELECT count(), sum(cost) FROM steps").rows_read == ROWS + ROWS // 10
    assert reader.query("SELECT sum(cost) FROM steps WHERE at >= '2026-11-01'").rows_read < ROWS


def test_a_sum_of_decimals_is_exact(reader: Reader) -> None:
    assert one(reader, "toFloat64(sum(cost))", source="FROM steps FINAL") == ROWS / 10
    assert one(reader, "sum(cost)", source="FROM steps FINAL") == ROWS / 10


def test_the_newest_version_of_a_row_counts(reader: Reader) -> None:
    versions = reader.query("SELECT toDate(version) AS day, count() FROM steps FINAL GROUP BY day ORDER BY day").rows

    assert versions == [["2026-01-01", ROWS - ROWS // 10], ["2026-01-02", ROWS // 10]]
    assert one(reader, "getSetting('do_not_merge_across_partitions_select_final')") is True


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO steps (id) VALUES (1)",
        "DROP TABLE steps",
        "ALTER TABLE steps DELETE WHERE 1",
        "CREATE TABLE more (x UInt8) ENGINE = Memory",
        "TRUNCATE TABLE steps",
        "SELECT 1 SETTINGS max_execution_time = 0",
        "SET readonly = 0",
        "SET max_memory_usage = 0",
    ],
)
def test_nothing_can_be_written_and_no_limit_lifted(reader: Reader, sql: str) -> None:
    # An embedded session lacks the privilege too; a server's user here has them all.
    is_ungranted = reader.engine == "chdb" and not sql.startswith(("SELECT", "SET"))
    error = failure_of(lambda: reader.query(sql), PermissionMissing if is_ungranted else QueryFailed, sql)

    assert isinstance(error, PermissionMissing) or error.name == "READONLY"
    assert one(reader, "count()", source="FROM steps FINAL") == ROWS


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELEC 1 FROM hunter2", 62),
        ("SELECT hunter2 FROM steps", 47),
        ("SELECT 1 FROM hunter2", 60),
        ("SELECT hunter2(1)", 46),
        ("SELECT {hunter2:String}", 456),
        ("SELECT toInt32(secret) FROM steps", 6),
        ("SELECT throwIf(secret != '', 'hunter2') FROM steps", 395),
        ("SELECT 1 FROM nowhere_hunter2.steps", 81),
    ],
)
def test_a_refused_query_tells_its_code_but_neither_sql_nor_values(reader: Reader, sql: str, code: int) -> None:
    kind: type[HanseiError] = ConnectionFailed if code == 81 else QueryFailed
    error = failure_of(lambda: reader.query(sql), kind, "hunter2")

    if isinstance(error, QueryFailed):
        assert error.code == code
        assert str(code) in error.message
        assert not error.retryable
    assert one(reader, "1") == 1


@pytest.mark.parametrize(
    ("limits", "sql", "code", "words"),
    [
        (Limits(seconds=1), "SELECT count() FROM numbers(9000000000) WHERE sipHash64(number) = 1", 159, "1 s"),
        (Limits(memory_bytes=50_000_000), "SELECT groupArray(number) FROM numbers(100000000)", 241, "50 MB"),
        (Limits(result_rows=100), "SELECT number FROM numbers(101)", 396, "too many rows"),
        (Limits(result_rows=100), "SELECT number FROM numbers(1000000)", 396, "too many rows"),
        (Limits(rows_read=100), "SELECT count() FROM numbers(101)", 158, "reads too much"),
        (Limits(bytes_read=800), "SELECT count() FROM numbers(100000) WHERE number % 3", 307, "reads too much"),
        (
            Limits(result_bytes=1_000_000),
            "SELECT repeat(toString(number), 10000) FROM numbers(200)",
            396,
            "too many rows or bytes",
        ),
    ],
)
def test_a_query_that_breaks_a_limit_is_stopped(filled: Place, limits: Limits, sql: str, code: int, words: str) -> None:
    session = open_reader(filled.url, limits)

    error = failure_of(lambda: session.query(sql), QueryFailed, "numbers")

    assert error.code == code
    assert words in error.message
    assert one(session, "1") == 1
    session.close()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT number FROM numbers(10000000)",
        "SELECT 'row ' || toString(l.number) FROM numbers(2000) AS l CROSS JOIN numbers(2000) AS r",
        "SELECT toString(number), throwIf(number = 150000) FROM numbers(1000000)",
        "SELECT toUInt8(if(number < 150000, '1', 'x')) FROM numbers(1000000)",
    ],
)
def test_nothing_of_a_query_that_failed_half_way_comes_with_the_next_answer(filled: Place, sql: str) -> None:
    session = open_reader(filled.url, Limits(result_rows=160_000))

    failure_of(lambda: session.query(sql), QueryFailed)

    assert [one(session, str(number)) for number in range(3)] == [0, 1, 2]
    assert one(session, "getSetting('readonly')") == 1
    session.close()


def test_a_result_of_exactly_the_limit_is_whole(filled: Place) -> None:
    session = open_reader(filled.url, Limits(result_rows=100))

    assert len(session.query("SELECT number FROM numbers(100)").rows) == 100
    session.close()


@pytest.mark.parametrize("expression", ["sumState(id)", "1 AS `hunter2\\xff`"])
def test_an_answer_that_cannot_be_read(reader: Reader, expression: str) -> None:
    error = failure_of(lambda: reader.query(f"SELECT {expression} FROM steps"), QueryFailed, "hunter2")

    assert "cannot be read" in error.message
    assert reader.query("SELECT 'a\\xffb' AS x").rows == [["61ff62"]]


def test_an_unknown_database_is_named_with_its_remedy(filled: Place) -> None:
    url = filled.url.replace(filled.database, "hunter_database")

    error = failure_of(lambda: open_reader(url), ConnectionFailed)

    assert "no such database" in error.message
    assert "end of the URL" in error.remedy


def test_threads_share_a_session(reader: Reader) -> None:
    def ask(number: int) -> list[list[Any]]:
        return reader.query("SELECT {n:UInt32}, count() FROM steps FINAL WHERE id < {n:UInt32}", {"n": number}).rows

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(100, 140)))

    assert answers == [[[number, number]] for number in range(100, 140)]


def test_a_closed_session_says_so(filled: Place) -> None:
    session = open_reader(filled.url)
    session.close()
    session.close()

    assert "closed" in failure_of(lambda: session.query("SELECT 1"), QueryFailed).message


def test_a_process_shares_one_session_per_url_and_limits(filled: Place) -> None:
    context = Context(clickhouse_url=filled.url)
    other = Context(clickhouse_url=filled.url, limits=Limits(seconds=5))

    first = shared_reader(context)
    assert shared_reader(context) is first
    assert shared_reader(other) is not first

    close_readers("clickhouse://elsewhere/lf")
    assert shared_reader(context) is first
    close_readers(filled.url)
    assert "closed" in failure_of(lambda: first.query("SELECT 1"), QueryFailed).message

    again = shared_reader(context)
    assert one(again, "1") == 1
    close_readers()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are counted on Linux")
def test_sessions_that_are_closed_leave_no_file_open(filled: Place) -> None:
    """As long as one is open: when the last one of the embedded engine is closed, the engine leaves some by itself."""

    def opened_and_closed() -> int:
        reader = open_reader(filled.url)
        assert reader.query("SELECT 1").rows == [[1]]
        reader.close()
        return len(list(Path("/proc/self/fd").iterdir()))

    holding = open_reader(filled.url)
    try:
        first = [opened_and_closed() for _ in range(3)][-1]
        assert [opened_and_closed() for _ in range(20)][-1] < first + 20
    finally:
        holding.close()


def test_loading_and_reading_take_turns_in_one_process(place: Place) -> None:
    writer = open_writer(place.url)
    writer.command("CREATE OR REPLACE TABLE turns (x UInt8) ENGINE = MergeTree ORDER BY x")
    session = shared_reader(Context(clickhouse_url=place.url))
    for number in range(3):
        writer.insert("turns", [[number]], column_names=["x"])
        assert one(session, "count()", source="FROM turns") == number + 1
    writer.close()
    close_readers()

    assert one(shared_reader(Context(clickhouse_url=place.url)), "count()", source="FROM turns") == 3
    close_readers()


def test_without_a_url_the_remedy_names_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HANSEI_CLICKHOUSE_URL", raising=False)

    error = failure_of(lambda: shared_reader(Context()), UsageError)

    assert "HANSEI_CLICKHOUSE_URL" in error.remedy
    assert "--clickhouse" in error.remedy
