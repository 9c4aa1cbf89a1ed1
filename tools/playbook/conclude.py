"""From candidates with their evidence to findings with verdicts: the last, purely computed step.

The critic calls it to see what stands, the writer to get the findings, and `hansei verify` to compute a report once
more from fresh answers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import Field

from hansei.contracts import Check, Echo, Evidence, Finding, Kind, Segment
from hansei.contracts.finding import Strict
from hansei.tools import statistics
from hansei.tools.playbook.assess import Facts, build_finding, evidence_for, fingerprint
from hansei.tools.playbook.catalogue import detector_of
from hansei.tools.playbook.checks import check_all, left_without, verdict_of
from hansei.tools.playbook.coincidence import in_words
from hansei.tools.playbook.kinship import apps_of, is_side_of
from hansei.tools.playbook.model import Candidate
from hansei.tools.playbook.severity import harm, importance
from hansei.tools.playbook.telling import gain_in_words, name, sentences
from hansei.tools.report.catalogue import say, speaking
from hansei.tools.report.formats import format_value

_EXPLAINS = 0.3
"""A cause that hit fewer traces than this share of a finding's cannot explain it."""

_RARE = 0.001
"""A share that was never seen before is taken for this one, of a large segment as of a small one."""

_ECHO = 0.4
"""A finding of which less than this is left without another's traces is that one's echo."""

