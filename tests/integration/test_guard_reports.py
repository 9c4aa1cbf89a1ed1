"""Hansei's own SQL passes the guard, and SQL of a report that was edited into something else does not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from tests.support.faults import answers, costs, fails, never_ends, on_step, rated, reads, repeats, takes, wanders
from tests.support.guard.canaries import CANARY, OTHER, Place, canaries
from tests.support.job import analyse
from tests.support.world import END, PROJECT

from hansei.contracts import Evidence, Report
from hansei.errors import QueryRefused
from hansei.tools.clickhouse import close_readers, open_reader
from hansei.tools.langfuse import dataset as door
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.trusted import ReportGuard
from hansei.tools.report.verify import ask_again, verify_report

pytestmark = pytest.mark.long

FAULTS = (
    on_step("support", "lookup_order", fails("timeout after 5 s"), day=3, share=0.3),
    on_step("support", "lookup_order", answers('{"error": "order service is down"}'), day=4, share=0.4),
    on_step("support", "search_docs", takes(2.5), day=2),
    on_step("support", "answer", costs(1.5), day=4),
    on_step("research", "summarise", reads(2500), day=2),
    on_step("research", "plan", never_ends, day=1, share=0.3),
    rated("support", 0.3, day=2),
    repeats("support", "lookup_order", 4, day=1, share=0.2),
    wanders("research", "web_search", 30, share=0.2),
)

SINGLE = {"trace_id", "trace_ids"}
"""Parameters of the queries for single traces."""

Asked = list[tuple[str, dict[str, Any]]]


@dataclass(frozen=True)
class Case:
    """A database with another project's canaries, the report on our project, and all that its run asked."""

    place: Place
    report: Report
    asked: Asked


@pytest.fixture(scope="module", params=["v3", "v4"])
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    asked: Asked = []
    with canaries(request.param, *FAULTS, per_day=40) as place, pytest.MonkeyPatch.context() as patch:
        _record(patch, asked)
        report = analyse(place.url, PROJECT, until=END.isoformat())
        close_readers(place.url)
        yield Case(place, report, asked)


def _record(patch: pytest.MonkeyPatch, asked: Asked) -> None:
    """Writes down what goes through the dataset's doors, and lets it go on.

    But for single traces: they are read by fixed texts (trace_rows.py), which stand in no report.
    """
    run, columns = door.run_evidence, Dataset.columns

    def run_and_record(
        reader: Any, id: str, purpose: str, sql: str, parameters: Mapping[str, Any], **options: Any
    ) -> Any:
        if not SINGLE & parameters.keys():
            asked.append((sql, dict(parameters)))
        return run(reader, id, purpose, sql, parameters, **options)

    def columns_and_record(self: Dataset, sql: str, parameters: Any = None, *, since: Any = None) -> Any:
        if not SINGLE & (parameters or {}).keys():
            asked.append((sql, {**self.parameters(since), **(parameters or {})}))
        return columns(self, sql, parameters, since=since)

    patch.setattr(door, "run_evidence", run_and_record)
    patch.setattr(Dataset, "columns", columns_and_record)


def test_every_statement_of_a_run_passes(case: Case) -> None:
    reader = open_reader(case.place.url, project_id=PROJECT)
    guard = ReportGuard(reader, PROJECT)
    assert len({finding.kind for finding in case.report.findings}) >= 5
    assert len(case.asked) > 50
    for sql, parameters in case.asked:
        admitted = guard.admit(sql, parameters)
        assert guard.admit(admitted.sql, admitted.parameters) == admitted
    reader.close()


def test_an_unchanged_report_is_verified(case: Case) -> None:
    reader = open_reader(case.place.url, project_id=PROJECT)
    outcome = verify_report(case.report, reader)
    reader.close()
    assert outcome.ok
    assert outcome.queries > 0


def short(case: Case) -> tuple[Report, Evidence]:
    """The report with one query only, and that."""
    report = case.report.model_copy(deep=True, update={"findings": [], "refuted": [], "health": None, "flows": None})
    report.coverage.evidence[1:] = []
    return report, report.coverage.evidence[0]


