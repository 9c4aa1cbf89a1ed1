"""Copies of what a run asks for again and again, in the memory of an embedded session.

A run over small data asks more than a hundred questions, and most of what these take is finding the same rows again:
merging their versions, adding up traces, looking traces up. So the rows are put once into temporary tables, which only
their handle sees, and which are gone with it: nothing is written into the directory.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from hansei.contracts.spent import Spent
from hansei.tools.clickhouse.running import Running, marker
from hansei.tools.clickhouse.values import bindable

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

MOST_BYTES = 256 * 1024 * 1024
"""Bytes that may be read for one table. What takes more is not copied."""

MOST_HOLDERS = 2
"""Sessions of a process that hold copies at the same time."""


@dataclass(frozen=True)
class Copies:
    """What is to be copied.

    Args:
        name: tells these copies from others, of another run.
        tables: temporary table → SELECT of its rows.
        parameters: values of the SELECTs' placeholders.
    """

    name: str
    tables: Mapping[str, str]
    parameters: Mapping[str, Any]

    def make(self, client: Client, running: Running) -> Spent:
        """Fills the tables, in a session that may still write; what that has read.

        Raises:
            QueryFailed: there are to be no more queries in `running`.
        """
        rows = size = 0
        started = time.perf_counter()
        for table, select in self.tables.items():
            with running.query() as id:
                summary = client.command(
                    f"{marker(id)} CREATE TEMPORARY TABLE {table} ENGINE = Memory AS {select}",
                    parameters=bindable(select, self.parameters),
                    settings={"max_bytes_to_read": MOST_BYTES},
                ).summary  # type: ignore[union-attr]  # a command without an answer gives a summary
            rows += int(summary.get("read_rows", 0))
            size += int(summary.get("read_bytes", 0))
        seconds = round(time.perf_counter() - started, 4)
        return Spent(queries=len(self.tables), rows=rows, bytes=size, seconds=seconds)


@dataclass(frozen=True)
class Shortcut:
    """The same question asked of copies: for a handle that holds them."""

    copies: str
    """The name of the copies."""
    sql: str


class Holder(Protocol):
    """Who holds copies, and gives them up when others need the memory."""

    def let_go(self, name: str | None = None) -> None: ...


_holders: list[weakref.ref[Holder]] = []
_lock = threading.Lock()


def begin_to_hold(holder: Holder) -> None:
    """Notes who holds copies from now on; who has held them longest gives them up, when there are too many."""
    with _lock:
        others = [one for one in _holders if one() not in (None, holder)]
        leave = others[: len(others) + 1 - MOST_HOLDERS]
        _holders[:] = [*others[len(leave) :], weakref.ref(holder)]
    for one in leave:
        if (gone := one()) is not None:
            gone.let_go()


def give_up(name: str) -> None:
    """Has whoever holds the copies of that name give them up, if anybody does."""
    with _lock:
        holders = [one() for one in _holders]
    for holder in holders:
        if holder is not None:
            holder.let_go(name)


def cease_to_hold(holder: Holder) -> None:
    """Notes that somebody holds none any more."""
    with _lock:
        _holders[:] = [one for one in _holders if one() not in (None, holder)]
