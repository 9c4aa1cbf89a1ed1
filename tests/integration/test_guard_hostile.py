"""Hundreds of hostile statements over real tables that hold another project's canaries: none of these comes back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.guard.canaries import CANARY, NUMBERS, OTHER, Place, canaries
from tests.support.guard.statements import Statement, read_statements

from hansei.errors import QueryFailed, QueryRefused
from hansei.tools.langfuse.dataset import Dataset

HOSTILE = read_statements("hostile.sql")
VALUES = {"n": "x"}


@pytest.fixture(scope="module", params=["v3", "v4"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    with canaries(request.param) as place:
        yield place


@pytest.fixture(scope="module")
def dataset(place: Place) -> Iterator[Dataset]:
    """Without a session that is held to the project: the guard has to do it alone."""
    with place.dataset() as dataset:
        yield dataset


def asked(dataset: Dataset, database: str, statement: Statement) -> tuple[str, str]:
    """What became of it (a refusal's reason, or harmless), and everything that came back."""
    sql = statement.sql.replace("@db", database).replace("@other", OTHER)
    values = {name: value for name, value in VALUES.items() if f"{{{name}:" in sql}
    try:
        evidence = dataset.ask_untrusted("h", "hostile", sql, values)
    except QueryRefused as error:
        return error.reason, f"{error} {error.__cause__} {error.__context__}"
    except QueryFailed as error:
        return f"failed with {error.code}", f"{error} {error.__cause__} {error.__context__}"
    answer = evidence.model_dump(mode="json", include={"columns", "rows"})
    return "harmless", json.dumps(answer, ensure_ascii=False)


def test_there_are_enough_of_them_and_each_says_why() -> None:
    assert len(HOSTILE) >= 250
    assert all(statement.why and statement.sql for statement in HOSTILE)
    assert len({statement.sql for statement in HOSTILE}) == len(HOSTILE)


def test_no_canary_comes_back(
    dataset: Dataset,
    place: Place,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    unexpected, leaked = [], []
    with caplog.at_level(0):
        for statement in HOSTILE:
            outcome, text = asked(dataset, place.database, statement)
            if outcome != statement.expected:
                unexpected.append((statement.sql, f"expected {statement.expected}, was {outcome}", text[:200]))
            # What the statement says itself is no leak: a refusal quotes the name that it refuses.
            own = statement.sql.replace("@other", OTHER)
            if (CANARY in text and CANARY not in own) or any(number in text for number in NUMBERS):
                leaked.append((statement.sql, text[:300]))
    assert unexpected == []
    assert leaked == []
    assert list(tmp_path.iterdir()) == []
    printed = capfd.readouterr()
    assert CANARY not in caplog.text + printed.out + printed.err
