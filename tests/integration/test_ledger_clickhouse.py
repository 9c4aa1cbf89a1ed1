"""The ledger in a ClickHouse database of the user's own: on every engine, and never in Langfuse's."""

from __future__ import annotations

import multiprocessing
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr
from tests.integration.conftest import Place

from hansei.demo.tables import create_tables
from hansei.errors import UsageError
from hansei.tools.clickhouse import open_writer
from hansei.tools.ledger.clickhouse import TABLE, ClickHouseStore
from hansei.tools.ledger.entries import Entry
from hansei.tools.ledger.opening import open_ledger

AT = datetime(2026, 11, 16, 9, 30, tzinfo=UTC)


def entry(key: str, **body: object) -> Entry:
    return Entry(key=key, scope="acme", kind="note", at=AT, finding="f", by="mika", body=body)


def write_many(url: str, who: str) -> None:
    store = open_ledger(url)
    for number in range(10):
        store.add(entry(f"{who}:{number}"))
        store.add(entry(f"shared:{number}"))
    store.close()


def test_what_is_written_is_read_in_order_and_once(place: Place) -> None:
    store = ClickHouseStore(SecretStr(place.url))
    assert store.entries() == []
    first = entry("b", text="é “quoted” \\ \n")
    assert store.add(first)
    assert store.add(entry("a"))
    assert not store.add(entry("b", text="again"))
    assert store.entries("acme") == [first, entry("a")]
    assert store.entries("other") == []
    store.close()
    again = ClickHouseStore(SecretStr(place.url))
    assert [one.key for one in again.entries()] == ["b", "a"]
    again.close()
    writer = open_writer(place.url)
    writer.command(f"DROP TABLE {TABLE}")
    writer.close()


def test_two_processes_on_a_server(place: Place) -> None:
    if place.engine == "embedded":
        pytest.skip("one process owns an embedded engine")
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=write_many, args=(place.url, who)) for who in ("one", "two")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0]
    store = ClickHouseStore(SecretStr(place.url))
    keys = [one.key for one in store.entries()]
    assert len(keys) == len(set(keys)) == 30
    store.close()


def test_the_database_of_langfuse_is_refused(place: Place) -> None:
    writer = open_writer(place.url)
    writer.command(f"DROP TABLE IF EXISTS {TABLE}")
    create_tables(writer, "v4", place.database)
    store = ClickHouseStore(SecretStr(place.url))
    with pytest.raises(UsageError, match="tables of Langfuse"):
        store.add(entry("a"))
    assert TABLE not in str(writer.query("SHOW TABLES").result_rows)
    writer.close()
