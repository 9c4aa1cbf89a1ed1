"""The whole job on rows in memory: each time a database of its own on one engine."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.job import analyse, fill
from tests.support.world import END, PROJECT

from hansei.contracts import Report
from hansei.demo.rows import Rows
from hansei.demo.tables import Schema
from hansei.tools.clickhouse import close_readers, open_writer

Analyse = Callable[..., Report]
"""(rows, schema, **request) → the report; the window is the world's unless the request says otherwise."""


@contextmanager
def in_memory() -> Iterator[Analyse]:
    """Gives the function that analyses rows."""
    numbers = itertools.count(1)
    holding = open_writer("chdb://")  # what is in memory lasts as long as one client is open

    def analyse_rows(rows: Rows, schema: Schema, **request: Any) -> Report:
        url = f"chdb://?database=world_{next(numbers)}"
        fill(url, schema, rows)
        try:
            return analyse(url, PROJECT, **{"until": END.isoformat(), **request})
        finally:
            close_readers(url)

    try:
        yield analyse_rows
    finally:
        holding.close()
