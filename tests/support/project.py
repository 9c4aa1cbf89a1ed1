"""A project as both ways of making the relations see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.world import PERIODS, PROJECT

from hansei.contracts import Coverage, Periods
from hansei.demo.rows import Rows
from hansei.demo.tables import Schema, create_tables
from hansei.demo.writer import write
from hansei.tools.clickhouse import Reader
from hansei.tools.langfuse.coverage import coverage_of, read_coverage
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.relations import SLACK_DAYS, Needs
from hansei.tools.langfuse.schema import Source, adapter_over, detect

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client


class Project:
    """A project whose coverage is counted by both of the ways in which relations are made."""

    def __init__(self, reader: Reader, periods: Periods = PERIODS, environments: tuple[str, ...] = ()) -> None:
        self.reader = reader
        self.source: Source = detect(reader, reader.target.database, PROJECT)
        adapter = adapter_over(reader, self.source, PROJECT, periods)
        self.dataset = Dataset(reader, adapter, PROJECT, periods, environments)

    @property
    def coverage(self) -> Coverage:
        coverage = coverage_of(read_coverage(self.dataset), self.source.adapter.version, [], [])
        # The critic's relations must leave out the same rows.
        for relation, time in (("traces", "timestamp"), ("observations", "start_time"), ("scores", "timestamp")):
            counted = getattr(coverage, relation)
            sql = f"""SELECT countIf({time} >= {{window_start:DateTime64(6, 'UTC')}}), count() FROM raw_{relation}
                WHERE {time} >= {{range_start:DateTime64(6, 'UTC')}} AND {time} < {{range_end:DateTime64(6, 'UTC')}}"""
            bound = self.dataset.bind_raw(sql, [relation])
            [[window, both]] = self.reader.query(bound, {**self.dataset.parameters(), **self.everything}).rows
            assert (window, both - window) == (counted.window, counted.baseline), relation
        return coverage

    @property
    def everything(self) -> dict[str, object]:
        """Parameters of the critic's relations with which they hold both periods whole."""
        baseline, window = self.dataset.periods.baseline, self.dataset.periods.window
        return {
            "first_start": baseline.start, "first_end": baseline.end, "second_start": window.start,
            "second_end": window.end, "slack_days": SLACK_DAYS, "sample": 1,
        }  # fmt: skip

    def counts(self) -> tuple[int, int, int]:
        """Traces, observations and scores of both periods."""
        found = self.coverage
        return tuple(c.window + c.baseline for c in (found.traces, found.observations, found.scores))  # type: ignore[return-value]

    def ask(self, sql: str, relation: str, needs: Needs) -> list[list[object]]:
        return self.reader.query(self.dataset.bind(sql, (relation,), needs), self.dataset.parameters()).rows


def set_up(client: Client, schema: Schema, *sets: Rows) -> None:
    """Makes the tables of a schema in the client's database, unless they are there, and writes the rows."""
    create_tables(client, schema, client.database or "")
    for rows in sets:
        write(client, schema, rows, client.database or "")


def again(client: Client, change: str, condition: str) -> None:
    """Writes spans of v4 a second time, a moment newer and changed."""
    client.command(
        f"INSERT INTO {client.database}.events_core SELECT * REPLACE({change}, addSeconds(event_ts, 1) AS event_ts)"
        f" FROM {client.database}.events_core WHERE {condition}"
    )
