"""A report in another language: its words are told again from its numbers, which stay as they are."""

from __future__ import annotations

from hansei.contracts import Finding, Periods, Report
from hansei.tools.playbook.assess import Facts, candidate_of
from hansei.tools.playbook.catalogue import detector_of
from hansei.tools.playbook.conclude import Conclusion, Draft, Place, conclude
from hansei.tools.playbook.multiplicity import slices_of
from hansei.tools.playbook.proposals import conclude_proposals
from hansei.tools.report.compose import compose

_WORDS = ("title", "summary", "cause", "recommendation", "checks")


def in_language(report: Report, language: str) -> Report:
    """The report with its headline, findings and questions in `language`, sealed anew.

    A finding of a metric that this Hansei does not know keeps its words; so do all when the evidence is not such as
    Hansei writes, because the report was edited.
    """
    periods = Periods(window=report.window, baseline=report.baseline)
    traces = report.coverage.traces
    changes = tuple(report.health.changes if report.health else ())
    facts = Facts(periods, traces.window, report.coverage.total_cost.window, traces.baseline, changes)
    listed = [*report.findings, *report.refuted]
    drafts = {draft.id: draft for draft in map(_draft, listed) if draft is not None}
    aside = [finding for one in report.investigations for finding in one.findings]
    proposals = {draft.id: draft for draft in map(_draft, aside) if draft is not None}
    place = Place(None, report.project_id)
    slices = slices_of(report)
    try:
        told = conclude(drafts, facts, slices, place, language)
        proposed = conclude_proposals(drafts, proposals, facts, slices, place, language)
    except (LookupError, ValueError, TypeError, ArithmeticError):
        told, proposed = Conclusion([], [], []), {}
    again = {**proposed, **{finding.id: finding for finding in (*told.findings, *told.refuted)}}

    def reworded(finding: Finding) -> Finding:
        other = again.get(finding.id)
        return finding.model_copy(update={name: getattr(other, name) for name in _WORDS}) if other else finding

    def reworded_as_whole(finding: Finding) -> Finding:
        # What a model wrote stays in its language, so it is left out of another.
        return reworded(finding).model_copy(update={} if language == report.language else {"worded": None})

    changed = {
        "language": language,
        "summary": report.summary if language == report.language else None,
        "findings": [reworded_as_whole(one) for one in report.findings],
        "refuted": [reworded_as_whole(one) for one in report.refuted],
        "investigations": [
            one.model_copy(update={"findings": [reworded(finding) for finding in one.findings]})
            for one in report.investigations
        ],
    }
    return compose(report.model_copy(update=changed))


def _draft(finding: Finding) -> Draft | None:
    try:
        detector, _ = detector_of(finding.metric)
    except KeyError:
        return None
    return Draft(candidate=candidate_of(finding, detector.name), evidence=finding.evidence)