Edit = Callable[[str, str], str]
"""(SQL, database) → the edited SQL."""

EDITS: dict[str, Edit] = {
    "another statement": lambda sql, db: f"SELECT name FROM {db}.traces",
    "a table function": lambda sql, db: "SELECT * FROM merge('', 'traces|events_core')",
    "a file": lambda sql, db: "SELECT file('/etc/passwd')",
    "the clock": lambda sql, db: "SELECT now()",
    "a second statement": lambda sql, db: f"{sql}; SELECT 1",
    "no condition on the project": lambda sql, db: sql.replace("project_id = {project_id:String}", "1", 1),
    "a condition that is always true": lambda sql, db: sql.replace(
        "project_id = {project_id:String}", "(project_id = {project_id:String} OR 1)", 1
    ),
    "another project": lambda sql, db: sql.replace("{project_id:String}", f"'{OTHER}'", 1),
    "other rows beside": lambda sql, db: f"{sql} UNION ALL SELECT * FROM {db}.scores",
    "a relation without its definition": lambda sql, db: "SELECT count() FROM traces",
    "a relation where its definition is not seen": lambda sql, db: "SELECT count() FROM scores",
    "a definition of one's own": lambda sql, db: (
        f"WITH traces AS (SELECT * FROM {db}.scores) SELECT count() FROM traces"
    ),
    "a column of one's own in a definition": lambda sql, db: re.sub(
        r"AS \(\n\s+SELECT ", r"\g<0>currentUser() AS who, ", sql, count=1
    ),
    "another column under a definition's name": lambda sql, db: re.sub(
        r"AS \(\n\s+SELECT ", r"\g<0>project_id AS id, ", sql, count=1
    ),
    "settings": lambda sql, db: f"{sql} SETTINGS enable_global_with_statement = 0",
    "a format": lambda sql, db: f"{sql} FORMAT JSON",
    "an empty statement": lambda sql, db: "",
    "EXPLAIN": lambda sql, db: f"EXPLAIN {sql}",
    "a condition that reads another table": lambda sql, db: sql.replace(
        "NOT startsWith(environment, 'langfuse-')", f"name IN (SELECT name FROM {db}.scores)", 1
    ),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_an_edited_query_is_not_run(case: Case, edit: Edit) -> None:
    report, evidence = short(case)
    edited = edit(evidence.sql, case.place.database)
    assert edited != evidence.sql
    evidence.sql = edited
    reader = open_reader(case.place.url)  # not held to the project: the guard stands alone
    answer = ask_again(report, reader)["coverage.evidence[0]"]
    outcome = verify_report(report, reader)
    reader.close()
    assert isinstance(answer, QueryRefused)
    assert "coverage.evidence[0].sql" in [difference.path for difference in outcome.differences]
    assert CANARY not in str(answer) + json.dumps([str(difference.recomputed) for difference in outcome.differences])


def test_another_project_in_the_parameters_is_not_asked_about(case: Case) -> None:
    report, evidence = short(case)
    evidence.parameters["project_id"] = OTHER
    reader = open_reader(case.place.url)
    outcome = verify_report(report, reader)
    reader.close()
    (refused,) = [d for d in outcome.differences if d.path == "coverage.evidence[0].sql"]
    assert refused.recomputed == "The query is about another project than the report."


def test_a_query_through_the_guard_can_stand_in_a_report(case: Case) -> None:
    with case.place.dataset(held=True) as dataset:
        evidence = dataset.ask_untrusted(
            "a1", "question", "SELECT name, count() AS n FROM traces WHERE name != {x:String} GROUP BY name", {"x": "?"}
        )
        guard = ReportGuard(dataset.reader, PROJECT)
        admitted = guard.admit(evidence.sql, evidence.parameters)
        again = door.run_evidence(dataset.reader, "a1", "question", admitted.sql, admitted.parameters)
    assert again.result_hash == evidence.result_hash
    assert again.rows == evidence.rows
    assert evidence.rows
