"""What ClickHouse says of a failed query quotes values of rows. Nothing of that comes further than the driver."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator

import pytest
from tests.integration.conftest import Place

from hansei.errors import HanseiError, QueryFailed
from hansei.tools.clickhouse import Reader, open_reader, open_writer

CANARY = "c4n4ry"
VALUE = "(SELECT max(secret) FROM vault)"
NUMBER = "(SELECT max(number) FROM vault)"
DIGITS = "4815162342"

LEAKS = {
    "a number": "SELECT toInt32(secret) FROM vault",
    "a small number": "SELECT toUInt8(secret) FROM vault",
    "a float": "SELECT toFloat64(secret) FROM vault",
    "a decimal": "SELECT toDecimal64(secret, 2) FROM vault",
    "a decimal that is too large": f"SELECT toDecimal32({DIGITS}000 + number, 2) FROM vault",
    "a date": "SELECT toDate(secret) FROM vault",
    "a time": "SELECT toDateTime(secret) FROM vault",
    "a parsed time": "SELECT parseDateTime(secret, '%Y-%m-%d') FROM vault",
    "a time in best effort": "SELECT parseDateTimeBestEffort(secret) FROM vault",
    "a UUID": "SELECT toUUID(secret) FROM vault",
    "an address": "SELECT toIPv4(secret) FROM vault",
    "an address of six": "SELECT toIPv6(secret) FROM vault",
    "a boolean": "SELECT secret::Bool FROM vault",
    "an enum": "SELECT secret::Enum8('a' = 1) FROM vault",
    "an array": "SELECT secret::Array(UInt8) FROM vault",
    "a map": "SELECT secret::Map(String, UInt8) FROM vault",
    "an accurate cast": "SELECT accurateCast(number, 'UInt8') FROM vault",
    "a parsed JSON": "SELECT ('{{' || secret)::JSON FROM vault",
    "an interval": "SELECT parseTimeDelta(secret) FROM vault",
    "a type": f"SELECT CAST(1, {VALUE})",
    "a regular expression": f"SELECT match('a', '(' || {VALUE})",
    "an aggregate": f"SELECT arrayReduce({VALUE}, [1])",
    "an element": f"SELECT tupleElement((1, 2), {VALUE})",
    "a setting": f"SELECT getSetting({VALUE})",
    "a time zone": f"SELECT toTimeZone(now(), {VALUE})",
    "a format": f"SELECT formatDateTime(now(), '%') , parseDateTime({VALUE}, '%d')",
    "a dictionary": f"SELECT dictGet({VALUE}, 'a', 1)",
    "a macro": f"SELECT getMacro({VALUE})",
    "a unit": f"SELECT dateDiff({VALUE}, now(), now())",
    "throwIf": f"SELECT throwIf(1, {VALUE})",
    "throwIf with a grant": f"SELECT throwIf(1, 'necessary to have the grant SELECT ON ' || {VALUE} || '.x')",
    "throwIf with a code": f"SELECT throwIf(1, 'Code: 497. necessary to have the grant SELECT ON a.' || {VALUE})",
    "a range": f"SELECT range({NUMBER})",
    "an index": f"SELECT arrayElement([1], -{NUMBER}), toInt8(secret) FROM vault",
    "a limit": f"SELECT 1 LIMIT {VALUE}",
    "a column of another name": f"SELECT getSubcolumn(tuple(1), {VALUE})",
    "a file": f"SELECT file({VALUE})",
    "a fixed string": f"SELECT toFixedString({VALUE}, 3)",
    "a character": f"SELECT CHAR({VALUE})",
    "a hash": f"SELECT hex(unhex({VALUE})), toUInt8(secret) FROM vault",
    "a wide repeat": f"SELECT repeat({VALUE}, {NUMBER})",
    "values": f"SELECT * FROM values('x UInt8', {VALUE})",
    "a ratio": "SELECT reinterpretAsUInt8(secret) / 0, toInt16(secret) FROM vault",
    "a UTF-8 text": "SELECT toValidUTF8(secret), normalizeUTF8NFC(secret)::UInt8 FROM vault",
    "a join": "SELECT * FROM vault AS l JOIN vault AS r ON toInt32(l.secret) = toInt32(r.secret)",
    "a where": "SELECT 1 FROM vault WHERE toInt32(secret) = 1",
    "an order": "SELECT 1 FROM vault ORDER BY toInt32(secret)",
    "a group": "SELECT toInt32(secret) AS x FROM vault GROUP BY x",
    "half way": f"SELECT number, toInt32(if(number < 900000, '1', {VALUE})) FROM numbers(1000000)",
}


@pytest.fixture(scope="module")
def readers(place: Place) -> Iterator[tuple[Reader, Reader]]:
    """A session, and one whose driver is asked directly."""
    writer = open_writer(place.url)
    writer.command("CREATE TABLE vault (secret String, number UInt64) ENGINE = MergeTree ORDER BY ()")
    writer.command(f"INSERT INTO vault VALUES ('{CANARY}', {DIGITS})")
    writer.close()
    both = open_reader(place.url), open_reader(place.url)
    yield both
    for reader in both:
        reader.close()


@pytest.mark.parametrize("way", LEAKS)
def test_no_value_comes_along_with_an_error(
    readers: tuple[Reader, Reader], way: str, caplog: pytest.LogCaptureFixture
) -> None:
    reader, _ = readers
    with caplog.at_level(logging.DEBUG), pytest.raises(HanseiError) as caught:
        reader.query(LEAKS[way], foreign=True)
    error = caught.value
    shown = "".join(traceback.format_exception(error)) + repr(vars(error)) + str(error._asdict())
    assert error.__cause__ is None
    assert error.__context__ is None
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("hansei")]
    for text in (error.message, error.remedy, repr(error), repr(vars(error)), str(error._asdict()), *ours):
        assert CANARY not in text
        assert DIGITS not in text
    # The traceback shows lines of code and the message, never what was raised before.
    assert "ClickHouseError" not in shown
    assert CANARY not in shown


def test_clickhouse_itself_does_quote_them(readers: tuple[Reader, Reader]) -> None:
    """Else the test above would prove nothing."""
    _, reader = readers
    quoting = []
    for way, sql in LEAKS.items():
        try:
            reader._session.client.query(sql)
        except Exception as error:  # noqa: BLE001 - the driver's, whatever it is
            if CANARY in str(error) or DIGITS in str(error):
                quoting.append(way)
    assert len(quoting) > len(LEAKS) / 2, quoting


@pytest.mark.parametrize(
    ("sql", "code", "word"),
    [
        ("SELECT secrte FROM vault", 47, "secrte"),
        ("SELECT max(secret), number FROM vault", 215, "number"),
        ("SELECT toInt23(number) FROM vault", 46, "toInt23"),
        ("SELECT plus(secret, number) FROM vault", 43, "plus"),
        ("SELECT 1 FROM nowhere", 60, "nowhere"),
        ("SELECT 1 FROM vault GRUOP BY number", 62, "BY"),
    ],
)
def test_who_wrote_a_query_is_told_the_word_that_is_wrong(
    readers: tuple[Reader, Reader], sql: str, code: int, word: str
) -> None:
    reader, _ = readers
    with pytest.raises(QueryFailed) as caught:
        reader.query(sql, foreign=True)
    assert caught.value.code == code
    assert f"see {word}" in caught.value.message
    with pytest.raises(QueryFailed) as caught:
        reader.query(sql)
    assert word not in caught.value.message
