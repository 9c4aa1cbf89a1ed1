"""Two projects in one database: our own, and another one with a canary in every column of every table."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from tests.support.job import fill, writing
from tests.support.world import PERIODS, PROJECT, Fault, make_world

from hansei.contracts import Periods
from hansei.demo.rows import ObservationRow, Rows, ScoreRow, TraceRow
from hansei.demo.tables import Schema
from hansei.tools.clickhouse import open_reader
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.schema import detect

OTHER = "CANARY-umbrella"
CANARY = "CANARY"
NUMBERS = ("77177", "88288")
"""Digits that stand in every number of the other project and in none of ours."""


@dataclass(frozen=True)
class Place:
    """A database with both projects."""

    url: str
    database: str
    schema: Schema

    @contextmanager
    def dataset(self, *, held: bool = False, periods: Periods = PERIODS) -> Iterator[Dataset]:
        """Our project's data.

        Args:
            held: the session is held to the project as well; else the guard stands alone.
            periods: the window and the baseline.
        """
        reader = open_reader(self.url, project_id=PROJECT) if held else open_reader(self.url)
        finder = open_reader(self.url)
        try:
            yield Dataset(reader, detect(finder, self.database, PROJECT).adapter, PROJECT, periods)
        finally:
            reader.close()
            finder.close()


@contextmanager
def canaries(schema: Schema, *faults: Fault, alone: bool = False, per_day: int = 8) -> Iterator[Place]:
    """Makes the database in memory.

    Args:
        schema: of the tables.
        faults: of our project.
        alone: without the other project.
        per_day: traces of our project.
    """
    database = f"guard_{schema}{'_alone' if alone else ''}{'_faulty' if faults else ''}"
    url = f"chdb://?database={database}"
    ours = make_world(*faults, per_day=per_day, seed=5)
    _enrich(ours)
    with writing(url):  # what is in memory lasts as long as one client is open
        fill(url, schema, ours, *([] if alone else [_theirs()]))
        yield Place(url, database, schema)


def _enrich(rows: Rows) -> None:
    """Tags, metadata and texts for our own rows, so that honest statements have something to find."""
    source = random.Random(7)
    for trace in rows.traces:
        trace.tags = sorted(source.sample(["beta", "eu", "vip", "web"], source.randrange(3)))
        trace.metadata = {"plan": source.choice(["free", "pro"]), "region": source.choice(["eu", "us"])}
        trace.input, trace.output = f'{{"question": "{source.randrange(100)}"}}', "An answer of some words."
        trace.version = source.choice(["1", "2"])
    for observation in rows.observations:
        observation.metadata = {"attempt": str(source.randrange(3))}
        if source.random() < 0.05:
            observation.level, observation.status_message = "ERROR", f"timeout after {source.randrange(9)} s"


def _theirs() -> Rows:
    rows = Rows()
    day, hour, number = timedelta(days=1), timedelta(hours=1), int("".join(NUMBERS))
    cost = Decimal(NUMBERS[0])
    for i in range(60):
        at = PERIODS.window.start - 6 * day + i * 5 * hour
        id, text = f"{CANARY}-{i}", f"{CANARY} text"
        metadata = {f"{CANARY}-key": f"{CANARY}-value"}
        rows.traces.append(
            TraceRow(
                id=id, timestamp=at, name=f"{CANARY}-name", project_id=OTHER, environment=f"{CANARY}-env",
                user_id=f"{CANARY}-user", session_id=f"{CANARY}-session", release=f"{CANARY}-release",
                version=f"{CANARY}-version", tags=[f"{CANARY}-tag"], metadata=metadata, input=text, output=text,
            )
        )  # fmt: skip
        rows.observations.append(
            ObservationRow(
                id=f"{id}-o", trace_id=id, start_time=at, end_time=at + timedelta(milliseconds=int(NUMBERS[0])),
                completion_start_time=at + timedelta(milliseconds=int(NUMBERS[1])), type=f"{CANARY}-TYPE",
                name=f"{CANARY}-step", project_id=OTHER, environment=f"{CANARY}-env", level=f"{CANARY}-LEVEL",
                parent_observation_id=f"{CANARY}-parent", status_message=text, version=f"{CANARY}-version", input=text,
                output=text, metadata=metadata, model=f"{CANARY}-model", model_id=f"{CANARY}-model-id",
                model_parameters=text, usage_details={"input": number, f"{CANARY}-usage": number, "total": number},
                cost_details={"total": cost, f"{CANARY}-cost": cost}, total_cost=cost,
                prompt_id=f"{CANARY}-prompt-id", prompt_name=f"{CANARY}-prompt", prompt_version=57757,
                tool_definitions=metadata, tool_calls=[text], tool_call_names=[f"{CANARY}-tool"],
            )
        )  # fmt: skip
        rows.scores.append(
            ScoreRow(
                id=f"{id}-s", timestamp=at, name=f"{CANARY}-score", project_id=OTHER, trace_id=id,
                observation_id=f"{id}-o", environment=f"{CANARY}-env", value=float(number), data_type="NUMERIC",
                string_value=text, long_string_value=text, comment=text, source=f"{CANARY}-source", metadata=metadata,
                session_id=f"{CANARY}-session", author_user_id=f"{CANARY}-author", config_id=f"{CANARY}-config",
                queue_id=f"{CANARY}-queue", execution_trace_id=f"{CANARY}-execution",
            )
        )  # fmt: skip
    return rows
