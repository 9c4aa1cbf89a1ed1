"""Verification: every query of a report asked again, every number and rule-made sentence computed again, all compared.

Three things are told apart:

- a value whose seal does not fit: it was edited after the report was written;
- an answer that differs from the one in the report: the data changed, or the answer was edited;
- a number or sentence that does not follow from the fresh answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hansei.contracts import Evidence, Finding, Investigation, Periods, Report
from hansei.errors import (
    HanseiError,
    NoData,
    PermissionMissing,
    QueryFailed,
    QueryRefused,
    SchemaNotSupported,
    UsageError,
)
from hansei.tools.clickhouse import Reader
from hansei.tools.langfuse.coverage import coverage_of
from hansei.tools.langfuse.dataset import run_evidence
from hansei.tools.langfuse.schema import detect
from hansei.tools.langfuse.trusted import ReportGuard
from hansei.tools.ledger.judge import again_from_report
from hansei.tools.playbook.assess import Facts, candidate_of
from hansei.tools.playbook.catalogue import detector_of
from hansei.tools.playbook.conclude import Draft, Place, conclude
from hansei.tools.playbook.flow import flows_of
from hansei.tools.playbook.health import health_of
from hansei.tools.playbook.multiplicity import FALSE_DISCOVERY_RATE, slices_of
from hansei.tools.playbook.proposals import conclude_proposals
from hansei.tools.playbook.taxonomy import counted
from hansei.tools.report.compose import compose, seal, sealed_parts

Asked = Callable[[int, int], None]

_TIMED = frozenset({"seconds", "rows_read"})
"""What differs from run to run without anything being wrong."""

_DIGITS = 1e-9
"""Relative difference that is put down to the last bits of floating point."""


@dataclass(frozen=True)
class Difference:
    """A value that is not what it should be. `path` is where it stands, such as findings[0].current.value."""

    path: str
    written: Any
    recomputed: Any


@dataclass
class Verification:
    """What was compared, and what differs."""

    queries: int = 0
    numbers: int = 0
    differences: list[Difference] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.differences


def verify_report(report: Report, reader: Reader, asked: Asked | None = None) -> Verification:
    """Asks and computes everything again.

    Args:
        report: as it was read.
        reader: a session on the same data.
        asked: told after each query: how many have been asked, of how many.

    Raises:
        UsageError: the report is about another database.
        NoData, SchemaNotSupported: the database holds nothing of the report's project.
        ConnectionFailed: ClickHouse cannot be asked.
    """
    broken = edits(report)
    try:
        _must_be_about(report, reader)
    except (UsageError, NoData, SchemaNotSupported):
        if not broken:
            raise
        return Verification(differences=broken)
    return compare(report, ask_again(report, reader, asked))


Answers = dict[str, Evidence | QueryFailed | PermissionMissing | QueryRefused]
"""Path of an evidence → the same query's answer now, or why there is none."""


def ask_again(report: Report, reader: Reader, asked: Asked | None = None) -> Answers:
    """Runs every query of a report once more.

    Args:
        report, reader, asked: as in `verify_report`.

    Raises:
        ConnectionFailed: ClickHouse cannot be asked.
    """
    answers: Answers = {}
    queries = list(_all_evidence(report))
    guard = ReportGuard(reader, report.project_id)
    for number, (path, evidence) in enumerate(queries, 1):
        try:
            # Anybody may have edited the file: what is not Hansei's own SQL has to be as harmless as a stranger's.
            admitted = guard.admit(evidence.sql, evidence.parameters)
            again = run_evidence(reader, evidence.id, evidence.purpose, admitted.sql, admitted.parameters)
        except (QueryFailed, PermissionMissing, QueryRefused) as error:
            answers[path] = error
        else:
            answers[path] = again
        if asked is not None:
            asked(number, len(queries))
    return answers


