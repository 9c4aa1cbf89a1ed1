"""Candidates that somebody names who has seen the data: held to the same words, measures and doubts as the screen's.

They are concluded beside the rules' findings, never among them: what the rules found, its q-values and what is folded
into what, stays as it is without them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from hansei.contracts import Comparison, Finding, Segment
from hansei.errors import QueryRefused
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.playbook.assess import Facts, evidence_for
from hansei.tools.playbook.catalogue import DETECTORS, detector_of
from hansei.tools.playbook.conclude import Draft, Place, conclude
from hansei.tools.playbook.drafting import measure_candidate
from hansei.tools.playbook.model import Candidate
from hansei.tools.playbook.multiplicity import Slices, and_also
from hansei.tools.playbook.segments import condition

_ELSEWHERE = frozenset({"traffic", "instrumentation_gap", "judge_disagreement"})
"""Kinds whose findings rest on more than rows of a segment."""

PROPOSABLE = tuple(metric.name for entry in DETECTORS for metric in entry.metrics if metric.kind not in _ELSEWHERE)
"""Metrics that a candidate may be proposed of."""

DEFAULTS = {"repeats": 4.0, "many_steps": 50.0, "history_days": 28.0}
"""Parameters of metrics where nobody gives another value."""

_REPLACED = frozenset({"prompt_version", "release", "version", "model"})
"""What takes the place of another value of its kind: where it is new, the others are its reference."""


def proposed(metric: str, segment: Segment, direction: Literal["regression", "improvement", "hotspot"]) -> Candidate:
    """A candidate.

    Raises:
        QueryRefused: there is no such metric, or it cannot be asked of such a segment.
    """
    if metric not in PROPOSABLE:
        raise QueryRefused("There is no such metric.", f"Metrics are: {', '.join(PROPOSABLE)}.", reason="name")
    detector, measured = detector_of(metric)
    try:
        condition(segment, measured.relation, "seg")
    except KeyError:
        raise QueryRefused(f"{metric} cannot be narrowed so.", "Name other dimensions.", reason="name") from None
    against: Literal["baseline", "rest_of_window"] = "rest_of_window" if direction == "hotspot" else "baseline"
    return Candidate(
        detector=detector.name,
        metric=metric,
        direction=direction,
        segment=segment,
        comparison=Comparison(against=against, segment=segment if against == "baseline" else {}),
        parameters={name: DEFAULTS.get(name, 0.0) for name in detector.parameters if f"{{{name}:" in measured.y},
    )


def measure_proposal(dataset: Dataset, candidate: Candidate) -> Draft:
    """The figures of a proposed candidate; one that is new in the window is held against what it took the place of."""
    draft = measure_candidate(dataset, candidate)
    measured = evidence_for(draft.evidence, "measure")
    before = {row["period"] for row in measured.records()} if measured else set()
    wider = {key: value for key, value in candidate.segment.items() if key not in _REPLACED}
    if candidate.comparison.against != "baseline" or "baseline" in before or wider == candidate.segment:
        return draft
    other = Comparison(against="baseline", segment=wider)
    return measure_candidate(dataset, candidate.model_copy(update={"comparison": other}))


def conclude_proposals(
    drafts: Mapping[str, Draft],
    proposals: Mapping[str, Draft],
    facts: Facts,
    slices: Slices,
    place: Place,
    language: str = "en",
    *,
    final: bool = True,
) -> dict[str, Finding]:
    """What becomes of proposals, by fingerprint: beside the rules' drafts, each counting as one more slice.

    Args:
        drafts: of the rules.
        proposals: those that are among the drafts are told there.
        facts, slices, place, language, final: as in `conclude`.
    """
    own = {key: draft for key, draft in proposals.items() if key not in drafts}
    if not own:
        return {}
    looked = and_also(slices, [draft.candidate.detector for draft in own.values()])
    together = conclude({**drafts, **own}, facts, looked, place, language, final=final)
    return {finding.id: finding for finding in (*together.findings, *together.refuted) if finding.id in own}
