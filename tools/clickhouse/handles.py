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

    A query over many rows runs on all cores by itself. Small ones do not: they run side by side, each on one core.

    Args:
        first: is there from the start, for queries on all cores.
        open: opens another one; told whether it is for queries side by side.
    """

    def __init__(self, first: Client, open: Callable[[bool], Client]) -> None:
        self.first = first
        self._open = open
        self._free: queue.SimpleQueue[Client] = queue.SimpleQueue()
        self._free.put(first)
        self._count = 1
        self._replaced: Client | None = None
        """The handle for queries on all cores, once others take its place."""
        self._retired: list[Client] = []
        self._is_closed = False
        self._lock = threading.Lock()

    def widen(self, count: int) -> None:
        """Lets as many queries run side by side; never fewer than before."""
        with self._lock:
            if count <= self._count or self._is_closed:
                return
            more = [self._open(True) for _ in range(count - (self._count if self._replaced else 0))]
            if self._replaced is None:
                self._replaced, self.first = self.first, more[0]
            for handle in more:
                self._free.put(handle)
            self._count = count

    @contextlib.contextmanager
    def one(self) -> Iterator[Client]:
        """A handle for one query, as soon as one is free.

        When the query fails, another handle takes its place: rows of a query that failed while it answered stay in the
        handle, and would come before the next query's answer.
        """
        handle = self._take()
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
            with contextlib.suppress(queue.Empty):
                for _ in range(self._count):
                    self._take(PATIENCE).close()
                while True:
                    self._take(0).close()
            for handle in self._retired:
                handle.close()

    def _take(self, seconds: float | None = None) -> Client:
        """A free handle, but for the one that others have taken the place of.

        Raises:
            queue.Empty: none got free within so many seconds.
        """
        handle = self._free.get(timeout=seconds)
        if handle is not self._replaced:
            return handle
        self._retired.append(handle)
        return self._free.get(timeout=seconds)

    def _in_place_of(self, failed: Client) -> Client:
        with self._lock:
            if self._is_closed or failed is self._replaced:
                return failed
            new = self._open(self._replaced is not None)
            if failed is self.first:
                self.first = new
            # Whoever looks at the first handle may still be looking at it.
            self._retired.append(failed)
            if len(self._retired) > 2:
                self._retired.pop(0).close()
            return new
