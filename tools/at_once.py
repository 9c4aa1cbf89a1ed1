"""Queries side by side: what need not wait for each other, and what is done when one of them fails."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, TypeVar

from hansei.errors import HanseiError

Answer = TypeVar("Answer")

WORKERS = 4
"""Queries of one caller that are under way at the same time, at most."""


def at_once(
    jobs: Sequence[Callable[[], Answer]], workers: int = WORKERS
) -> tuple[list[Answer | None], HanseiError | None]:
    """Runs queries side by side, or other work that waits for somebody else.

    Returns:
        The answers in the order of the jobs, None where there is none; and the first error, to be raised when the
        answers are kept.
    """
    answers: list[Answer | None] = [None] * len(jobs)
    failed: HanseiError | None = None
    stopped = threading.Event()

    def run(job: Callable[[], Answer]) -> Answer | None:
        # Those that still wait are passed over here: a future that the pool cancels never counts as completed.
        return None if stopped.is_set() else job()

    with ThreadPoolExecutor(max(1, workers), "hansei-ask") as pool:
        # Each in a copy of the context: spans find their parent there.
        running = {pool.submit(contextvars.copy_context().run, run, job): place for place, job in enumerate(jobs)}
        for done in as_completed(running):
            try:
                answers[running[done]] = done.result()
            except HanseiError as error:
                failed = failed or error
                stopped.set()
    return answers, failed


def together(*jobs: Callable[[], Any]) -> list[Any]:
    """The answers of jobs that do not need each other's, in their order.

    Raises:
        HanseiError: one failed.
    """
    answers, failed = at_once(jobs)
    if failed is not None:
        raise failed
    return answers
