"""The handles of one session on the embedded engine."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hansei.tools.clickhouse.copies import Copies

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

PATIENCE = 5.0
"""Seconds that a query gets to be done when its handle is to be closed."""


@dataclass(frozen=True, eq=False)
class Handle:
    """One handle, for one query at a time."""

    client: Client
    copies: Copies | None = None
    """What it holds copies of."""


class Handles:
    """Handles with the same bounds, each for one query at a time; one, until others take its place.

    A query over many rows runs on all cores by itself. Small ones do not: they run side by side, each on one core, and
    maybe over copies of their rows.

    Args:
        first: is there from the start, for queries on all cores.
        open: opens another one; told whether it is for queries side by side, and what it is to hold copies of.
    """

    def __init__(self, first: Client, open: Callable[[bool, Copies | None], Client]) -> None:
        self._open = open
        self._here = [Handle(first)]
        self._free: queue.SimpleQueue[Handle] = queue.SimpleQueue()
        self._free.put(self._here[0])
        self._are_wide = False
        self._failed: list[Handle] = []
        self._is_closed = False
        self._lock = threading.RLock()

    @property
    def first(self) -> Client:
        """The client of one of them."""
        return self._here[0].client

    @property
    def copies(self) -> Copies | None:
        """What they hold copies of."""
        return next((handle.copies for handle in self._here if handle.copies is not None), None)

    def widen(self, count: int) -> None:
        """Lets as many queries run side by side; never fewer than before."""
        with self._lock:
            if count > len(self._here):
                self._replace(count, None)

    def hold(self, count: int, copies: Copies) -> None:
        """Lets as many queries run side by side over copies, instead of any that are held by now.

        Raises:
            HanseiError: they cannot be copied; then all is as before.
        """
        with self._lock:
            self._replace(max(count, len(self._here)), copies)

    def let_go(self, name: str | None = None) -> None:
        """Gives up the copies that are held, if any; only those of that name, if one is given.

        Raises:
            HanseiError: no other handle can be opened; then all is as before.
        """
        with self._lock:
            if self.copies is not None and name in (None, self.copies.name):
                self._replace(len(self._here), None)

    @contextlib.contextmanager
    def one(self, *, with_copies: bool = True) -> Iterator[Handle]:
        """A handle for one query, as soon as one is free.

        When the query fails, another handle takes its place: rows of a query that failed while it answered stay in the
        handle, and would come before the next query's answer.

        Args:
            with_copies: whether it may hold any. ClickHouse lets a read-only session change its own temporary tables,
                so for a query that somebody else wrote there must be none.
        """
        handle = self._take()
        if handle.copies is not None and not with_copies:
            self._put(handle)
            with contextlib.closing(self._open(False, None)) as client:
                yield Handle(client)
            return
        try:
            yield handle
        except Exception:
            handle = self._in_place_of(handle)
            raise
        finally:
            self._put(handle)

    def close(self) -> None:
        """Closes all of them, each when its query is done; one that takes long is left to the end of the process."""
        with self._lock:
            self._is_closed = True
            with contextlib.suppress(queue.Empty):
                for _ in self._here:
                    self._take(PATIENCE).client.close()
            for handle in self._failed:
                handle.client.close()

    def _take(self, seconds: float | None = None) -> Handle:
        """A free handle of those that are to be used.

        Raises:
            queue.Empty: none got free within so many seconds.
        """
        while (handle := self._free.get(timeout=seconds)) not in self._here:
            handle.client.close()
        return handle

    def _put(self, handle: Handle) -> None:
        """Frees a handle, for good when others have taken its place in the meantime."""
        if handle in self._here:
            self._free.put(handle)
        else:
            handle.client.close()

    def _replace(self, count: int, copies: Copies | None) -> None:
        """Puts new handles, for queries side by side, in the place of all that are there."""
        if self._is_closed:
            return
        with ThreadPoolExecutor(count, "hansei-open") as pool:
            opening = [pool.submit(self._open, True, copies) for _ in range(count)]
        failed = [error for one in opening if (error := one.exception()) is not None]
        if failed:
            for one in opening:
                if one.exception() is None:
                    one.result().close()
            raise failed[0]
        self._here = [Handle(one.result(), copies) for one in opening]
        self._are_wide = True
        # Those that are free leave now, with what they hold; the others when their queries are done.
        with contextlib.suppress(queue.Empty):
            while True:
                self._free.get_nowait().client.close()
        for handle in self._here:
            self._free.put(handle)

    def _in_place_of(self, failed: Handle) -> Handle:
        with self._lock:
            if self._is_closed or failed not in self._here:
                return failed
            # Without copies: making them again would take longer than what is still asked.
            new = Handle(self._open(self._are_wide, None))
            self._here[self._here.index(failed)] = new
            if failed.copies is not None:
                failed.client.close()
                return new
            # Whoever looks at the first handle may still be looking at it.
            self._failed.append(failed)
            if len(self._failed) > 2:
                self._failed.pop(0).client.close()
            return new
