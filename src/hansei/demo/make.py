"""Makes the sample data: simulates it, writes it into Langfuse's tables, and tells the truth about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hansei.demo.simulate import SEED, TRACES, Simulation
from hansei.demo.tables import Schema, create_tables
from hansei.demo.truth import Truth
from hansei.demo.writer import Writer

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client


@dataclass(frozen=True, slots=True)
class Made:
    """How far the making is: `traces` of `of` written (without the ones that do not count), and observations so far."""

    traces: int
    of: int
    observations: int


def make_demo(
    client: Client,
    *,
    schema: Schema = "v3",
    database: str = "default",
    traces: int = TRACES,
    seed: int = SEED,
    progress: Callable[[Made], None] | None = None,
) -> Truth:
    """Fills `database` with the sample data; it should hold no other rows.

    Args:
        client: may write and create tables.
        schema: the tables to fill.
        database: must exist.
        traces: how many, at least 500. Every planted problem is visible from 8,000 on.
        seed: the same seed gives the same rows, in either schema.
        progress: called after each batch.

    Returns:
        What is in the data.
    """
    create_tables(client, schema, database)
    simulation = Simulation(seed, traces)
    done = observations = 0
    with Writer(client, schema, database) as writer:
        for rows in simulation.batches():
            writer.write(rows)
            done += len(rows.traces)
            observations += len(rows.observations)
            if progress is not None:
                progress(Made(min(done, traces), traces, observations))
    return simulation.truth()
