"""Parameters are bound values: each is checked against the type that the statement gives it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from hansei.errors import QueryRefused
from hansei.tools.clickhouse.guard.parameters import check_type, check_values

FITTING: list[tuple[str, Any]] = [
    ("String", "a'b\\"),
    ("String", "nul\0"),
    ("FixedString(3)", "abc"),
    ("Bool", True),
    ("UInt8", 255),
    ("Int8", -128),
    ("UInt64", 2**64 - 1),
    ("Int256", -(2**255)),
    ("Float64", 1.5),
    ("Float32", 2),
    ("Decimal(10, 2)", Decimal("1.25")),
    ("Decimal64(4)", "1.25"),
    ("Date", "2026-11-02"),
    ("Date32", date(2026, 11, 2)),
    ("DateTime", "2026-11-02 10:00:00"),
    ("DateTime64(6, 'UTC')", "2026-11-02T10:00:00.123456Z"),
    ("DateTime64(3)", datetime(2026, 11, 2, tzinfo=UTC)),
    ("UUID", UUID(int=7)),
    ("UUID", "00000000-0000-0000-0000-000000000007"),
    ("Nullable(String)", None),
    ("Nullable(UInt8)", 3),
    ("LowCardinality(String)", "x"),
    ("Array(String)", []),
    ("Array(Array(UInt8))", [[1], [2, 3]]),
    ("Tuple(String, UInt8)", ["a", 1]),
    ("Map(String, Array(UInt8))", {"a": [1]}),
]
OTHER: list[tuple[str, Any]] = [
    ("String", 1),
    ("String", None),
    ("String", "x" * 100_001),
    ("Bool", 1),
    ("UInt8", 256),
    ("UInt8", -1),
    ("UInt8", True),
    ("UInt8", "1"),
    ("Int8", 128),
    ("UInt64", 1.0),
    ("Float64", float("nan")),
    ("Float64", float("inf")),
    ("Float64", "1"),
    ("Float64", False),
    ("Decimal(10, 2)", "one"),
    ("Decimal(10, 2)", True),
    ("Date", "2026-13-02"),
    ("Date", 5),
    ("DateTime", "yesterday"),
    ("DateTime", "now()"),
    ("UUID", "x"),
    ("Nullable(UInt8)", "x"),
    ("Array(String)", "abc"),
    ("Array(String)", ["a", 1]),
    ("Tuple(String, UInt8)", ["a"]),
    ("Map(String, UInt8)", {"a": "b"}),
    ("Map(String, UInt8)", [("a", 1)]),
]


@pytest.mark.parametrize(("kind", "value"), FITTING)
def test_a_value_of_its_type_is_taken(kind: str, value: Any) -> None:
    assert check_values({"p": kind}, {"p": value, "unused": object()}) == {"p": value}


@pytest.mark.parametrize(("kind", "value"), OTHER)
def test_another_value_is_refused_and_not_repeated(kind: str, value: Any) -> None:
    with pytest.raises(QueryRefused, match="The value of the parameter p is not of type") as refused:
        check_values({"p": kind}, {"p": value})
    assert refused.value.reason == "parameter"
    assert "xxx" not in str(refused.value)


@pytest.mark.parametrize(
    "kind",
    ["Identifier", "Nothing", "AggregateFunction(sum, UInt8)", "SimpleAggregateFunction(sum, UInt8)", "Array(Nothing)",
     "Array()", "Array(String, String)", "Map(String)", "Tuple()", "Nullable", "Dynamic", "Variant(String)", "JSON", "",
     "UInt7", "Object('json')", "String) UNION ALL SELECT (1", "Enum8('a' = 1)", "Nullable(Identifier)"],
)  # fmt: skip
def test_a_type_that_is_no_plain_value_is_refused(kind: str) -> None:
    with pytest.raises(QueryRefused) as refused:
        check_type("p", kind)
    assert refused.value.reason == "parameter"


@pytest.mark.parametrize("name", ["", "a b", "1a", "p;", "p}", "x" * 80, "ü"])
def test_a_name_is_a_plain_word(name: str) -> None:
    with pytest.raises(QueryRefused, match="cannot be a parameter's name"):
        check_type(name, "String")


def test_what_is_missing_is_told_with_what_there_is() -> None:
    with pytest.raises(QueryRefused, match=r"The parameter q has no value\. Known are p, r\.") as refused:
        check_values({"q": "UInt8"}, {"p": 1, "r": 2})
    assert refused.value.remedy == "Give q a value of type UInt8."