def compare(report: Report, answers: Answers) -> Verification:
    """Holds a report against its own seals, against fresh answers and against what follows from these.

    Args:
        report: as it was read.
        answers: from `ask_again`.
    """
    result = Verification(queries=len(answers))
    broken = edits(report)
    found: list[Difference] = []
    used: dict[int, Evidence] = {}
    for path, evidence in _all_evidence(report):
        again = answers[path]
        if isinstance(again, HanseiError):
            found.append(Difference(f"{path}.sql", "a query that answers", again.message))
            again = evidence
        used[id(evidence)] = again
        found += compare_values(answer_of(evidence), answer_of(again), path, result)
    written = report.model_dump(mode="json")
    try:
        recomputed = _recompute(report, used)
    except (LookupError, ValueError, TypeError, ArithmeticError):
        # Something that numbers are computed from was edited into what cannot be computed with.
        if not broken:
            raise
    else:
        found += compare_values(_without_answers(written), _without_answers(recomputed), "", result)
    now = {difference.path: difference for difference in reversed(found)}
    first = [now.get(edit.path, edit) for edit in broken]
    result.differences = list({item.path: item for item in (*first, *found)}.values())
    return result


_EDITED = "something else when the report was written"


def edits(report: Report) -> list[Difference]:
    """What was changed after the report was written, by its seals alone."""
    out = []
    dump = report.model_dump(mode="json")
    parts = sealed_parts(dump)
    for name in dict.fromkeys((*parts, *report.seals)):
        values, marks = parts.get(name), report.seals.get(name, "").split()
        if values is None or len(values) != len(marks):
            out.append(Difference(name, "values that were added or removed", _EDITED))
            continue
        out += [
            Difference(path, value, _EDITED)
            for (path, value), mark in zip(values, marks, strict=True)
            if seal(path, value) != mark
        ]
    return out


def _must_be_about(report: Report, reader: Reader) -> None:
    database = reader.target.database
    detect(reader, database, report.project_id)
    if not any(f"`{database}`." in evidence.sql for _, evidence in _all_evidence(report)):
        raise UsageError(
            f"The report was not made from the database “{database}”.", "Name the report's own database in the URL."
        )


def _all_evidence(report: Report) -> Iterator[tuple[str, Evidence]]:
    for i, evidence in enumerate(report.coverage.evidence):
        yield f"coverage.evidence[{i}]", evidence
    for part in ("health", "flows"):
        for i, evidence in enumerate(getattr(getattr(report, part), "evidence", [])):
            yield f"{part}.evidence[{i}]", evidence
    for i, item in enumerate(report.since_last.items if report.since_last else []):
        for j, evidence in enumerate(item.evidence):
            yield f"since_last.items[{i}].evidence[{j}]", evidence
    groups = [("findings", report.findings), ("refuted", report.refuted)]
    for i, one in enumerate(report.investigations):
        for j, evidence in enumerate(one.evidence):
            yield f"investigations[{i}].evidence[{j}]", evidence
        groups.append((f"investigations[{i}].findings", one.findings))
    for group, findings in groups:
        for i, finding in enumerate(findings):
            for j, evidence in enumerate(finding.evidence):
                yield f"{group}[{i}].evidence[{j}]", evidence


def answer_of(evidence: Evidence) -> dict[str, Any]:
    return evidence.model_dump(mode="json", include={"columns", "rows", "row_count", "result_hash"})


def _recompute(report: Report, answers: dict[int, Evidence]) -> dict[str, Any]:
    """The report computed from the fresh answers, with what was decided (segments, the plan) or told by a model taken
    as written."""
    fresh = [answers[id(item)] for item in report.coverage.evidence]
    coverage = coverage_of(fresh, report.coverage.langfuse_schema, report.coverage.detectors, report.coverage.notes)
    periods = Periods(window=report.window, baseline=report.baseline)
    health = report.health and health_of([answers[id(item)] for item in report.health.evidence], periods)
    facts = Facts(
        periods,
        coverage.traces.window,
        coverage.total_cost.window,
        coverage.traces.baseline,
        tuple(health.changes if health else ()),
    )
    slices = slices_of(report)
    drafts = _drafts((*report.findings, *report.refuted), answers)
    place = Place(_base_url(report), report.project_id)
    conclusion = conclude(drafts, facts, slices, place, report.language)
    proposals = _drafts([finding for one in report.investigations for finding in one.findings], answers)
    proposed = conclude_proposals(drafts, proposals, facts, slices, place, report.language)
    findings, refuted = _as_listed(report, conclusion.findings, conclusion.refuted)
    again = report.model_copy(
        update={
            "coverage": coverage,
            "health": health,
            "flows": report.flows and flows_of([answers[id(item)] for item in report.flows.evidence]),
            "findings": findings,
            "refuted": refuted,
            "investigations": [_investigated_again(one, proposed, answers) for one in report.investigations],
            "since_last": report.since_last
            and again_from_report(report.since_last, findings, facts, answers, report.run.started_at),
            "run": report.run.model_copy(update={"queries": len(answers), "rows_read": report.run.rows_read}),
            "screening": report.screening.model_copy(
                update={
                    "slices": sum(slices.values()),
                    "p_values": conclusion.p_values,
                    "false_discovery_rate": FALSE_DISCOVERY_RATE,
                }
            ),
        }
    )
    return compose(again).model_dump(mode="json")


