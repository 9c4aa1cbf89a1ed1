"""Makes the sample data: simulates it, writes it into Langfuse's tables, and tells the truth about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import SecretStr

from hansei.demo.simulate import SEED, TRACES, Simulation
from hansei.demo.tables import Schema, create_tables
from hansei.demo.truth import Truth
from hansei.demo.writer import Writer
from hansei.tools.clickhouse import open_writer, parse_url

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client


@dataclass(frozen=True, slots=True)
class Made:
    """How far the making is: traces out of all, and observations so far. What does not count is not counted."""

    traces: int
    of: int
    observations: int


def make_demo(
    target: Client | SecretStr | str,
    *,
    schema: Schema = "v3",
    traces: int = TRACES,
    seed: int = SEED,
    progress: Callable[[Made], None] | None = None,
) -> Truth:
    """Fills a database with the sample data; it should hold no other rows. Takes some 10 seconds for 24,000 traces.

    Args:
        target: a connection URL (the database is made when it is missing), or a client that may write, whose database
            is filled.
        schema: the tables to make and fill.
        traces: how many, at least 500. Every planted problem is visible from 16,000 on.
        seed: the same seed gives the same rows, in either schema.
        progress: called after each batch.

    Returns:
        What is in the data.

    Raises:
        UsageError: too few traces, or no URL.
        ConnectionFailed, PermissionMissing, QueryFailed: the URL cannot be opened.
    """
    simulation = Simulation(seed, traces)
    if not isinstance(target, (str, SecretStr)):
        return _fill(target, target.database or "default", schema, simulation, progress)
    client = open_writer(target)
    try:
        return _fill(client, parse_url(target).database, schema, simulation, progress)
    finally:
        client.close()


def _fill(
    client: Client, database: str, schema: Schema, simulation: Simulation, progress: Callable[[Made], None] | None
) -> Truth:
    create_tables(client, schema, database)
    with Writer(client, schema, database) as writer:
        for rows in simulation.batches():
            writer.write(rows)
            if progress is not None:
                progress(Made(simulation.made, simulation.traces, simulation.observations))
    return simulation.truth()
