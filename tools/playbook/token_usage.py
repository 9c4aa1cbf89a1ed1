"""Token usage: tokens per model call."""

from __future__ import annotations

from dataclasses import replace

from hansei.contracts import Finding
from hansei.tools.playbook import telling
from hansei.tools.playbook.averages import STEPS, moved_by_mix
from hansei.tools.playbook.cohorts import confined
from hansei.tools.playbook.expectation import Question
from hansei.tools.playbook.groupings import STEP_CONTEXTS, STEP_GROUPINGS, against_baseline
from hansei.tools.playbook.model import Detector, Metric, Screening, Words
from hansei.tools.playbook.profile import Profile
from hansei.tools.playbook.screen import both_ways
from hansei.tools.playbook.side_by_side import DEPLOYED, beside
from hansei.tools.report.catalogue import say

PER_CALL = Metric(
    name="tokens_per_call",
    kind="token_usage",
    unit="tokens",
    shape="mean",
    relation="observations",
    where="total_tokens IS NOT NULL",
    y="total_tokens",
    min_n=50,
    min_effect=20,
    min_relative=0.1,
    per="model calls",
    again="sum(if(mapContains(usage_details, 'total'), usage_details['total'], "
    "arraySum(mapValues(usage_details)))) / count()",
    again_where="notEmpty(usage_details)",
)

_MORE = Question(
    "counted", "tokens", STEP_CONTEXTS, STEP_GROUPINGS, yy="tokens2", min_x=50, min_effect=20, min_relative=0.1
)


def screen(profile: Profile) -> Screening:
    """Tokens per call, more and fewer."""
    cells = profile.steps
    if not cells.sums["counted"].any():
        return Screening.nothing("no observation carries token usage")
    worse, better, looked = both_ways(cells, _MORE, replace(_MORE, sign=-1))
    hidden, looked_closer = confined("token_usage", PER_CALL, profile.cohorts, _MORE, better=replace(_MORE, sign=-1))
    others, looked_beside = beside("token_usage", PER_CALL, cells, _MORE, DEPLOYED)
    candidates = [
        *hidden,
        *others,
        *against_baseline("token_usage", PER_CALL, "regression", cells, worse, "counted"),
        *against_baseline("token_usage", PER_CALL, "improvement", cells, better, "counted"),
    ]
    candidates += moved_by_mix("token_usage", PER_CALL, cells, "counted", "tokens", STEPS, candidates)
    return Screening.of(candidates, looked + looked_closer + looked_beside, cells.has_baseline)


def tell(finding: Finding) -> Words:
    """Token usage in words."""
    place = telling.where(finding.segment)
    change = telling.change_of(finding.segment)
    title = telling.with_relative(finding, say("tokens.title", place=place, moved=telling.from_to(finding)))
    summary = telling.sentences(
        say("tokens.more" if (finding.effect or 0) > 0 else "tokens.fewer", since=telling.since(finding)),
        telling.measured(finding, "model calls"),
    )
    came = telling.came_with(finding) or None
    if finding.direction == "improvement":
        return Words(title, summary, came, say("keep"))
    if change and telling.is_new(finding):
        return Words(title, summary, came, say("tokens.compare", change=change))
    return Words(title, summary, came, say("tokens.shorten", place=place))


DETECTOR = Detector(
    name="token_usage",
    question="Which model calls use more tokens than before?",
    metrics=(PER_CALL,),
    tell=tell,
    screen_profile=screen,
)
