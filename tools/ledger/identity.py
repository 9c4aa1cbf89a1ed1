"""Which finding of a run is which finding of the ledger.

A finding's fingerprint is made of kind, metric, direction and segment: of nothing that is worded or counted. In order:

1. The same fingerprint is the same finding.
2. The same kind, metric and side (worse; regressions and hotspots alike), and the same segment but for what comes and
   goes with deployments (prompt version, release, version): version 8 of a prompt carries on what version 7 had.
   Something else must be left in the segment, or any two releases would be one.
3. The same again, where one segment holds the other and both name the same step (tool, prompt, observation, model or
   score): the narrowest slice that shows a problem may be `tool` in one week and `tool, environment` in the next.

Each finding of the ledger is at most one finding of a run, the surest match first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from hansei.contracts import Direction, Finding, Report, Segment
from hansei.contracts.since import Known

MOVING = frozenset({"prompt_version", "release", "version"})
"""Dimensions whose values come and go with deployments."""

STEPS = ("tool_name", "observation_name", "prompt_name", "model", "score_name")


def is_problem(finding: Finding) -> bool:
    """What got better is told once and not kept."""
    return finding.direction != "improvement"


def matches(known: Iterable[Known], findings: Sequence[Finding]) -> dict[str, str]:
    """Finding's id → the ledger's id; findings that are new are missing."""
    left = {one.id: one for one in known}
    found: dict[str, str] = {}
    for alike in (_same, _moved, _nested):
        for finding in findings:
            if finding.id in found or not is_problem(finding):
                continue
            # Of several, the one that was found last.
            best = max(
                (one for one in left.values() if alike(one, finding)), key=lambda one: (one.counted_to, one.id),
                default=None,
            )  # fmt: skip
            if best is not None:
                found[finding.id] = best.id
                del left[best.id]
    return found


def _same(known: Known, finding: Finding) -> bool:
    return finding.id in known.fingerprints


def _moved(known: Known, finding: Finding) -> bool:
    mine = stable(finding.segment)
    return _akin(known, finding) and bool(mine) and mine == stable(known.segment)


def _nested(known: Known, finding: Finding) -> bool:
    mine, theirs = stable(finding.segment), stable(known.segment)
    step = any(key in mine and mine[key] == theirs.get(key) for key in STEPS)
    return _akin(known, finding) and step and (mine.items() <= theirs.items() or theirs.items() <= mine.items())


def _akin(known: Known, finding: Finding) -> bool:
    return (known.kind, known.metric, _side(known.direction)) == (
        finding.kind,
        finding.metric,
        _side(finding.direction),
    )


def _side(direction: Direction) -> str:
    return "better" if direction == "improvement" else "worse"


def stable(segment: Mapping[str, str]) -> Segment:
    """A segment without what comes and goes with deployments."""
    return {key: value for key, value in segment.items() if key not in MOVING}


def place_of(known: Known) -> Segment:
    """Where a finding is looked for when its own version is gone: what it took the place of.

    A new version of a prompt takes the place of its other versions, a new model that of the step's other models.
    """
    if known.comparison.against == "baseline" and known.comparison.segment != known.segment:
        return known.comparison.segment
    return stable(known.segment)


def muted_in(report: Report) -> set[str]:
    """Ids of a report's findings that somebody has muted."""
    items = report.since_last.items if report.since_last else []
    return {one.finding_id for one in items if one.muted is not None and one.finding_id is not None}
