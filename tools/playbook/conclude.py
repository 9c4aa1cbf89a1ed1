"""From candidates with their evidence to findings with verdicts: the last, purely computed step.

The critic calls it to see what stands, the writer to get the findings, and `hansei verify` to compute a report once more
from fresh answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import Field

from hansei.contracts import Check, Echo, Evidence, Finding
from hansei.contracts.finding import Strict
from hansei.tools import statistics
from hansei.tools.playbook.assess import Facts, build_finding, fingerprint
from hansei.tools.playbook.catalogue import detector_of
from hansei.tools.playbook.checks import check_all, left_without, verdict_of
from hansei.tools.playbook.model import Candidate
from hansei.tools.playbook.severity import importance
from hansei.tools.playbook.telling import name
from hansei.tools.report.formats import format_value

_ECHO = 0.4
"""A finding of which less than this is left without another's traces is that one's echo."""


class Draft(Strict):
    """A candidate and what has been asked about it so far."""

    candidate: Candidate
    evidence: list[Evidence] = Field(default_factory=list)

    @property
    def id(self) -> str:
        """The fingerprint of the finding that it may become."""
        _, metric = detector_of(self.candidate.metric)
        return fingerprint(metric.kind, metric.name, self.candidate.direction, self.candidate.segment)

    def has(self, purpose: str) -> bool:
        """Whether there is evidence with that purpose."""
        return any(item.purpose == purpose for item in self.evidence)


@dataclass(frozen=True)
class Conclusion:
    """What stands and what does not, both sorted by importance, and the p-values that were tested."""

    findings: list[Finding]
    refuted: list[Finding]
    p_values: list[float]


@dataclass(frozen=True)
class Place:
    """Where links to traces point: Langfuse's address (None: no links) and the project."""

    base_url: str | None
    project_id: str


def conclude(drafts: Mapping[str, Draft], facts: Facts, slices: int, place: Place) -> Conclusion:
    """Computes all findings, with q-values over everything that was looked at, checks, verdicts, echoes and words.

    Args:
        drafts: by fingerprint.
        facts: the spans and totals.
        slices: how many slices were compared in all.
        place: for the links to traces.
    """
    built: dict[str, Finding] = {}
    for key in sorted(drafts):
        draft = drafts[key]
        _, metric = detector_of(draft.candidate.metric)
        finding = build_finding(metric, draft.candidate, draft.evidence, facts, place.base_url, place.project_id)
        if finding is not None:
            built[finding.id] = finding
    tested = [key for key in built if built[key].p_value is not None]
    p_values = [built[key].p_value or 0.0 for key in tested]
    q_values = dict(zip(tested, statistics.benjamini_hochberg(p_values, slices), strict=True))
    judged = {key: _judge(finding, facts, q_values.get(key)) for key, finding in built.items()}
    judged = _fold(judged, facts)
    told = sorted((_tell(finding) for finding in judged.values()), key=importance)
    return Conclusion(
        [finding for finding in told if finding.verdict == "confirmed"],
        [finding for finding in told if finding.verdict != "confirmed"],
        sorted(p_values),
    )


def _judge(finding: Finding, facts: Facts, q: float | None) -> Finding:
    _, metric = detector_of(finding.metric)
    checks = check_all(metric, finding, facts, q)
    return finding.model_copy(update={"q_value": q, "checks": checks, "verdict": verdict_of(checks)})


def _fold(judged: dict[str, Finding], facts: Facts) -> dict[str, Finding]:
    """Takes out confirmed findings that are another's echo, and names them in their cause."""
    out = dict(judged)
    for key in judged:
        finding = out[key]
        if finding.verdict != "confirmed":
            continue
        for evidence in finding.evidence:
            cause = evidence.purpose.partition("without:")[2]
            if not cause or cause not in judged or out[cause].verdict != "confirmed":
                continue
            left = left_without(finding, evidence, facts)
            passed = left >= _ECHO
            title = name(_tell(judged[cause]).title, 120)
            check = Check(
                name="own_cause",
                passed=passed,
                detail=f"Without the traces of {title}, {format_value(max(0.0, min(1.0, left)), 'ratio')} of the change is left"
                + (": it has a cause of its own." if passed else ": it is told there."),
            )
            finding = finding.model_copy(update={"checks": [*finding.checks, check]})
            if not passed:
                finding = finding.model_copy(update={"verdict": "refuted"})
                out[cause] = _with_echo(out[cause], finding)
                out[key] = finding
                break
            out[key] = finding
    return out


def _with_echo(cause: Finding, echo: Finding) -> Finding:
    heard = Echo(
        kind=echo.kind,
        metric=echo.metric,
        unit=echo.unit,
        segment=echo.segment,
        current=echo.current.value,
        baseline=echo.baseline.value if echo.baseline else None,
    )
    return cause.model_copy(update={"echoes": [*cause.echoes, heard]})


def _tell(finding: Finding) -> Finding:
    detector, _ = detector_of(finding.metric)
    words = detector.tell(finding)
    return finding.model_copy(
        update={
            "title": words.title,
            "summary": words.summary,
            "cause": words.cause,
            "recommendation": words.recommendation,
        }
    )


def cause_rank(finding: Finding) -> tuple[int, int, float]:
    """Which of two findings rather causes the other: failures before slowness, steps before whole traces, then the surer one."""
    order = ("error", "silent_failure", "loop", "runaway", "unfinished", "cost", "latency", "token_usage", "quality")
    kind = order.index(finding.kind) if finding.kind in order else len(order)
    segment = finding.segment
    if {"tool_name", "prompt_name"} & segment.keys():
        grain = 0
    elif {"observation_name", "model"} & segment.keys():
        grain = 1
    else:
        grain = 2
    return (grain, kind, finding.p_value if finding.p_value is not None else 1.0)


def may_echo(finding: Finding, cause: Finding) -> bool:
    """Whether `finding` could be an echo of `cause` at all, so that it is worth a query.

    A cause that is an average has touched all traces of its segment; leaving them out says something only about sums
    over the same traces.
    """
    if finding.id == cause.id or finding.kind in ("traffic", "quality") or cause.kind in ("traffic", "quality"):
        return False
    better = [one.direction == "improvement" for one in (finding, cause)]
    if better[0] != better[1] or cause_rank(cause) >= cause_rank(finding):
        return False
    for dimension in ("trace_name", "environment"):
        mine, theirs = finding.segment.get(dimension), cause.segment.get(dimension)
        if mine is not None and theirs is not None and mine != theirs:
            return False
    if cause.metric in ("cost_per_call", "tokens_per_call", "cost_per_trace"):
        same_step = all(finding.segment.get(key) == cause.segment.get(key) for key in ("tool_name", "observation_name"))
        return finding.kind in ("cost", "token_usage", "latency") and (same_step or "trace" in finding.metric)
    return True


def without_echoes(findings: Sequence[Finding]) -> list[tuple[Finding, Finding]]:
    """Pairs (finding, possible cause) worth a query, likeliest causes first."""
    ranked = sorted(findings, key=cause_rank)
    return [(finding, cause) for finding in ranked for cause in ranked if may_echo(finding, cause)]