_SAME_ROWS = 0.8
"""Two segments that are the same may differ by a fifth of their rows, where one of them is not always known."""


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
    slices: int,
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
        slices: how many slices were compared in all.
        place: for the links to traces.
        language: of the words.
        final: what the critic has not derived again is not confirmed; else it is taken to stand so far.
        tell: without, findings have no titles, summaries, causes and recommendations, in a third of the time.
        known: what earlier calls with the same facts built; a draft that is still the same is not built again.
    """
    with speaking(language):
        return _conclude(drafts, facts, slices, place, final, tell, {} if known is None else known)


def _conclude(
    drafts: Mapping[str, Draft], facts: Facts, slices: int, place: Place, final: bool, tell: bool, known: Known
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
    q_values = dict(zip(tested, statistics.benjamini_hochberg(p_values, slices), strict=True))
    judged = {key: _judge(finding, facts, q_values.get(key)) for key, finding in built.items()}
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
                other_id = evidence.purpose.partition("without:")[2]
                other = out.get(other_id)
                if other is None or not (other.verdict == "confirmed" or other_id in told_by):
                    continue
                if (left := _left(finding, other, evidence, facts)) < _ECHO:
                    cause = told_by.get(other_id, other_id)
                    shown = format_value(max(0.0, min(1.0, left)), "ratio")
                    detail = say("echo.left", title=title(judged[cause]), left=shown)
                    break
        if cause is not None:
            told_by[finding.id] = cause
            _explain(out, finding.id, cause, Check(name="own_cause", passed=False, detail=detail))
        elif any(item.purpose.startswith("without:") for item in finding.evidence):
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
    left = evidence_for(whole.evidence, f"without:{finding.id}")
    return left is not None and not is_echo(whole, left, facts)


def _title(finding: Finding) -> str:
    return name(_tell(finding).title, 120)


def _untitled(finding: Finding) -> str:
    return finding.id


def _are_as_many(finding: Finding, cause: Finding) -> bool:
    """Whether two findings may be about the same rows under two names, such as a language and a locale."""
    if finding.segment.get("score_name") != cause.segment.get("score_name"):
        return False
    return min(finding.current.n, cause.current.n) >= _SAME_ROWS * max(finding.current.n, cause.current.n)


def is_echo(finding: Finding, without: Evidence, facts: Facts) -> bool:
    """Whether too little of a finding is left without the traces of another for it to have a cause of its own."""
    return left_without(finding, without, facts) < _ECHO


def _left(finding: Finding, cause: Finding, without: Evidence, facts: Facts) -> float:
    """Which share of a finding's effect another does not explain.

    Of a part of what got dearer as a whole no row is left without the whole: it explains as much as it moved itself.
    """
    left = left_without(finding, without, facts)
    mine, theirs = _relative(finding), _relative(cause)
    if finding.metric == cause.metric and finding.kind in ("cost", "token_usage") and mine and theirs is not None:
        return max(left, 1 - theirs / mine)
    return left


def _relative(finding: Finding) -> float | None:
    """The change as a share of the reference; None: not known."""
    before = finding.baseline
    return finding.current.value / before.value - 1 if before is not None and before.value > 0 else None


def _confirmed(findings: Mapping[str, Finding]) -> list[Finding]:
    """The confirmed ones, likeliest causes first."""
    return sorted((finding for finding in findings.values() if finding.verdict == "confirmed"), key=cause_rank)


def _explain(out: dict[str, Finding], echo: str, cause: str, check: Check) -> None:
    """Notes that `echo` is told by `cause`, with what had been folded into it before."""
    finding = out[echo]
    out[cause] = _with_echo(out[cause], finding)
    out[echo] = finding.model_copy(update={"checks": [*finding.checks, check], "verdict": "refuted", "echoes": []})


def is_twin(finding: Finding, other: Finding) -> bool:
    """Whether two findings are two sides of one thing by what they are about, so that no query is needed to tell.

    More tokens and more cost of the same calls; two scores of the same place; the same share against the baseline and
    against the rest of the window.
    """
    if finding.id != other.id and is_side_of(finding, other):
        return True
    if finding.id == other.id or cause_rank(other) >= cause_rank(finding):
        return False
    if (finding.direction == "improvement") != (other.direction == "improvement"):
        return False
    mine, theirs = dict(finding.segment), dict(other.segment)
    if finding.kind == other.kind == "quality":
        for key in ("score_name", "score_category"):
            mine.pop(key, None)
            theirs.pop(key, None)
        nested = mine == theirs or mine.items() <= theirs.items()
        return (mine == theirs and bool(mine)) or (_are_categories(finding, other) and nested)
    if (finding.kind, other.kind) == ("token_usage", "cost"):
        return mine == theirs and finding.metric == "tokens_per_call" and other.metric == "cost_per_call"
    return finding.metric == other.metric and mine == theirs


def _are_categories(finding: Finding, other: Finding) -> bool:
    """Two categories of one score: what one gains, the other loses."""
    mine, theirs = finding.segment, other.segment
    return "score_category" in mine.keys() & theirs.keys() and mine.get("score_name") == theirs.get("score_name")


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


_EVENTS: tuple[Kind, ...] = (
    "error", "silent_failure", "empty_retrieval", "loop", "runaway", "unfinished", "truncation",
)  # fmt: skip
"""Kinds that happen to single traces, so that leaving these traces out says what they explain."""
_LEADS_TO = frozenset({("loop", "runaway"), ("error", "loop"), ("silent_failure", "loop"), ("empty_retrieval", "loop")})
"""Events that bring about another kind of event: what fails or finds nothing is tried again."""
_LEADS_NOWHERE = frozenset({"wrong_language_rate"})
"""What ends a trace can make nothing in it slower or dearer."""
_SUMS: tuple[Kind, ...] = ("cost", "first_token_latency", "latency", "token_usage", "cache", "quality")
_APART: frozenset[Kind] = frozenset({"traffic", "instrumentation_gap", "judge_disagreement"})
"""Kinds that explain no other and are no other's echo."""


