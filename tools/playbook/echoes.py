"""Which finding may explain which: the order of causes, twins, and what is left of a finding without another."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hansei.contracts import Evidence, Finding, Kind, Segment
from hansei.tools.playbook.assess import Facts, evidence_for
from hansei.tools.playbook.checks import left_without
from hansei.tools.playbook.kinship import apps_of, is_side_of
from hansei.tools.playbook.severity import harm

_EXPLAINS = 0.3
"""A cause that hit fewer traces than this share of a finding's cannot explain it."""

_RARE = 0.01
"""Shares below this are taken for it: whether a small segment had one event before or none is chance."""

ECHO = 0.4
"""A finding of which less than this is left without another's traces is that one's echo."""

_A_PART = 0.1
"""Of several causes each must explain this share of a finding."""

WITHOUT = "without:"
"""Purpose of the measure of a finding without others' traces: this, and the others' ids with a plus between them."""

_SAME_ROWS = 0.8
"""Two segments that are the same may differ by a fifth of their rows, where one of them is not always known."""

_EVENTS: tuple[Kind, ...] = (
    "error", "silent_failure", "empty_retrieval", "loop", "runaway", "unfinished", "truncation",
)  # fmt: skip
"""Kinds that happen to single traces, so that leaving these traces out says what they explain."""
_LEADS_TO = frozenset({("loop", "runaway"), ("error", "loop"), ("silent_failure", "loop"), ("empty_retrieval", "loop")})
"""Events that bring about another kind of event: what fails or finds nothing is tried again."""
_LEADS_NOWHERE = frozenset({"wrong_language_rate"})
"""What ends a trace can make nothing in it slower or dearer."""
_SUMS: tuple[Kind, ...] = ("cost", "first_token_latency", "latency", "token_usage", "cache", "quality")
_OF_CALLS = frozenset({"cost_per_call", "tokens_per_call", "step_latency_p95", "step_latency_p50"})
"""Averages over single calls."""
_OF_TRACES = frozenset({"cost_per_trace", "trace_latency_p95", "trace_latency_p50"})
"""Averages over whole traces."""
_APART: frozenset[Kind] = frozenset({"traffic", "instrumentation_gap", "judge_disagreement"})
"""Kinds that explain no other and are no other's echo."""


def cause_rank(finding: Finding) -> tuple[int, int, int, int, float, int, int, float, str]:
    """Which of two findings rather causes the other; the lower rank does.

    Events before averages. Of events: failures before what they lead to, regressions before hotspots, then the segment
    that tells best where they are, whatever it is told by. Of averages, and where that decides nothing: steps before
    all calls, and these before whole traces, the narrower segment, then the more harmful one.
    """
    kinds = (*_EVENTS, *_SUMS)
    segment, is_event = finding.segment, finding.kind in _EVENTS
    grain = 0 if {"tool_name", "prompt_name", "observation_name", "model"} & segment.keys() else 1
    grain += finding.metric in _OF_TRACES
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
    them out loses. Of what ended the events are the reference's."""
    here, there = finding.current, finding.baseline
    if there is not None and finding.direction == "improvement":
        here, there = there, here
    n, share = here.n, here.value
    events = share * n
    expected = events if there is None else n * max(there.value, min(_RARE, share / 2))
    return expected - events + (events * math.log(events / expected) if events > 0 else 0.0)


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
    if _is_inside(cause, finding):
        return _tells_more(cause, finding)
    if _is_inside(finding, cause):
        return not _tells_more(finding, cause)
    return cause_rank(cause) < cause_rank(finding)


def _is_inside(part: Finding, whole: Finding) -> bool:
    """Whether two findings of the same events are a segment and a part of it by name, each against its own past."""
    same = (part.metric, part.direction) == (whole.metric, whole.direction) and part.kind in _EVENTS
    own = all(one.comparison.against == "baseline" and one.baseline is not None for one in (part, whole))
    return same and own and whole.segment.items() < part.segment.items()


