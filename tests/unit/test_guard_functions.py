"""Every function of the installed engine is classified, and one that is not is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.job import writing

from hansei.errors import QueryRefused
from hansei.tools.clickhouse import guard as package
from hansei.tools.clickhouse import open_reader
from hansei.tools.clickhouse.guard import Guard, Parser, parser_of
from hansei.tools.clickhouse.guard.functions import Functions, functions

RELATIONS = {"traces": "SELECT 1 AS steps", "observations": "SELECT 1 AS latency_ms", "scores": "SELECT 1 AS value"}
TEXT = Path(package.__file__).with_name("functions.toml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def parser() -> Iterator[Parser]:
    with writing("chdb://"):
        reader = open_reader("chdb://")
        yield parser_of(reader)
        reader.close()


def test_every_function_of_the_engine_is_classified() -> None:
    with writing("chdb://") as client:
        listed = client.query("SELECT name, is_aggregate, case_insensitive FROM system.functions").result_rows
        tables = {row[0] for row in client.query("SELECT name FROM system.table_functions").result_rows}
        suffixes = {
            row[0] for row in client.query("SELECT name FROM system.aggregate_function_combinators").result_rows
        }
    known = functions()
    scalars = {name: bool(any_case) for name, aggregate, any_case in listed if not aggregate}
    aggregates = {name: bool(any_case) for name, aggregate, any_case in listed if aggregate}
    assert len(listed) > 1500
    assert known.unclassified(scalars, aggregates, tables) == []
    assert suffixes - known.combinators == set()


def test_a_function_of_a_newer_engine_is_refused_until_it_is_classified(parser: Parser) -> None:
    """The engine knows `lower`, and a file that does not have it stands for an older file."""
    older = Functions(TEXT.replace(" lower ", " "))
    guard = Guard(parser, older)
    with pytest.raises(QueryRefused, match="There is no function lower, or it is not known to be harmless") as refused:
        guard.admit("SELECT lower('A')", RELATIONS)
    assert refused.value.reason == "function"
    assert older.unclassified({"lower": True, "upper": True}, {}, set()) == ["lower"]
    assert Guard(parser).admit("SELECT lower('A')", RELATIONS).sql == "SELECT lower('A')"


@pytest.mark.parametrize(
    "name",
    ["sumIf", "countIf", "quantilesTDigestArrayIf", "argMaxMerge", "uniqExactState", "sumMap", "groupUniqArrayArray",
     "COUNT", "Sum", "avgOrNullIf", "sumForEachState", "countResample", "sumSimpleState", "avgDistinctIf", "minArgMax"],
)  # fmt: skip
def test_aggregate_functions_with_combinators_are_known(name: str) -> None:
    found = functions().of(name)
    assert found is not None
    assert found.allowed


@pytest.mark.parametrize(
    "name", ["lowerIf", "IfIf", "State", "sumIff", "sumNull", "TODATE", "nosuch", "fileIf", "aggThrowIf", "sum If", ""]
)
def test_what_only_looks_like_one_is_not(name: str) -> None:
    found = functions().of(name)
    assert found is None or not found.allowed


def test_a_function_cannot_stand_under_two_classes() -> None:
    assert "\nhostName" in TEXT or " hostName" in TEXT
    with pytest.raises(ValueError, match="hostName is classified twice"):
        Functions(TEXT.replace(" arrayMap ", " arrayMap hostName "))


@pytest.mark.parametrize(
    ("sql", "meant"),
    [
        ("SELECT toYYYYMMM(1)", "toYYYYMM"),
        ("SELECT quantil(0.5)(steps) FROM traces", "quantile"),
        ("SELECT stps FROM traces", "steps"),
        ("SELECT 1 FROM trace", "traces"),
        ("SELECT TODATETIME('x')", "toDateTime"),
        ("WITH slow_ones AS (SELECT 1) SELECT * FROM slow_one", "slow_ones"),
    ],
)
def test_the_name_that_was_probably_meant_is_told(parser: Parser, sql: str, meant: str) -> None:
    with pytest.raises(QueryRefused) as refused:
        Guard(parser).admit(sql, RELATIONS)
    assert f"Did you mean {meant}?" in refused.value.message
    assert refused.value.remedy