def cause_rank(finding: Finding) -> tuple[int, int, int, int, float, int, int, float, str]:
    """Which of two findings rather causes the other; the lower rank does.

    Events before averages. Of events: failures before what they lead to, regressions before hotspots, then the segment
    that tells best where they are, whatever it is told by. Of averages, and where that decides nothing: steps before
    whole traces, the narrower segment, then the more harmful one.
    """
    kinds = (*_EVENTS, *_SUMS)
    segment, is_event = finding.segment, finding.kind in _EVENTS
    grain = 0 if {"tool_name", "prompt_name", "observation_name", "model"} & segment.keys() else 1
    return (
        0 if is_event else 1,
        0 if is_event else grain,
        kinds.index(finding.kind) if finding.kind in kinds else len(kinds),
        1 if finding.direction == "hotspot" else 0,
        -_likelihood(finding) if is_event else 0.0,
        grain,
        -len(segment),
        -harm(finding.kind, finding.impact),
        finding.id,
    )


def _likelihood(finding: Finding) -> float:
    """How much better its own share explains a segment's events than the reference's does: the logarithm of the ratio
    of two Poisson likelihoods. A part that holds all of the events gains by being small, and a part that leaves some of
    them out loses."""
    n, before = finding.current.n, finding.baseline
    events = finding.current.value * n
    expected = events if before is None else n * max(before.value, _RARE)
    return events * math.log(events / expected) - (events - expected) if events > 0 else 0.0


def _comes_before(cause: Finding, finding: Finding) -> bool:
    """Whether the first rather causes the second: by rank, but of two slow steps it is the shorter one.

    A step that holds others, such as an agent around its calls, is slow when one of them is, and lasts longer. That
    tells them apart only where both are of all traffic, or of the same: all the day's calls may be quicker than some
    hours'.
    """
    mine, theirs = _STEPS & finding.segment.keys(), _STEPS & cause.segment.keys()
    apart = mine and theirs and all(finding.segment[key] != cause.segment[key] for key in mine & theirs)
    if apart and finding.metric == cause.metric and finding.kind == "latency" and _around(finding) == _around(cause):
        return cause.current.value < finding.current.value
    return cause_rank(cause) < cause_rank(finding)


def _around(finding: Finding) -> Segment:
    """Which part of its traffic a step is looked at in."""
    return {key: value for key, value in finding.segment.items() if key not in _STEPS and key != "trace_name"}


_STEPS = frozenset({"tool_name", "observation_name", "prompt_name", "model"})


def may_echo(finding: Finding, cause: Finding) -> bool:
    """Whether `finding` could be an echo of `cause` at all, so that it is worth a query.

    A cause that is an average has touched all traces of its segment; leaving them out says something only about sums
    over the same traces.
    """
    if "quality" in (finding.kind, cause.kind) and not (
        finding.metric == cause.metric
        and (finding.segment.items() < cause.segment.items() or _are_as_many(finding, cause))
    ):
        return False
    if _APART & {finding.kind, cause.kind} or cause.metric in _LEADS_NOWHERE or not _comes_before(cause, finding):
        return False
    if (finding.direction == "improvement") != (cause.direction == "improvement") or is_twin(finding, cause):
        return False
    mine, theirs = apps_of(finding), apps_of(cause)
    if mine and theirs and not mine & theirs:
        return False
    if finding.kind in _EVENTS and finding.kind != cause.kind and (cause.kind, finding.kind) not in _LEADS_TO:
        return False
    mine_hit, their_hit = finding.impact.excess_traces, cause.impact.excess_traces
    if mine_hit and their_hit is not None and abs(their_hit) < _EXPLAINS * abs(mine_hit):
        return False
    if cause.kind in _EVENTS or cause.kind in ("latency", "first_token_latency", "quality"):
        return True
    whole = finding.metric in ("cost_per_trace", "trace_latency_p95", "trace_latency_p50")
    same_step = any(finding.segment.get(key) == value for key, value in cause.segment.items() if key in _STEPS)
    # One call may be told by its prompt and by its name: of the same average the rows say whether they are the same.
    shared = finding.metric == cause.metric and all(
        finding.segment[key] == value for key, value in cause.segment.items() if key in finding.segment
    )
    return finding.kind in ("cost", "token_usage", "latency") and (whole or same_step or shared or not finding.segment)
