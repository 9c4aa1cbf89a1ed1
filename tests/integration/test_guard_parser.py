"""The guard's parser: where it runs, and what it does with SQL that is no SQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.clickhouse_http import start_server
from tests.support.job import fill, writing
from tests.support.world import PERIODS, PROJECT, make_world

from hansei.demo import Writer, create_tables
from hansei.errors import QueryRefused
from hansei.tools.clickhouse import open_reader, open_writer
from hansei.tools.clickhouse.guard import Guard, Parser, parser_of
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.schema import detect

RELATIONS = {"traces": "SELECT 1 AS id", "observations": "SELECT 1 AS id", "scores": "SELECT 1 AS id"}


def test_sql_for_a_server_is_read_in_this_process_beside_any_other_engine(tmp_path: Path) -> None:
    with start_server() as server:
        url = server.url(database="shop")
        client = open_writer(url)
        create_tables(client, "v4", "shop")
        with Writer(client, "v4", "shop") as writer:
            writer.write(make_world(per_day=4))
        client.close()
        reader = open_reader(url)
        dataset = Dataset(reader, detect(reader, "shop", PROJECT).adapter, PROJECT, PERIODS)

        def count() -> int:
            return int(dataset.ask_untrusted("x", "question", "SELECT count() FROM traces").rows[0][0])

        found = count()  # parsed by an engine in memory
        assert found > 0
        local = fill(
            f"chdb://{tmp_path}/one?database=local", "v3", make_world(per_day=1)
        )  # which gives way to this one
        with writing(local):
            assert count() == found  # parsed by that directory's engine
        assert count() == found
        with writing(f"chdb://{tmp_path}/two?database=local"):  # no engine was left open
            assert count() == found
        with pytest.raises(QueryRefused):
            dataset.ask_untrusted("x", "question", "SELECT * FROM shop.scores")
        reader.close()


@pytest.fixture(scope="module")
def parser() -> Iterator[Parser]:
    with writing("chdb://"):
        reader = open_reader("chdb://")
        yield parser_of(reader)
        reader.close()


DEEP = "(" * 400 + "1" + ")" * 400
NESTED = "SELECT count() FROM (" * 120 + "SELECT 1" + ")" * 120


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        (f"SELECT '{'x' * 100_001}'", "size"),
        ("SELECT " + ", ".join(f"1 + {i} * lower('a')" for i in range(4000)), "size"),
        ("SELECT " + " + ".join("1" for _ in range(4000)), "syntax"),
        (f"SELECT {'-' * 2000}1", "syntax"),
        (f"SELECT {'NOT ' * 1500}1", "syntax"),
        ("SELECT '\0'", "syntax"),
        ("SELECT '\ud800'", "syntax"),
        ("SELECT x'FF'", "syntax"),
        ("SELECT 1 FROM", "syntax"),
        ("SELECT 'open", "syntax"),
        ("", "syntax"),
        (" \n\t ", "syntax"),
    ],
)
def test_what_cannot_be_read_is_refused(parser: Parser, sql: str, reason: str) -> None:
    with pytest.raises(QueryRefused) as refused:
        Guard(parser).admit(sql, RELATIONS)
    assert refused.value.reason in (reason, "size")
    assert len(str(refused.value)) < 400
    assert refused.value.__context__ is None


def test_deep_statements_are_let_through_or_refused_without_harm(parser: Parser) -> None:
    guard = Guard(parser)
    for sql in (f"SELECT {DEEP} AS x", NESTED, "SELECT " + "[" * 200 + "1" + "]" * 200):
        try:
            assert guard.admit(sql, RELATIONS).sql
        except QueryRefused as refused:
            told = refused
            assert told.reason in ("size", "syntax", "unknown")


def test_the_place_of_a_mistake_is_told(parser: Parser) -> None:
    with pytest.raises(QueryRefused, match=r"not valid SQL, line 2, near “ünï FROM traces WHERE”") as refused:
        Guard(parser).admit("SELECT id,\n  ünï FROM traces WHERE", RELATIONS)
    assert refused.value.reason == "syntax"
