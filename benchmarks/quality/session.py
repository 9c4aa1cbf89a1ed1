"""A world in a ClickHouse of its own, in this process and in memory: analysed, and asked further questions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from benchmarks.quality.company import PROJECT
from benchmarks.quality.world import World
from langgraph.runtime import Runtime
from pydantic import SecretStr

from hansei import Context, Report, build_graph
from hansei.demo.tables import create_tables
from hansei.demo.writer import write
from hansei.nodes.connect import connect
from hansei.nodes.critic import critic
from hansei.nodes.scope import Scope, dataset_of, drafts_of, facts_of, place_of
from hansei.tools.clickhouse import close_readers, open_writer
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.playbook.assess import Facts, candidate_of
from hansei.tools.playbook.catalogue import detector_of
from hansei.tools.playbook.conclude import Draft, conclude
from hansei.tools.playbook.multiplicity import slices_of


@dataclass
class Session:
    """What the nodes work with, for a world that has been written."""

    report: Report
    dataset: Dataset
    facts: Facts
    scope: Scope
    runtime: Runtime[Context]

    @cached_property
    def _own(self) -> dict[str, Any]:
        """The run's drafts with all that was asked about them, by id."""
        drafts = {}
        for found in (*self.report.findings, *self.report.refuted):
            detector, _ = detector_of(found.metric)
            draft = Draft(candidate=candidate_of(found, detector.name), evidence=found.evidence)
            drafts[draft.id] = draft.model_dump(mode="json")
        return drafts

    def verdict(self, draft: Draft) -> tuple[str, list[str]]:
        """Hands a draft to the critic beside the run's own, as an analyst would.

        Returns:
            The verdict, and the names of the checks that failed.
        """
        given = {**self._own, draft.id: draft.model_dump(mode="json")}
        slices = slices_of(self.report)
        state: dict[str, Any] = {
            "scope": self.scope, "drafts": given, "rounds": 2, "costs": {},
            "screened": {
                name: {"status": "ran", "reason": "", "slices": count, "candidates": []}
                for name, count in slices.items()
            },
        }  # fmt: skip
        out = critic(state, self.runtime)  # type: ignore[arg-type]
        doubted = drafts_of({**given, **out["drafts"]})
        conclusion = conclude(doubted, self.facts, slices, place_of(self.scope, self.runtime))
        for found in (*conclusion.findings, *conclusion.refuted):
            if found.id == draft.id:
                return found.verdict, [check.name for check in found.checks if check.passed is False]
        return "not_measurable", ["no rows"]


@contextmanager
def analysed(world: World) -> Iterator[Session]:
    """Writes a world's rows and runs the whole of Hansei on them. The truth stays outside."""
    url = f"chdb://?database=world_{world.condition}_{world.seed}"
    database = url.rpartition("=")[2]
    schema = "v3" if world.company.schema == "v3" else "v4"
    client = open_writer(url)  # what is in memory lasts as long as this client is open
    try:
        create_tables(client, schema, database)  # type: ignore[arg-type]
        write(client, schema, world.drawn.rows, database)  # type: ignore[arg-type]
        write(client, schema, world.extra, database)  # type: ignore[arg-type]
        request = {
            "project_id": PROJECT,
            "window": f"{world.company.window_days}d",
            "baseline": f"{world.company.baseline_days}d",
            "until": world.periods.window.end.isoformat(),
        }
        context = Context(clickhouse_url=SecretStr(url))
        report = Report.model_validate(build_graph().invoke(request, context=context)["report"])
        runtime: Runtime[Context] = Runtime(context=context, stream_writer=lambda _: None)
        scope = connect(request, runtime)["scope"]  # type: ignore[arg-type]
        yield Session(report, dataset_of(scope, runtime), facts_of(scope), scope, runtime)
    finally:
        close_readers(url)
        client.close()
