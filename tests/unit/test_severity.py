"""Severity by its written table, and the order of findings."""

from __future__ import annotations

import pytest
from tests.support.drafts import built, draft_of, finding_of

from hansei.contracts import Direction, Finding, Impact, Kind, Severity
from hansei.tools.playbook.catalogue import DETECTORS
from hansei.tools.playbook.severity import harm, importance, severity

METRICS = {metric.kind: metric for detector in DETECTORS for metric in detector.metrics}


@pytest.mark.parametrize(
    ("share", "level"),
    [
        (0.05, "critical"), (0.0499, "high"), (0.01, "high"), (0.0099, "medium"), (0.002, "medium"), (0.0019, "low"),
        (0.0, "low"), (None, "low"),
    ],
)  # fmt: skip
def test_failures_count_by_the_share_of_traces_they_hit(share: float | None, level: Severity) -> None:
    assert severity(METRICS["error"], "regression", Impact(share_of_traces=share)) == level


@pytest.mark.parametrize(
    ("kind", "weight"),
    [
        ("error", 1.0), ("silent_failure", 1.0), ("loop", 1.0), ("unfinished", 1.0), ("quality", 1.0), ("runaway", 1.0),
        ("latency", 0.5), ("traffic", 0.5), ("cost", 0.25), ("token_usage", 0.25),
    ],
)  # fmt: skip
def test_a_failure_weighs_more_than_waiting_and_waiting_more_than_the_rest(kind: Kind, weight: float) -> None:
    assert harm(kind, Impact(share_of_traces=0.08)) == pytest.approx(0.08 * weight)


def test_money_counts_by_its_share_of_all_money_when_that_is_worse() -> None:
    assert harm("runaway", Impact(share_of_traces=0.006, share_of_cost=0.6)) == 0.6
    assert harm("cost", Impact(share_of_traces=0.4, share_of_cost=0.02)) == pytest.approx(0.1)
    assert severity(METRICS["cost"], "regression", Impact(share_of_cost=0.03)) == "high"


def test_what_is_not_known_is_no_harm_known() -> None:
    assert harm("error", Impact()) == 0.0


@pytest.mark.parametrize("direction", ["regression", "hotspot"])
def test_an_improvement_is_never_severe(direction: Direction) -> None:
    large = Impact(share_of_traces=-0.9, share_of_cost=-0.9)
    assert severity(METRICS["error"], "improvement", large) == "low"
    assert severity(METRICS["error"], direction, large) == "critical"


def test_findings_are_told_problems_first_then_by_severity_then_by_harm() -> None:
    def made(direction: Direction, level: Severity, share: float, kind: Kind = "error") -> str:
        found = finding_of(kind=kind, direction=direction, segment={"tool_name": f"{level} {share}"})
        update = {"severity": level, "impact": Impact(share_of_traces=share)}
        findings.append(found.model_copy(update=update))
        return found.id

    findings: list[Finding] = []
    wanted = [
        made("regression", "critical", 0.06), made("hotspot", "high", 0.04), made("regression", "high", 0.02),
        made("regression", "medium", 0.003), made("regression", "low", 0.001), made("improvement", "low", -0.5),
    ]  # fmt: skip
    shuffled = [findings[i] for i in (3, 0, 5, 2, 4, 1)]
    assert [finding.id for finding in sorted(shuffled, key=importance)] == wanted


def test_what_stands_out_hits_as_many_traces_as_fail_beyond_the_rests_share_of_rows() -> None:
    """One call in ten of a tool fails, of the others one in 50; but the other traces hold so many calls that more of
    them hold a failing one."""
    draft = draft_of([(100, 10)] * 7, [(5000, 100)] * 7, segment={"tool_name": "shell"}, rest=True)
    [answer] = draft.evidence
    traces, affected = answer.columns.index("traces"), answer.columns.index("affected")
    for row in answer.rows:
        if row[0] == "rest":
            row[traces], row[affected] = 120, 90
    impact = built(draft).impact
    assert impact.affected_traces == 70
    assert impact.excess_traces == pytest.approx(70 * (1 - 0.02 / 0.1))
    assert (impact.share_of_traces or 0) > 0
