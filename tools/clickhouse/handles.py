"""The handles of one session on the embedded engine."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

PATIENCE = 5.0
"""Seconds that a query gets to be done when its handle is to be closed."""


class Handles:
    """Handles with the same bounds, each for one query at a time; one, until `widen` asks for more.

    A query over many rows runs on all cores by itself; small ones do not, and gain from running side by side.

    Args:
        first: is there from the start.
        open: opens another one.
    """

    def __init__(self, first: Client, open: Callable[[], Client]) -> None:
        self.first = first
        self._open = open
        self._free: queue.SimpleQueue[Client] = queue.SimpleQueue()
        self._free.put(first)
        self._count = 1
        self._retired: list[Client] = []
        self._is_closed = False
        self._lock = threading.Lock()

    def widen(self, count: int) -> None:
        """Lets as many queries run side by side; never fewer than before."""
        with self._lock:
            while self._count < count and not self._is_closed:
                self._free.put(self._open())
                self._count += 1

    @contextlib.contextmanager
    def one(self) -> Iterator[Client]:
        """A handle for one query, as soon as one is free.

        When the query fails, another handle takes its place: rows of a query that failed while it answered stay in the
        handle, and would come before the next query's answer.
        """
        handle = self._free.get()
        try:
            yield handle
        except Exception:
            handle = self._in_place_of(handle)
            raise
        finally:
            self._free.put(handle)

    def close(self) -> None:
        """Closes all of them, each when its query is done; one that takes long is left to the end of the process."""
        with self._lock:
            self._is_closed = True
            for handle in self._retired:
                handle.close()
            with contextlib.suppress(queue.Empty):
                for _ in range(self._count):
                    self._free.get(timeout=PATIENCE).close()

    def _in_place_of(self, failed: Client) -> Client:
        with self._lock:
            if self._is_closed:
                return failed
            new = self._open()
            if failed is self.first:
                self.first = new
            # Whoever looks at the first handle may still be looking at it.
            self._retired.append(failed)
            if len(self._retired) > 2:
                self._retired.pop(0).close()
            return new
