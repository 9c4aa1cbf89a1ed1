"""The cases of a finding: what was asked in the traces that failed, and in passing traces of the same name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from hansei.contracts import Finding, Report
from hansei.contracts.window import Periods
from hansei.errors import NoData, UsageError
from hansei.tools.clickhouse import Reader
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.masking import mask
from hansei.tools.langfuse.schema import adapter_over, detect
from hansei.tools.playbook.assess import candidate_of
from hansei.tools.playbook.bad_traces import bad_and_sound
from hansei.tools.playbook.catalogue import detector_of

LONGEST = 20_000
"""Letters of an input or output that are kept; a longer one makes no test."""

FAILING = 20
"""Failing cases, unless somebody says otherwise."""

_DRAWN = 1_000
"""Traces of either kind that are looked at: some of them failed in another way, or have no answer."""

_PASSES = (
    "id NOT IN {ids:Array(String)} AND output != ''"
    " AND id NOT IN (SELECT trace_id FROM observations WHERE level = 'ERROR')"
)

_NO_ERROR = ("error", "silent_failure", "runaway", "loop", "unfinished", "empty_retrieval")


class Case(BaseModel):
    """One case.

    Args:
        trace_id: where it comes from.
        outcome: how that trace went.
        name: the trace's name.
        input: what was asked, as the trace has it.
        output: what was answered then.
        expected: what an answer must be: ``answers`` (there is one), ``no_error`` (it tells no error), ``changes`` (it
            is another one than the failing answer).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    trace_id: str
    outcome: Literal["failing", "passing"]
    name: str
    input: str
    output: str
    expected: list[Literal["answers", "no_error", "changes"]]


def find_finding(report: Report, finding_id: str) -> Finding:
    """A finding by its id, or by the beginning of it.

    Raises:
        UsageError: there is none, or more than one.
    """
    found = [one for one in report.findings if finding_id and one.id.startswith(finding_id)]
    if len(found) != 1:
        ids = ", ".join(one.id for one in report.findings) or "none"
        raise UsageError(f"The report has no finding “{finding_id[:80]}”.", f"Its findings are: {ids}.")
    return found[0]


def collect_cases(
    reader: Reader,
    database: str,
    report: Report,
    finding: Finding,
    *,
    failing: int = FAILING,
    passing: int = 5,
    masked: bool = True,
) -> list[Case]:
    """Reads the cases from the data that the report is about: the failing ones are the finding's example traces, then
    others in which its metric was bad.

    Args:
        reader: a session held to the report's project.
        database: where the tables are.
        report, finding: of the cases.
        failing: how many failing cases at most.
        passing, masked: see `read_cases`.

    Raises:
        NoData: the traces are gone, or hold no input.
    """
    source = detect(reader, database, report.project_id)
    periods = Periods(window=report.window, baseline=report.baseline)
    adapter = adapter_over(reader, source, report.project_id, periods)
    dataset = Dataset(reader, adapter, report.project_id, periods)
    traces = finding.example_trace_ids[:failing]
    return read_cases(dataset, finding, traces, filled_to=failing, passing=passing, masked=masked)


def read_cases(
    dataset: Dataset,
    finding: Finding,
    traces: Sequence[str],
    *,
    filled_to: int = 0,
    passing: int = 5,
    masked: bool = True,
) -> list[Case]:
    """Reads cases.

    Args:
        dataset: the report's data.
        finding: says how the traces fail.
        traces: the failing ones.
        filled_to: where there are fewer, others in which the finding's metric was bad are added.
        passing: how many traces are added in which it was not bad and no step failed: of its segment, else of the same
            names, where it is known of all in which it was bad.
        masked: personal data and secrets are replaced.

    Raises:
        NoData: the traces are gone, or hold no input.
    """
    bad, sound, all_known = _drawn(dataset, finding)
    known = list(dict.fromkeys([*traces, *bad]))
    wanted = known[: max(filled_to, len(traces))]
    failing = _rows(dataset, "id IN {ids:Array(String)}", {"ids": wanted}, len(wanted))
    good: list[dict[str, Any]] = []
    if failing and passing:
        names = sorted({str(row["name"]) for row in failing})
        values = {"ids": known, "sound": sound, "names": names}
        good = _rows(dataset, f"id IN {{sound:Array(String)}} AND {_PASSES}", values, passing)
        if not good and all_known:
            good = _rows(dataset, f"name IN {{names:Array(String)}} AND {_PASSES}", values, passing)
    cases = [_case(row, finding, "failing", masked) for row in failing]
    cases += [_case(row, finding, "passing", masked) for row in good]
    usable = [case for case in cases if case.input and len(case.input) <= LONGEST]
    if not any(case.outcome == "failing" for case in usable):
        raise NoData(
            "None of the finding's example traces has an input that a test could use.",
            "Record inputs on the traces, or choose another finding.",
        )
    return usable


def _drawn(dataset: Dataset, finding: Finding) -> tuple[list[str], list[str], bool]:
    """Ids of traces in which the finding's metric was bad, and of others of its segment; none of what no trace has.
    And whether the first are all that there are."""
    try:
        detector, metric = detector_of(finding.metric)
        if metric.shape == "count" or finding.direction == "improvement":
            return [], [], True
        candidate, usual = candidate_of(finding, detector.name), (finding.baseline or finding.current).value
        bad, sound = bad_and_sound(dataset, candidate, usual, _DRAWN)
    except KeyError:  # of another version of Hansei: the traces that are named are there all the same
        return [], [], True
    all_known = not bad or int(bad[0]["of"]) == len(bad)
    return [str(row["id"]) for row in bad], [str(row["id"]) for row in sound], all_known


def _rows(dataset: Dataset, condition: str, values: dict[str, Any], most: int) -> list[dict[str, Any]]:
    """Traces with their texts; where a trace has none, those of its first step."""
    sql = f"""SELECT t.id AS id, t.name AS name, if(t.input != '', t.input, s.input) AS input,
  if(t.output != '', t.output, s.output) AS output
FROM (SELECT id, name, input, output FROM traces WHERE {condition} ORDER BY cityHash64(id) LIMIT {most}) AS t
LEFT ANY JOIN
(
  SELECT trace_id, argMin(input, (parent_id != '', start_time)) AS input,
    argMin(output, (parent_id != '', start_time)) AS output
  FROM observations
  WHERE trace_id IN (SELECT id FROM traces WHERE {condition} ORDER BY cityHash64(id) LIMIT {most})
  GROUP BY trace_id
) AS s ON t.id = s.trace_id
ORDER BY id"""
    return list(dataset.ask("cases", "cases", dataset.bind(sql, ("traces", "observations")), values).records())


def _case(row: dict[str, Any], finding: Finding, outcome: Literal["failing", "passing"], masked: bool) -> Case:
    clean = mask if masked else str
    expected: list[Literal["answers", "no_error", "changes"]] = ["answers"]
    if finding.kind in _NO_ERROR or outcome == "passing":
        expected.append("no_error")
    if outcome == "failing" and finding.kind in ("silent_failure", "truncation") and row["output"]:
        expected.append("changes")
    return Case(
        trace_id=str(row["id"]),
        outcome=outcome,
        name=clean(str(row["name"])),
        input=clean(str(row["input"])),
        output=clean(str(row["output"]))[:LONGEST],
        expected=expected,
    )
