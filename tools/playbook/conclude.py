"""From candidates with their evidence to findings with verdicts: the last, purely computed step.

The critic calls it to see what stands, the writer to get the findings, and `hansei verify` to compute a report once
more from fresh answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import Field

from hansei.contracts import Check, Echo, Evidence, Finding
from hansei.contracts.finding import Strict
from hansei.tools.playbook.assess import Facts, build_finding, evidence_for, fingerprint
from hansei.tools.playbook.catalogue import detector_of
from hansei.tools.playbook.checks import check_all, verdict_of
from hansei.tools.playbook.coincidence import in_words
from hansei.tools.playbook.echoes import ECHO, WITHOUT, cause_rank, is_echo, is_twin, share_left
from hansei.tools.playbook.model import Candidate
from hansei.tools.playbook.multiplicity import Slices, q_values
from hansei.tools.playbook.severity import importance
from hansei.tools.playbook.telling import gain_in_words, name, sentences
from hansei.tools.report.catalogue import say, speaking
from hansei.tools.report.formats import format_value


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


Known = dict[str, tuple["Draft", Finding | None]]
"""Findings by the drafts that they were built from, by fingerprint."""


def conclude(
    drafts: Mapping[str, Draft],
    facts: Facts,
    slices: Slices,
    place: Place,
    language: str = "en",
    *,
    final: bool = True,
    tell: bool = True,
    known: Known | None = None,
) -> Conclusion:
    """Computes all findings, with q-values over everything that was looked at, checks, verdicts, echoes and words.

    Args:
        drafts: by fingerprint.
        facts: the spans and totals.
        slices: how many slices were compared.
        place: for the links to traces.
        language: of the words.
        final: what the critic has not derived again is not confirmed; else it is taken to stand so far.
        tell: without, findings have no titles, summaries, causes and recommendations, in a third of the time.
        known: what earlier calls with the same facts built; a draft that is still the same is not built again.
    """
    with speaking(language):
        return _conclude(drafts, facts, slices, place, final, tell, {} if known is None else known)


def _conclude(
    drafts: Mapping[str, Draft], facts: Facts, slices: Slices, place: Place, final: bool, tell: bool, known: Known
) -> Conclusion:
    built: dict[str, Finding] = {}
    for key in sorted(drafts):
        draft = drafts[key]
        if key not in known or known[key][0] is not draft:
            known[key] = draft, _build(draft, facts, place)
        if (finding := known[key][1]) is not None:
            built[finding.id] = finding
    tested = [key for key in built if built[key].p_value is not None]
    p_values = [built[key].p_value or 0.0 for key in tested]
    detectors = [detector_of(built[key].metric)[0].name for key in tested]
    q_of = dict(zip(tested, q_values(detectors, p_values, slices), strict=True))
    judged = {key: _judge(finding, facts, q_of.get(key)) for key, finding in built.items()}
    judged = _fold(judged, facts, _title if tell else _untitled)
    if final:
        judged = {key: _if_derived_again(finding) for key, finding in judged.items()}
    told = sorted((_tell(finding, facts) if tell else finding for finding in judged.values()), key=importance)
    return Conclusion(
        [finding for finding in told if finding.verdict == "confirmed"],
        [finding for finding in told if finding.verdict != "confirmed"],
        sorted(p_values),
    )


def _build(draft: Draft, facts: Facts, place: Place) -> Finding | None:
    _, metric = detector_of(draft.candidate.metric)
    return build_finding(metric, draft.candidate, draft.evidence, facts, place.base_url, place.project_id)


def _judge(finding: Finding, facts: Facts, q: float | None) -> Finding:
    _, metric = detector_of(finding.metric)
    checks = check_all(metric, finding, facts, q)
    return finding.model_copy(update={"q_value": q, "checks": checks, "verdict": verdict_of(checks)})


def _if_derived_again(finding: Finding) -> Finding:
    """A finding that would be confirmed, but not without the critic: a run may have to end before its turn."""
    if finding.verdict != "confirmed" or evidence_for(finding.evidence, "rederive") is not None:
        return finding
    check = Check(name="rederived", passed=False, detail=say("check.not_rederived"))
    return finding.model_copy(update={"verdict": "not_measurable", "checks": [*finding.checks, check]})


def _fold(judged: dict[str, Finding], facts: Facts, title: Callable[[Finding], str]) -> dict[str, Finding]:
    """Takes out confirmed findings that another one explains, and names them there."""
    out = dict(judged)
    standing = _confirmed(judged)
    told_by: dict[str, str] = {}
    # Causes come before their echoes in this order, so what explains a finding has been judged when its turn comes.
    for finding in standing:
        twin = next((other for other in standing if is_twin(finding, other)), None)
        cause = told_by.get(twin.id, twin.id) if twin is not None else None
        detail = "" if cause is None else say("echo.twin", title=title(judged[cause]))
        if cause is None and (whole := next((other for other in standing if _is_part(finding, other, facts)), None)):
            cause = told_by.get(whole.id, whole.id)
            detail = say("echo.part", title=title(judged[cause]))
        if cause is None:
            for evidence in finding.evidence:
                ids = evidence.purpose.removeprefix(WITHOUT).split("+")
                others = [out[id] for id in ids if id in out and (out[id].verdict == "confirmed" or id in told_by)]
                if not evidence.purpose.startswith(WITHOUT) or len(others) < len(ids):
                    continue
                if (left := share_left(finding, others, evidence, facts)) < ECHO:
                    tellers = list(dict.fromkeys(told_by.get(id, id) for id in ids))
                    cause = tellers[0]
                    shown = format_value(max(0.0, min(1.0, left)), "ratio")
                    titles = say("check.and").join(title(judged[id]) for id in tellers)
                    detail = say("echo.left", title=titles, left=shown)
                    break
        if cause is not None:
            told_by[finding.id] = cause
            _explain(out, finding.id, cause, Check(name="own_cause", passed=False, detail=detail))
        elif any(item.purpose.startswith(WITHOUT) for item in finding.evidence):
            check = Check(
                name="own_cause",
                passed=True,
                detail=say("echo.own"),
            )
            out[finding.id] = out[finding.id].model_copy(update={"checks": [*finding.checks, check]})
    return out


def _is_part(finding: Finding, whole: Finding, facts: Facts) -> bool:
    """Whether a fall of scores is the part of a wider one that stands without it, too: the wider one is told."""
    if finding.kind != "quality" or whole.kind != "quality":
        return False
    left = evidence_for(whole.evidence, f"{WITHOUT}{finding.id}")
    return left is not None and not is_echo(whole, left, facts)


def _title(finding: Finding) -> str:
    return name(_tell(finding).title, 120)


def _untitled(finding: Finding) -> str:
    return finding.id


def _confirmed(findings: Mapping[str, Finding]) -> list[Finding]:
    """The confirmed ones, likeliest causes first."""
    return sorted((finding for finding in findings.values() if finding.verdict == "confirmed"), key=cause_rank)


def _explain(out: dict[str, Finding], echo: str, cause: str, check: Check) -> None:
    """Notes that `echo` is told by `cause`, with what had been folded into it before."""
    finding = out[echo]
    out[cause] = _with_echo(out[cause], finding)
    out[echo] = finding.model_copy(update={"checks": [*finding.checks, check], "verdict": "refuted", "echoes": []})


def _with_echo(cause: Finding, echo: Finding) -> Finding:
    heard = Echo(
        kind=echo.kind,
        metric=echo.metric,
        unit=echo.unit,
        segment=echo.segment,
        current=echo.current.value,
        baseline=echo.baseline.value if echo.baseline else None,
    )
    return cause.model_copy(update={"echoes": [*cause.echoes, heard, *echo.echoes]})


def _tell(finding: Finding, facts: Facts | None = None) -> Finding:
    detector, _ = detector_of(finding.metric)
    words = detector.tell(finding)
    return finding.model_copy(
        update={
            "title": words.title,
            "summary": words.summary,
            "cause": sentences(words.cause or "", in_words(finding, facts.changes) if facts else "") or None,
            "recommendation": sentences(words.recommendation, gain_in_words(finding)),
        }
    )
