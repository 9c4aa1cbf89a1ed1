"""Values on their way in and out of ClickHouse."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from ipaddress import ip_address
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hansei.contracts import parse_instant
from hansei.errors import UsageError
from hansei.tools.clickhouse.values import bindable, plain, plain_rows, utc_text

NEW_YORK = timezone(timedelta(hours=-5))
NOON = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)


class Level(Enum):
    ERROR = "ERROR"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2**64 - 1, 2**64 - 1),
        (True, True),
        (1.5, 1.5),
        (math.nan, None),
        (-math.inf, None),
        (Decimal("0.000000000003"), 0.000000000003),
        (Decimal("NaN"), None),
        (NOON, "2026-11-20T12:00:00Z"),
        (NOON.replace(tzinfo=None), "2026-11-20T12:00:00Z"),
        (NOON.astimezone(NEW_YORK), "2026-11-20T12:00:00Z"),
        (NOON.replace(microsecond=120_000), "2026-11-20T12:00:00.120Z"),
        (NOON.replace(microsecond=123_456), "2026-11-20T12:00:00.123456Z"),
        (date(2026, 11, 20), "2026-11-20"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (ip_address("10.0.0.1"), "10.0.0.1"),
        (b"caf\xc3\xa9 \xff", "café \\xff"),
        (Level.ERROR, "ERROR"),
        ((1, [Decimal("1.5")]), [1, [1.5]]),
        ({1: (NOON,), "b": {"c": math.nan}}, {"1": ["2026-11-20T12:00:00Z"], "b": {"c": None}}),
        (np.float32(0.5), 0.5),
        (np.array([1, 2]), [1, 2]),
        (timedelta(seconds=90), "0:01:30"),
    ],
)
def test_results_become_plain_json(value: Any, expected: Any) -> None:
    assert plain(value) == expected
    assert type(plain(value)) is type(expected)
    json.dumps(plain(value), allow_nan=False)


def test_columns_become_rows() -> None:
    assert plain_rows([[1, 2], ["a", None], (Decimal("1.5"), math.nan)]) == [[1, "a", 1.5], [2, None, None]]
    assert plain_rows([]) == []
    assert plain_rows([[], []]) == []


@given(st.datetimes(timezones=st.just(UTC)))
def test_times_read_back_as_they_were(moment: datetime) -> None:
    assert parse_instant(utc_text(moment)) == moment


@pytest.mark.parametrize(
    ("sql", "value", "expected"),
    [
        ("{x:DateTime64(6)}", NOON.replace(tzinfo=None), "1795176000.000000"),
        ("{x:DateTime64(6)}", NOON.replace(microsecond=123_456).astimezone(NEW_YORK), "1795176000.123456"),
        ("{x:DateTime64(6)}", "2026-11-20T12:00:00.5Z", "1795176000.500000"),
        ("{ x : Nullable(DateTime64(3, 'Asia/Tokyo')) }", "2026-11-20", "1795132800.000000"),
        ("{x:DateTime}", NOON.replace(microsecond=999_999), "1795176000"),
        ("{x:DateTime}", "1999-12-31T23:59:59Z", datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("{x:String}", NOON, NOON),
        ("{x:Array(DateTime)}", ("2026-11-20T12:00:00Z", NOON), ["1795176000", "1795176000"]),
        ("{x:DateTime}", None, None),
        ("{x:String}", "2026-11-20T12:00:00Z", "2026-11-20T12:00:00Z"),
        ("{x:String} '{x:DateTime'", "noon", "noon"),
        ("{x:UInt8}", True, 1),
        ("{x:Array(String)}", {"b", "a"}, ["a", "b"]),
        ("{x:Array(Array(Bool))}", ((True,),), [[1]]),
        ("{x:Tuple(String, UInt8)}", ["a", 1], ("a", 1)),
        (
            "{x:Array(Tuple(at DateTime64(3, 'UTC'), name Nullable(String), more Array(UInt8)))}",
            [["2026-11-20T12:00:00Z", None, (1, 2)]],
            [("1795176000.000000", None, [1, 2])],
        ),
        ("{x:String}", Level.ERROR, "ERROR"),
        ("{x:Float64}", np.float64(0.5), 0.5),
        ("{x:Array(UInt64)}", np.array([1, 2]), [1, 2]),
    ],
)
def test_parameters_take_the_form_that_binds_everywhere(sql: str, value: Any, expected: Any) -> None:
    bound = bindable(f"SELECT {sql}", {"x": value})["x"]

    assert bound == expected
    assert type(bound) is type(expected)


def test_parameters_without_a_placeholder_are_left_out() -> None:
    assert bindable("SELECT {x:UInt8} WHERE name LIKE '%y%'", {"x": 1, "y": 2}) == {"x": 1}
    assert bindable("SELECT 1", None) == {}


def test_a_time_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="not a date or time"):
        bindable("SELECT {x:DateTime64(3)}", {"x": "soon"})