def _drafts(findings: Sequence[Finding], answers: dict[int, Evidence]) -> dict[str, Draft]:
    drafts = [
        Draft(
            candidate=candidate_of(finding, detector_of(finding.metric)[0].name),
            evidence=[answers[id(item)] for item in finding.evidence],
        )
        for finding in findings
    ]
    return {draft.id: draft for draft in drafts}


def _investigated_again(
    one: Investigation, proposed: Mapping[str, Finding], answers: dict[int, Evidence]
) -> Investigation:
    """An investigation with all its figures computed once more; its words and labels are taken as they are."""
    findings = [proposed.get(finding.id, finding) for finding in one.findings]
    taxonomy = one.taxonomy and counted(one.taxonomy, [answers[id(item)] for item in one.evidence])
    return one.model_copy(update={"taxonomy": taxonomy, "findings": findings})


def _as_listed(report: Report, findings: list[Finding], refuted: list[Finding]) -> tuple[list[Finding], list[Finding]]:
    """Recomputed findings in the place where the report lists them, so that they are compared one with one."""
    worded = {finding.id: finding.worded for finding in (*report.findings, *report.refuted)}
    again = {
        finding.id: finding.model_copy(update={"worded": worded.get(finding.id)}) for finding in (*findings, *refuted)
    }
    listed = [[again.get(finding.id) for finding in group] for group in (report.findings, report.refuted)]
    if any(finding is None for group in listed for finding in group) or len(again) != sum(map(len, listed)):
        return findings, refuted
    return [f for f in listed[0] if f is not None], [f for f in listed[1] if f is not None]


def _base_url(report: Report) -> str | None:
    """Langfuse's address, as the report's own links have it."""
    proposed = [finding for one in report.investigations for finding in one.findings]
    for finding in (*report.findings, *report.refuted, *proposed):
        for url in finding.trace_urls:
            return url.partition("/project/")[0]
    return None


def _without_answers(dump: dict[str, Any]) -> dict[str, Any]:
    """The dump without evidence (compared on its own), timings and seals."""
    out = {key: value for key, value in dump.items() if key != "seals"}
    for part in ("coverage", "health", "flows"):
        out[part] = {key: value for key, value in (dump[part] or {}).items() if key != "evidence"}
    if since := dump.get("since_last"):
        items = [{key: value for key, value in item.items() if key != "evidence"} for item in since["items"]]
        out["since_last"] = {**since, "items": items}
    for group in ("findings", "refuted"):
        out[group] = [_bare(item) for item in dump[group]]
    if "investigations" in dump:
        out["investigations"] = [
            {**_bare(one), "findings": [_bare(item) for item in one["findings"]]} for one in dump["investigations"]
        ]
    return out


def _bare(item: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key != "evidence"}


def compare_values(written: Any, again: Any, path: str, result: Verification) -> list[Difference]:
    """Differences between two JSON values; counts the numbers that it compared."""
    if isinstance(written, dict) and isinstance(again, dict):
        keys = [*written, *(key for key in again if key not in written)]
        return [
            difference
            for key in keys
            if key not in _TIMED
            for difference in compare_values(written.get(key), again.get(key), f"{path}.{key}" if path else key, result)
        ]
    if isinstance(written, list) and isinstance(again, list) and len(written) == len(again):
        return [
            difference
            for i, (one, other) in enumerate(zip(written, again, strict=True))
            for difference in compare_values(one, other, f"{path}[{i}]", result)
        ]
    if isinstance(written, int | float) and not isinstance(written, bool):
        result.numbers += 1
        if isinstance(again, int | float) and not isinstance(again, bool):
            same = abs(written - again) <= _DIGITS * max(abs(written), abs(again), 1e-300)
            return [] if same else [Difference(path, written, again)]
    return [] if written == again else [Difference(path, written, again)]
