"""Two findings that are two sides of one thing, told by their numbers: which of them is the thing itself.

The time to the first token is part of a call's latency, a lost cache is part of a risen price, an empty search result
is one way to fail silently, and a call without usage has no cost either.
"""

from __future__ import annotations

from hansei.contracts import Finding
from hansei.tools.playbook.parts import kinds_of_traffic

_MOST = 0.6
"""A part that carries at least this share of the whole's change is the change."""

_GAPS = ("generations_without_model", "generations_without_usage", "generations_without_cost")
"""Each makes the next: no price without usage, and none without a model's name."""

_SAME_CALLS = ("tool_name", "observation_name", "prompt_name", "model")


def is_side_of(finding: Finding, other: Finding) -> bool:
    """Whether `finding` is one side of `other`, so that `other` alone is told. Never true both ways."""
    if finding.direction == "improvement" and other.metric in _GAPS and other.direction == "regression":
        # What is no longer recorded looks as if it had been saved.
        mine, theirs = apps_of(finding), apps_of(other)
        return finding.kind in ("cost", "token_usage", "cache") and (not mine or not theirs or bool(mine & theirs))
    if (finding.direction == "improvement") != (other.direction == "improvement") or not _overlap(finding, other):
        return False
    match finding.kind, other.kind:
        case ("latency", "first_token_latency") | ("silent_failure", "empty_retrieval"):
            return not finding.metric.startswith("trace") and _carries(other, finding)
        case ("first_token_latency", "latency") | ("empty_retrieval", "silent_failure"):
            return not other.metric.startswith("trace") and not _carries(finding, other)
        case ("cache", "cost"):
            return other.metric == "cost_per_call"
        case ("unfinished", "instrumentation_gap"):
            return other.metric == "steps_without_end"
        case ("instrumentation_gap", "instrumentation_gap"):
            both = finding.metric in _GAPS and other.metric in _GAPS
            return both and _GAPS.index(other.metric) < _GAPS.index(finding.metric)
    return False


def _carries(part: Finding, whole: Finding) -> bool:
    return abs(part.effect or 0.0) >= _MOST * abs(whole.effect or 0.0)


def _overlap(finding: Finding, other: Finding) -> bool:
    mine, theirs = finding.segment, other.segment
    if mine.items() <= theirs.items() or theirs.items() <= mine.items():
        return True
    return any(key in mine and mine[key] == theirs.get(key) for key in _SAME_CALLS)


def apps_of(finding: Finding) -> frozenset[str]:
    """The apps in which a finding happens, as far as it is known; empty: unknown."""
    if "trace_name" in finding.segment:
        return frozenset({finding.segment["trace_name"]})
    return frozenset(str(row["stratum"][0]) for row in kinds_of_traffic(finding.evidence) or () if row["x"])
