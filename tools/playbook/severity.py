"""The one definition of severity, and the order of findings.

Harm is a share between 0 and 1, the larger of two:

- which share of the project's traces in the window was hit beyond what the reference leads to expect, weighted by what
  kind of harm it is, because a failed answer hurts more than a slow one:
  failures (error, silent_failure, loop, unfinished, quality, runaway) × 1; waiting and traffic × 0.5; the rest × 0.25;
- which share of the project's spending in the window is extra.

    critical ≥ 5 %      high ≥ 1 %      medium ≥ 0.2 %      low below, and every improvement

What is missing in the data harms nobody by itself: a gap is medium at most when it blinds what is looked for, else low.
"""

from __future__ import annotations

from hansei.contracts import SEVERITIES, Direction, Finding, Impact, Kind, Severity
from hansei.tools.playbook.model import Metric

WEIGHTS: dict[Kind, float] = {
    "error": 1.0,
    "silent_failure": 1.0,
    "loop": 1.0,
    "unfinished": 1.0,
    "quality": 1.0,
    "runaway": 1.0,
    "latency": 0.5,
    "first_token_latency": 0.5,
    "traffic": 0.5,
}
OTHERWISE = 0.25

BOUNDS: tuple[tuple[Severity, float], ...] = (("critical", 0.05), ("high", 0.01), ("medium", 0.002))


def harm(kind: Kind, impact: Impact) -> float:
    """Weighted harm, 0 to 1; 0 when it is not known."""
    hit = abs(impact.share_of_traces or 0.0) * WEIGHTS.get(kind, OTHERWISE)
    return max(hit, abs(impact.share_of_cost or 0.0))


def severity(metric: Metric, direction: Direction, impact: Impact) -> Severity:
    """Severity by the table above."""
    if direction == "improvement":
        return "low"
    weighted = harm(metric.kind, impact)
    found: Severity = next((name for name, bound in BOUNDS if weighted >= bound), "low")
    return max(found, metric.worst, key=SEVERITIES.index)


def importance(finding: Finding) -> tuple[int, int, float, str]:
    """Sort key: problems before improvements, worst severity first, then harm."""
    return (
        1 if finding.direction == "improvement" else 0,
        SEVERITIES.index(finding.severity),
        -harm(finding.kind, finding.impact),
        finding.id,
    )
