"""The ledger's file: two processes at a time, one that is killed, older and newer schemas, files of others."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sqlite3
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hansei.errors import UsageError
from hansei.tools.ledger.entries import Entry, scope_of
from hansei.tools.ledger.opening import open_ledger
from hansei.tools.ledger.sqlite import VERSION, SqliteStore

AT = datetime(2026, 11, 16, tzinfo=UTC)


def entry(key: str, **body: object) -> Entry:
    return Entry(key=key, scope="acme", kind="note", at=AT, finding="f", body=body)


def write_many(path: str, who: str, count: int) -> None:
    store = SqliteStore(Path(path))
    for number in range(count):
        store.add(entry(f"{who}:{number}"))
        store.add(entry(f"shared:{number}"))


def write_for_ever(path: str) -> None:
    store, number = SqliteStore(Path(path)), 0
    while True:
        store.add(entry(f"{number}", text="x" * 20_000))
        Path(f"{path}.said").write_text(str(number))
        number += 1


def test_what_is_written_is_read_in_order_and_once(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "new" / "ledger.sqlite")
    assert store.entries() == []
    assert not (tmp_path / "new").exists()
    assert store.add(entry("b", text="é\ud800"))
    assert store.add(entry("a"))
    assert not store.add(entry("b", text="again"))
    assert [one.key for one in store.entries("acme")] == ["b", "a"]
    assert store.entries()[0].body == {"text": "é\ud800"}
    assert store.entries("other") == []


def test_processes_that_write_at_the_same_time(tmp_path: Path) -> None:
    path, spawn = str(tmp_path / "ledger.sqlite"), multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=write_many, args=(path, who, 25)) for who in ("one", "two", "three")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    keys = [one.key for one in SqliteStore(Path(path)).entries()]
    assert len(keys) == len(set(keys)) == 4 * 25


def test_a_process_that_is_killed_while_it_writes_loses_nothing_that_it_was_told_is_written(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    writer = multiprocessing.get_context("spawn").Process(target=write_for_ever, args=(str(path),), daemon=True)
    writer.start()
    said = Path(f"{path}.said")
    # The file is empty for a moment each time that it is written.
    while not said.exists() or int(said.read_text() or 0) < 5:
        assert writer.is_alive()
        time.sleep(0.01)
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    writer.join(10)
    store = SqliteStore(path)
    numbers = [int(one.key) for one in store.entries()]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > int(said.read_text() or 5)
    assert store.add(entry("after"))
    with sqlite3.connect(path) as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    file.close()


def test_a_file_of_version_1_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    file = sqlite3.connect(path)
    file.executescript(
        """CREATE TABLE entries (number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE,
          scope TEXT NOT NULL, kind TEXT NOT NULL, at TEXT NOT NULL, finding TEXT, body TEXT NOT NULL);
        PRAGMA application_id = 0x48414E53; PRAGMA user_version = 1;"""
    )
    body = json.dumps({"text": "from before"})
    file.execute("INSERT INTO entries VALUES (7, 'k', 'acme', 'note', ?, 'f', ?)", (AT.isoformat(), body))
    file.commit()
    file.close()
    store = SqliteStore(path)
    [old] = store.entries()
    assert (old.key, old.by, old.body) == ("k", "", {"text": "from before"})
    assert store.add(entry("new").model_copy(update={"by": "mika"}))
    assert [one.by for one in store.entries()] == ["", "mika"]
    file = sqlite3.connect(path)
    assert file.execute("PRAGMA user_version").fetchone() == (VERSION,)
    file.close()


def test_what_is_no_ledger_is_left_alone(tmp_path: Path) -> None:
    text, folder, foreign, newer = (tmp_path / name for name in ("text", "folder", "foreign", "newer"))
    text.write_text("no database, but a text that is longer than a header of a hundred bytes " * 3)
    folder.mkdir()
    for path, sql in ((foreign, "CREATE TABLE theirs (x)"), (newer, "PRAGMA user_version = 99")):
        file = sqlite3.connect(path)
        file.execute(sql)
        if path is newer:
            file.execute("PRAGMA application_id = 0x48414E53")
        file.commit()
        file.close()
    for path, words in ((text, "not a database"), (folder, "folder"), (foreign, "something else"), (newer, "newer")):
        before = path.read_bytes() if path.is_file() else b""
        with pytest.raises(UsageError, match=words):
            open_ledger(str(path))
        assert not path.is_file() or path.read_bytes() == before
    with pytest.raises(UsageError, match="no ledger"):
        open_ledger(str(tmp_path / "missing"), must_exist=True)
    for name in ("", "postgres://x", "chdb://", "clickhouse://u:p@h:1/default"):
        with pytest.raises(UsageError) as refused:
            open_ledger(name)
        assert "u:p" not in str(refused.value)


def test_runs_over_other_environments_have_a_history_of_their_own() -> None:
    assert scope_of("acme") == "acme"
    assert scope_of("acme", ["b", "a", "b"]) == 'acme ["a", "b"]'
