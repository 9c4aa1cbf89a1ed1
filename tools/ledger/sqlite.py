"""A ledger in one file: SQLite, safe for several processes at a time and for one that is killed while it writes."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hansei.errors import UsageError
from hansei.tools.ledger.entries import Entry

VERSION = 2
BUSY_SECONDS = 30
"""How long to wait for another process that is writing."""

_APPLICATION = 0x48414E53
"""Marks the file as Hansei's, see SQLite's application_id."""

_MIGRATIONS = (
    # 1: what happened
    """CREATE TABLE entries (
      number INTEGER PRIMARY KEY AUTOINCREMENT,
      key TEXT NOT NULL UNIQUE,
      scope TEXT NOT NULL,
      kind TEXT NOT NULL,
      at TEXT NOT NULL,
      finding TEXT,
      body TEXT NOT NULL
    )""",
    # 2: who wrote it
    "ALTER TABLE entries ADD COLUMN by TEXT NOT NULL DEFAULT ''",
)


class SqliteStore:
    """Entries in a SQLite file, which is made with the first entry.

    Each call opens and closes the file, so a store may be used from several threads.

    Raises:
        UsageError: the file is no ledger, is of a newer Hansei, or its folder cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        if path.exists() or path.is_symlink():
            with self._open():
                pass
        elif not path.parent.is_dir() and path.parent.exists():
            raise self._failed("its folder is a file")

    @property
    def name(self) -> str:
        return str(self._path)

    def add(self, entry: Entry) -> bool:
        self._make_folder()
        with self._open() as file:
            # Written to disk before this returns: the file is in WAL mode with synchronous = FULL.
            with self._writing(file):
                done = file.execute(
                    "INSERT OR IGNORE INTO entries (key, scope, kind, at, finding, by, body) VALUES (?,?,?,?,?,?,?)",
                    (
                        entry.key, entry.scope, entry.kind, entry.at.isoformat(), entry.finding, entry.by,
                        json.dumps(entry.body, ensure_ascii=True),
                    ),
                )  # fmt: skip
            return done.rowcount == 1

    def entries(self, scope: str | None = None) -> list[Entry]:
        if not self._path.exists():
            return []
        with self._open() as file:
            rows = file.execute(
                "SELECT key, scope, kind, at, finding, by, body FROM entries WHERE ? IS NULL OR scope = ?"
                " ORDER BY number",
                (scope, scope),
            ).fetchall()
        names = ("key", "scope", "kind", "at", "finding", "by")
        return [
            Entry.model_validate({**dict(zip(names, row[:6], strict=True)), "body": json.loads(row[6])}) for row in rows
        ]

    def close(self) -> None:
        return None

    def _make_folder(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._failed((error.strerror or type(error).__name__).lower()) from None

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """The file, brought to this version.

        Raises:
            UsageError: see the class.
        """
        if self._path.is_dir():
            raise self._failed("it is a folder")
        try:
            file = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None)
            try:
                self._prepare(file)
                yield file
            finally:
                file.close()
        except sqlite3.DatabaseError as error:
            # SQLite's messages name files, tables and states, never values.
            raise self._failed(str(error)) from None

    def _prepare(self, file: sqlite3.Connection) -> None:
        file.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
        file.execute("PRAGMA synchronous = FULL")
        found = self._version(file)
        if found == VERSION:
            return
        if found > VERSION:
            raise UsageError(
                f"The ledger {self._path} is of a newer Hansei (version {found}, this one knows {VERSION}).",
                "Update Hansei, or name another file with --ledger.",
            )
        file.execute("PRAGMA journal_mode = WAL")
        with self._writing(file):
            # Another process may have done it meanwhile.
            for number in range(self._version(file), VERSION):
                file.execute(_MIGRATIONS[number])
            file.execute(f"PRAGMA user_version = {VERSION}")
            file.execute(f"PRAGMA application_id = {_APPLICATION}")

    def _version(self, file: sqlite3.Connection) -> int:
        mark = file.execute("PRAGMA application_id").fetchone()[0]
        tables = file.execute("SELECT count() FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'").fetchone()[0]
        if mark != _APPLICATION and (mark or tables):
            raise self._failed("it is a SQLite file of something else")
        return int(file.execute("PRAGMA user_version").fetchone()[0]) if mark == _APPLICATION else 0

    @contextmanager
    def _writing(self, file: sqlite3.Connection) -> Iterator[None]:
        """A transaction that takes its turn at once, so that what it read is still so when it writes."""
        file.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            file.execute("ROLLBACK")
            raise
        file.execute("COMMIT")

    def _failed(self, reason: str) -> UsageError:
        return UsageError(
            f"The ledger {self._path} cannot be used: {reason}.",
            "Name another file with --ledger, or give --no-ledger.",
        )
