"""Verdicts that judges gave, kept in one SQLite file: nothing is judged twice, and nothing is lost with the process.

A verdict is found by what it depends on: the project, the trace and what of it was shown, the criterion's version, the
prompt's and the model. Each is on the disk before the next one is asked for.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hansei.contracts.evaluation import Verdict
from hansei.contracts.spent import Usage
from hansei.errors import UsageError
from hansei.tools.language_model.answers import cache_file

NAME = "verdicts.sqlite"
VERSION = 2
BUSY_SECONDS = 30
KEPT = timedelta(days=60)
"""How long it is known what a run came to; verdicts of judges are kept for good."""

_APPLICATION = 0x48414E56
_AT_ONCE = 500
_COUNTED = ("calls", "input_tokens", "output_tokens", "usd")


def default_store() -> Path | None:
    """Where verdicts are kept when nothing else is said: beside the kept answers of the model; None: no home."""
    file = cache_file()
    return file.with_name(NAME) if file else None


def key_of(*parts: str) -> str:
    """The key of a verdict from all that it depends on."""
    told = "".join(f"{len(part)}:{part}" for part in parts)  # lengths, so that no two lists of parts look alike
    return hashlib.sha256(told.encode()).hexdigest()


class VerdictStore:
    """Verdicts in a SQLite file, which is made when it is first needed, for its owner alone.

    Each call opens and closes the file, so a store may be used from several threads and processes.

    Raises:
        UsageError: the file is none of ours, is of a newer Hansei, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def prepare(self) -> None:
        """Makes the file, so that it is known before anything is spent that verdicts can be kept."""
        with self._open():
            pass

    def find(self, keys: Sequence[str]) -> dict[str, Verdict]:
        """Those that are kept, by key."""
        found: dict[str, Verdict] = {}
        if not self._path.exists():
            return found
        with self._open() as file:
            for start in range(0, len(keys), _AT_ONCE):
                some = keys[start : start + _AT_ONCE]
                marks = ",".join("?" * len(some))
                for key, body in file.execute(f"SELECT key, body FROM verdicts WHERE key IN ({marks})", some):
                    found[key] = Verdict.model_validate(json.loads(body))
        return found

    def keep(self, verdicts: Iterable[tuple[str, Verdict]]) -> None:
        """Keeps verdicts by key, on the disk before this returns. The first one of a key stands."""
        rows = [(key, verdict.model_dump_json()) for key, verdict in verdicts]
        with self._open() as file:
            file.execute("BEGIN IMMEDIATE")
            file.executemany("INSERT OR IGNORE INTO verdicts (key, body) VALUES (?, ?)", rows)
            file.execute("COMMIT")

    def tell(self, run_id: str, verdicts: Iterable[Verdict]) -> None:
        """Notes what a run came to: of each trace and criterion one verdict, the last one that is told."""
        now = datetime.now(UTC)
        rows = [(run_id, one.criterion, one.trace_id, one.model_dump_json(), now.isoformat()) for one in verdicts]
        with self._open() as file:
            file.execute("BEGIN IMMEDIATE")
            file.execute("DELETE FROM told WHERE at < ?", ((now - KEPT).isoformat(),))
            file.executemany("INSERT OR REPLACE INTO told VALUES (?, ?, ?, ?, ?)", rows)
            file.execute("COMMIT")

    def told(self, run_id: str) -> list[Verdict]:
        """What a run came to, by criterion and trace."""
        if not self._path.exists():
            return []
        with self._open() as file:
            rows = file.execute("SELECT body FROM told WHERE run = ? ORDER BY criterion, trace", (run_id,)).fetchall()
        return [Verdict.model_validate_json(body) for (body,) in rows]

    def told_of(self, criteria: Sequence[str], but: str) -> list[Verdict]:
        """What all runs but one came to by these criteria, the newest last."""
        marks = ",".join("?" * len(criteria))
        with self._open() as file:
            rows = file.execute(
                f"SELECT body FROM told WHERE run != ? AND criterion IN ({marks}) ORDER BY at, criterion, trace",
                (but, *criteria),
            ).fetchall()
        return [Verdict.model_validate_json(body) for (body,) in rows]

    def forget(self, run_id: str) -> None:
        """What a run told before is another run's from here on, since it begins anew: a judge's drift is seen by it.
        Of each trace and criterion the last verdict stays."""
        with self._open() as file:
            file.execute("UPDATE OR REPLACE told SET run = ? WHERE run = ?", (f"{run_id} before", run_id))

    def spend(self, run_id: str, part: str, node: str, usage: Usage) -> None:
        """Notes what a part of a run has used of the model so far.

        Args:
            run_id: the run.
            part: one call of the graph, or what else was spent on the run.
            node: who asked.
            usage: all that the node used in this part; a smaller one than is noted changes nothing.
        """
        row = (run_id, part, node, usage.calls, usage.input_tokens, usage.output_tokens, usage.usd)
        kept = ", ".join(f"{name} = max({name}, excluded.{name})" for name in _COUNTED)
        with self._open() as file:
            file.execute(
                f"INSERT INTO spent (run, part, node, {', '.join(_COUNTED)}, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
                f" ON CONFLICT DO UPDATE SET {kept}",
                (*row, datetime.now(UTC).isoformat()),
            )

    def spent(self, run_id: str, but: str) -> Usage:
        """What a run used in all its parts but one since it last came to its end."""
        if not self._path.exists():
            return Usage()
        sums = ", ".join(f"sum({name})" for name in _COUNTED)
        with self._open() as file:
            found = file.execute(f"SELECT {sums} FROM spent WHERE run = ? AND part != ?", (run_id, but)).fetchone()
        return Usage.model_validate(dict(zip(_COUNTED, (value or 0 for value in found), strict=True)))

    def has_spent(self, run_id: str, part: str) -> bool:
        """Whether it is noted that a part of a run has used the model."""
        with self._open() as file:
            found = file.execute("SELECT 1 FROM spent WHERE run = ? AND part = ? LIMIT 1", (run_id, part)).fetchone()
        return found is not None

    def settle(self, run_id: str) -> None:
        """A run has come to its end: what it used counts for nothing that comes later."""
        with self._open() as file:
            file.execute("DELETE FROM spent WHERE run = ? OR at < ?", (run_id, (datetime.now(UTC) - KEPT).isoformat()))

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._path.exists():
                self._path.touch(mode=0o600)
            file = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise self._failed(getattr(error, "strerror", None) or str(error)) from None
        try:
            self._prepare(file)
            yield file
        except sqlite3.DatabaseError as error:
            # SQLite's messages name files, tables and states, never values.
            raise self._failed(str(error)) from None
        finally:
            file.close()

    def _prepare(self, file: sqlite3.Connection) -> None:
        file.execute("PRAGMA synchronous = FULL")
        mark = file.execute("PRAGMA application_id").fetchone()[0]
        if mark == _APPLICATION:
            found = int(file.execute("PRAGMA user_version").fetchone()[0])
            if found > VERSION:
                raise self._failed(f"it is of a newer Hansei (version {found})")
            if found == VERSION:
                return
        tables = {name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if mark != _APPLICATION and (mark or tables - {"verdicts", "told", "spent"}):
            raise self._failed("it is a SQLite file of something else")
        file.execute("PRAGMA journal_mode = WAL")
        file.execute("BEGIN IMMEDIATE")
        file.execute("CREATE TABLE IF NOT EXISTS verdicts (key TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID")
        file.execute(
            "CREATE TABLE IF NOT EXISTS told (run TEXT, criterion TEXT, trace TEXT, body TEXT NOT NULL,"
            " at TEXT NOT NULL, PRIMARY KEY (run, criterion, trace)) WITHOUT ROWID"
        )
        file.execute(  # since version 2
            "CREATE TABLE IF NOT EXISTS spent (run TEXT, part TEXT, node TEXT, calls INTEGER, input_tokens INTEGER,"
            " output_tokens INTEGER, usd REAL, at TEXT NOT NULL, PRIMARY KEY (run, part, node)) WITHOUT ROWID"
        )
        file.execute(f"PRAGMA user_version = {VERSION}")
        file.execute(f"PRAGMA application_id = {_APPLICATION}")
        file.execute("COMMIT")

    def _failed(self, reason: str) -> UsageError:
        return UsageError(
            f"The verdicts in {self._path} cannot be used: {reason[:1].lower()}{reason[1:]}.",
            "Name another folder, or move it away.",
        )
