"""Queries under way, and how they are ended before their time."""

from __future__ import annotations

import contextlib
import threading
import uuid
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TypeVar

from hansei.errors import HanseiError, QueryFailed

Answer = TypeVar("Answer")

PATIENCE = 5.0
"""Seconds that ClickHouse gets to take the order, and a query to stop."""


class Running:
    """The queries of one session that are under way.

    Args:
        kill: ends the query with the given id in ClickHouse.
        is_ended: none may begin.
    """

    def __init__(self, kill: Callable[[str], None], *, is_ended: bool = False) -> None:
        self._kill = kill
        self._lock = threading.Lock()
        self._ids: set[str] = set()
        self._is_ended = is_ended
        self._apart: weakref.WeakSet[Running] = weakref.WeakSet()
        _everywhere.add(self)

    def apart(self) -> Running:
        """Further queries, ended with these, and also without them."""
        with self._lock:
            part = Running(self._kill, is_ended=self._is_ended)
            self._apart.add(part)
        return part

    @contextlib.contextmanager
    def query(self) -> Iterator[str]:
        """Gives an id of its own to a query that begins now.

        When its thread is interrupted (Ctrl-C), the query is ended in ClickHouse before the interruption goes on.

        Raises:
            QueryFailed: `cancel_queries` has said that there are to be no more.
        """
        id = uuid.uuid4().hex
        with self._lock:
            if self._is_ended:
                raise QueryFailed("The query was not asked: the run was interrupted.", "Start it again.", code=394)
            self._ids.add(id)
        try:
            yield id
        except Exception:
            raise
        except BaseException:
            self._end(id)
            raise
        finally:
            with self._lock:
                self._ids.discard(id)

    def cancel(self, *, for_good: bool) -> None:
        """Ends what is under way; `for_good`: and lets nothing more begin."""
        with self._lock:
            self._is_ended = self._is_ended or for_good
            ids, parts = sorted(self._ids), list(self._apart)
        for part in parts:
            part.cancel(for_good=for_good)
        for id in ids:
            self._end(id)

    def _end(self, id: str) -> None:
        def kill() -> None:
            # Where it cannot be ended, its own limit of time ends it.
            with contextlib.suppress(HanseiError):
                self._kill(id)

        thread = threading.Thread(target=kill, name="hansei-cancel", daemon=True)
        thread.start()
        thread.join(PATIENCE)


def marker(id: str) -> str:
    """A comment that tells which query it is, where queries have no ids of their own."""
    return f"/* hansei {id} */"


_everywhere: weakref.WeakSet[Running] = weakref.WeakSet()


def cancel_queries(*, for_good: bool = False) -> None:
    """Ends every query of this process that is under way; each then raises `QueryFailed` with code 394 in its thread.

    Args:
        for_good: no further query may begin on the sessions that are open. For a process that is about to end.
    """
    for running in list(_everywhere):
        running.cancel(for_good=for_good)


def interruptible(action: Callable[[], Answer], cancel: Callable[[], None]) -> Answer:
    """Runs `action`, which calls into the engine, so that Ctrl-C does not have to wait until it is done.

    Python tells the main thread of a signal between two of its own instructions, so never inside a call to the engine.
    There such a call goes to a thread of its own, and the main thread waits where it can be woken.

    Args:
        action: what is run.
        cancel: makes `action` end soon.
    """
    if threading.current_thread() is not threading.main_thread():
        return action()
    outcome: Future[Answer] = Future()

    def run() -> None:
        try:
            outcome.set_result(action())
        except BaseException as error:  # noqa: BLE001 - it is raised in the waiting thread
            outcome.set_exception(error)

    thread = threading.Thread(target=run, name="hansei-query", daemon=True)
    thread.start()
    try:
        return outcome.result()
    except BaseException:
        if thread.is_alive():
            cancel()
            thread.join(PATIENCE)
        raise
