"""Queries of one node that run side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable

from hansei.errors import HanseiError, QueryFailed
from hansei.tools.at_once import WORKERS, at_once


def test_answers_come_in_the_order_of_the_jobs() -> None:
    jobs: list[Callable[[], int]] = [lambda number=number: number for number in range(3 * WORKERS)]  # type: ignore[misc]
    assert at_once(jobs) == (list(range(3 * WORKERS)), None)


def test_a_failure_ends_the_others_and_never_hangs() -> None:
    """More jobs than workers: those that wait when one fails are neither run nor waited for."""
    asked: list[int] = []
    gate = threading.Event()

    def job(number: int) -> int:
        asked.append(number)
        if number == 0:
            gate.set()
            raise QueryFailed("refused", "mend it", code=62)
        gate.wait(10)
        return number

    found: list[tuple[list[int | None], HanseiError | None]] = []
    jobs: list[Callable[[], int]] = [lambda number=number: job(number) for number in range(100)]  # type: ignore[misc]
    thread = threading.Thread(target=lambda: found.append(at_once(jobs)), daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    answers, failed = found[0]
    assert failed is not None
    assert answers[0] is None
    assert len(asked) < 100