def _tells_more(part: Finding, whole: Finding) -> bool:
    """Whether a part tells better where the events are than all of the segment does, both against the same reference:
    by chance the part may have had all of the few events that the whole had there."""
    ended = whole.direction == "improvement"
    there = {"current": whole.current} if ended else {"baseline": whole.baseline}
    return _likelihood(part.model_copy(update=there)) > _likelihood(whole)


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
    if cause.kind in ("latency", "first_token_latency"):
        return finding.kind in ("latency", "first_token_latency")  # what takes longer costs no more
    if cause.kind in _EVENTS or cause.kind == "quality":
        return True
    whole = finding.metric in _OF_TRACES
    same_step = any(finding.segment.get(key) == value for key, value in cause.segment.items() if key in _STEPS)
    # One call may be told by its prompt and by its name: the rows say whether they are the same.
    shared = {finding.metric, cause.metric} <= _OF_CALLS and all(
        finding.segment[key] == value for key, value in cause.segment.items() if key in finding.segment
    )
    return finding.kind in ("cost", "token_usage", "latency") and (whole or same_step or shared or not finding.segment)


def _are_as_many(finding: Finding, cause: Finding) -> bool:
    """Whether two findings may be about the same rows under two names, such as a language and a locale."""
    if finding.segment.get("score_name") != cause.segment.get("score_name"):
        return False
    return min(finding.current.n, cause.current.n) >= _SAME_ROWS * max(finding.current.n, cause.current.n)


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


def is_echo(finding: Finding, without: Evidence, facts: Facts) -> bool:
    """Whether too little of a finding is left without the traces of another for it to have a cause of its own."""
    return left_without(finding, without, facts) < ECHO


def several(finding: Finding, standing: Sequence[Finding], facts: Facts) -> tuple[Finding, ...]:
    """The findings that may explain another together, as none of them does alone, most of it first; () if they cannot.

    What each of them explains alone comes to enough; whether it is the same, a query over all of them must tell.
    """
    explained = {cause.id: _explained(finding, cause, facts) for cause in standing}
    causes = [cause for cause in standing if explained[cause.id] >= _A_PART]
    if len(causes) < 2 or sum(explained[cause.id] for cause in causes) < 1 - ECHO:
        return ()
    return tuple(sorted(causes, key=lambda cause: (-explained[cause.id], cause.id)))


def _explained(finding: Finding, cause: Finding, facts: Facts) -> float:
    """Which share of a finding's effect another one explains alone, 0 to 1; 0 when that was not asked."""
    evidence = evidence_for(finding.evidence, f"{WITHOUT}{cause.id}")
    return 0.0 if evidence is None else min(1.0, max(0.0, 1 - share_left(finding, (cause,), evidence, facts)))


def share_left(finding: Finding, causes: Sequence[Finding], without: Evidence, facts: Facts) -> float:
    """Which share of a finding's effect others do not explain.

    Where a cause is in all of a finding's traces nothing is left without it, whatever it did: it explains no more than
    it moved itself. Several explain no more than each of them does.
    """
    left = left_without(finding, without, facts)
    if len(causes) > 1:
        return max(left, 1 - sum(_explained(finding, cause, facts) for cause in causes))
    return max(left, 1 - _most_explained(finding, *causes))


def _most_explained(finding: Finding, cause: Finding) -> float:
    """The largest share of a finding's change that another average can come to by its own; no bound: infinity.

    What got dearer explains a change of as many per cent, of what it is a part of or what is a part of it. A slow step
    explains as many seconds as it got slower, as often as it is called.
    """
    if finding.kind in ("cost", "token_usage", "latency") and cause.kind in ("cost", "token_usage"):
        mine, theirs = _relative(finding), _relative(cause)
    elif finding.kind == cause.kind == "latency" and finding.metric[-3:] == cause.metric[-3:]:
        mine, theirs = finding.effect, cause.effect
        calls = cause.current.n / finding.current.n if finding.current.n else 1.0
        theirs = theirs * max(1.0, calls) if theirs is not None else None
    else:
        return math.inf
    return theirs / mine if mine and theirs is not None else math.inf


def _relative(finding: Finding) -> float | None:
    """The change as a share of the reference; None: not known."""
    before = finding.baseline
    return finding.current.value / before.value - 1 if before is not None and before.value > 0 else None
