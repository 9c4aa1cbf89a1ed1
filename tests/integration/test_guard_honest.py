"""What analysts ask passes the guard, and is answered as over plain tables with our project's rows alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.guard.canaries import canaries
from tests.support.guard.statements import Statement, read_statements
from tests.support.job import writing

from hansei.tools.clickhouse import Reader, open_reader
from hansei.tools.langfuse.dataset import RELATIONS, Dataset
from hansei.tools.langfuse.relations import Needs

HONEST = read_statements("honest.sql")


@pytest.fixture(scope="module", params=["v3", "v4"])
def both(request: pytest.FixtureRequest) -> Iterator[tuple[Dataset, Reader]]:
    """Our data among another project's, behind the guard; and alone, in plain tables."""
    with canaries(request.param) as place, canaries(request.param, alone=True) as alone:
        plain = f"chdb://?database={alone.database}_plain"
        with alone.dataset() as source, writing(plain) as client:
            for name in sorted(RELATIONS):
                select = source.bind(f"SELECT * FROM {name}", (name,), Needs(trace=True, totals=True))
                rows = source.reader.columns(select, source.parameters())
                kinds = source.reader.query(f"DESCRIBE TABLE ({select})", source.parameters()).records()
                columns = ", ".join(f"`{kind['name']}` {kind['type']}" for kind in kinds)
                client.command(f"CREATE TABLE {name} ({columns}) ENGINE = Memory")
                client.insert(name, list(rows.values()), column_oriented=True, column_names=list(rows))
            with place.dataset(held=True) as dataset:
                reader = open_reader(plain)
                yield dataset, reader
                reader.close()


def value_of(statement: Statement) -> dict[str, Any]:
    name, given, text = statement.expected.partition("=")
    if not given:
        return {}
    try:
        return {name: json.loads(text)}
    except ValueError:
        return {name: text}


def rounded(value: Any) -> Any:
    """ClickHouse adds floats in no fixed order, so their last digits vary."""
    if isinstance(value, float):
        return float(f"{value:.9g}")
    return [rounded(item) for item in value] if isinstance(value, list) else value


def answer(columns: list[str], rows: list[list[Any]]) -> tuple[list[str], list[str]]:
    return columns, sorted(json.dumps(rounded(row), ensure_ascii=False) for row in rows)


def test_there_are_enough_of_them() -> None:
    assert len(HONEST) >= 120
    assert len({statement.sql for statement in HONEST}) == len(HONEST)


@pytest.mark.parametrize("statement", HONEST, ids=lambda statement: statement.id)
def test_is_answered_as_without_the_guard(statement: Statement, both: tuple[Dataset, Reader]) -> None:
    dataset, plain = both
    values = value_of(statement)
    expected = plain.query(statement.sql.rstrip("; \n"), {**dataset.parameters(), **values})
    found = dataset.ask_untrusted("q", "question", statement.sql, values)
    assert answer(found.columns, found.rows) == answer(expected.columns, expected.rows)
    assert found.rows or expected.rows == []
