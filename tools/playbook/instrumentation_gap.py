"""Instrumentation gaps: what the data lacks, so that other detectors cannot see.

A gap is a place that lacks what the rest of the project has, or that had it before. What the whole project lacks is one
finding when every project needs it (a model, usage, cost); otherwise it may just have no use for it (sessions, users),
and the coverage statement says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hansei.contracts import Comparison, Finding
from hansei.tools.playbook import telling, unfinished
from hansei.tools.playbook.cells import Cells
from hansei.tools.playbook.expectation import Question
from hansei.tools.playbook.groupings import (
    RUN_CONTEXTS,
    RUN_GROUPINGS,
    STEP_CONTEXTS,
    Units,
    against_baseline,
    against_rest,
)
from hansei.tools.playbook.model import Candidate, Detector, Metric, Screening, Words
from hansei.tools.playbook.profile import GIVES_FEEDBACK_RAW, GIVES_NO_FEEDBACK, USED, Profile
from hansei.tools.playbook.screen import Hit, both_ways, stand_out
from hansei.tools.report.catalogue import say
from hansei.tools.report.formats import format_value

_ENDED = "type = 'GENERATION' AND level != 'ERROR' AND end_time IS NOT NULL"
_COST = Metric(
    name="generations_without_cost",
    kind="instrumentation_gap",
    unit="ratio",
    shape="share",
    relation="observations",
    where=_ENDED,
    y="total_cost IS NULL",
    min_n=50,
    min_effect=0.1,
    min_relative=0.5,
    per="model calls",
    bound=0.5,
    worst="medium",
    again="avg(isNull(total_cost))",
    again_where="NOT (type != 'GENERATION' OR level = 'ERROR' OR isNull(end_time))",
)
_USAGE = replace(
    _COST, name="generations_without_usage", y="total_tokens IS NULL", again="avg(length(mapKeys(usage_details)) = 0)"
)
_MODEL = replace(_COST, name="generations_without_model", y="model = ''", again="avg(empty(model))")
_PROMPT = replace(
    _COST,
    name="generations_without_prompt",
    y="prompt_name = ''",
    worst="low",
    bound=None,
    again="avg(empty(prompt_name))",
)
_END = replace(
    unfinished.RATE, name="steps_without_end", kind="instrumentation_gap", min_effect=0.5, min_relative=0.0, worst="low"
)
_USER = Metric(
    name="traces_without_user",
    kind="instrumentation_gap",
    unit="ratio",
    shape="share",
    relation="traces",
    y="user_id = ''",
    min_n=50,
    min_effect=0.1,
    min_relative=0.5,
    per="traces",
    worst="low",
    again="avg(empty(user_id))",
)
_SESSION = replace(_USER, name="traces_without_session", y="session_id = ''", again="avg(empty(session_id))")
_RELEASE = replace(
    _USER, name="traces_without_release", y="release = '' AND version = ''", worst="medium",
    again="avg(empty(release) AND empty(version))",
)  # fmt: skip
_FEEDBACK = replace(
    _USER, name="traces_without_feedback", where=USED, y=GIVES_NO_FEEDBACK, looks_up=("scores",), min_n=200,
    min_effect=0.03, min_relative=0.0, again=f"1 - avg({GIVES_FEEDBACK_RAW})",
    again_where="NOT (empty(user_id) AND empty(session_id))",
)  # fmt: skip


@dataclass(frozen=True)
class _Gap:
    """What is looked for: the sum that counts it, and the phrases that tell it."""

    metric: Metric
    sum: str
    words: str
    groupings: Units = ()
    """Where it is looked for while the rest has it; (): as for the others."""
    effect: float = 0.2
    """How much more often it must be lacking there than in the rest."""
    lost: bool = True
    """Whether that it was there before is looked for as well."""
    all: bool = False
    """Whether it is a gap only where nothing has it: of what is there now and then, less is no gap."""


_OF_CALLS = (_Gap(_MODEL, "no_model", "model"), _Gap(_USAGE, "no_usage", "usage"), _Gap(_COST, "no_cost", "cost"))
# Many calls need no managed prompt: it is missing where an app has none and nearly all of the rest has.
_OF_ANSWERS = (_Gap(_PROMPT, "no_prompt", "prompt", (("trace_name",),), 0.6),)
# What no longer ends hangs or crashed; what never ended was never told that it had.
_OF_STEPS = (_Gap(_END, "unfinished", "end", (("step",), ("trace_name",)), 0.8, lost=False),)
_OF_TRACES = (
    _Gap(_USER, "no_user", "user"), _Gap(_SESSION, "no_session", "session"), _Gap(_RELEASE, "no_release", "release"),
)  # fmt: skip
# Few users say what they think, so an app is told of only when nobody ever does, and enough of the others' do.
_OF_USES = (_Gap(_FEEDBACK, "no_feedback", "feedback", (("trace_name",),), _FEEDBACK.min_effect, all=True),)
_WORDS = {gap.metric.name: gap.words for gap in (*_OF_CALLS, *_OF_ANSWERS, *_OF_STEPS, *_OF_TRACES, *_OF_USES)}

_CALLS: Units = (("model",), ("trace_name",), ("step",), ("model", "trace_name"), ("release",))
_PRICES: Units = (("model",), ("trace_name",), ("model", "trace_name"), ("release",))
"""Prices belong to models: where there never was a cost, the step that calls the model is not the place to name."""
_LINKS: Units = (("trace_name",), ("step",), ("step", "release"))
_RUNS: Units = tuple(units for units in RUN_GROUPINGS if units)
_PLACES = 2
"""Most places that are told of one gap."""


def screen(profile: Profile) -> Screening:
    """Each gap: what got worse, what got better, where it is while the rest has none, and whether it is everywhere."""
    candidates: list[Candidate] = []
    slices = 0
    for cells, x, gaps, contexts, groupings in (
        (profile.steps, "ended", _OF_CALLS, STEP_CONTEXTS, _CALLS),
        (profile.steps, "ended", _OF_ANSWERS, STEP_CONTEXTS, _LINKS),
        (profile.steps, "due", _OF_STEPS, STEP_CONTEXTS, _CALLS),
        (profile.runs, "n", _OF_TRACES, RUN_CONTEXTS, _RUNS),
        (profile.runs, "used", _OF_USES, RUN_CONTEXTS, (("trace_name",), ("trace_name", "release"))),
    ):
        for gap in gaps:
            found, looked = _look(cells, x, gap, contexts, groupings)
            candidates += found
            slices += looked
    return Screening.of(candidates, slices, profile.runs.has_baseline)


def _look(cells: Cells, x: str, gap: _Gap, contexts: Units, groupings: Units) -> tuple[list[Candidate], int]:
    metric, now = gap.metric, cells.in_window
    total, lacking = (float(cells.sums[name][now].sum()) for name in (x, gap.sum))
    more = Question(
        x, gap.sum, contexts, groupings, min_x=max(50, metric.min_n), min_effect=min(0.1, metric.min_effect),
        min_relative=min(0.5, metric.min_relative), limit=_PLACES,
    )  # fmt: skip
    worse, better, looked = both_ways(cells, more, replace(more, sign=-1)) if gap.lost else ([], [], 0)
    always, looked_within = stand_out(
        cells,
        replace(
            more, contexts=[()], groupings=gap.groupings or (_PRICES if metric is _COST else groupings),
            min_effect=gap.effect, min_relative=0.0 if gap.groupings else 1.0,
        ),
        explained=[*worse, *better],
    )  # fmt: skip
    if gap.all:
        worse, always = ([hit for hit in hits if _lacks_all(cells, hit, x, gap.sum)] for hits in (worse, always))
        better = []
    if not gap.lost:
        always = [hit for hit in always if _lacked(cells, hit, x, gap.sum)]
    found = [
        *against_baseline("instrumentation_gap", metric, "regression", cells, worse, x),
        *against_baseline("instrumentation_gap", metric, "improvement", cells, better, x),
        *against_rest("instrumentation_gap", metric, always),
    ]
    if metric.bound is not None and total >= metric.min_n and lacking >= metric.bound * total and not found:
        nothing = Comparison(against="rest_of_window", segment={})
        found = [
            Candidate(
                detector="instrumentation_gap", metric=metric.name, direction="hotspot", segment={}, comparison=nothing,
                strength=round(float(np.sqrt(lacking)), 2),
            )
        ]  # fmt: skip
    return found, looked + looked_within


def _lacks_all(cells: Cells, hit: Hit, x: str, y: str) -> bool:
    """Whether no row of a slice has it in the window."""
    mine = cells.inside(hit.units, hit.values) & cells.in_window
    rows, lacking = (float(cells.sums[name][mine].sum()) for name in (x, y))
    return lacking == rows > 0


_NEARLY_ALL = 0.9


def _lacked(cells: Cells, hit: Hit, x: str, y: str) -> bool:
    """Whether nearly all of a slice lacked it in the baseline as well."""
    before = cells.inside(hit.units, hit.values) & ~cells.in_window
    rows, lacking = (float(cells.sums[name][before].sum()) for name in (x, y))
    return rows >= _END.min_n and lacking >= _NEARLY_ALL * rows


def tell(finding: Finding) -> Words:
    """A gap in words: where, what it blinds, and the call that closes it."""
    gap = _WORDS[finding.metric]
    place, measured = telling.where(finding.segment), telling.measured(finding, DETECTOR.metric(finding.metric).per)
    if finding.direction == "improvement":
        title = say("gap.better", place=place, moved=telling.from_to(finding), what=say(f"gap.{gap}"))
        return Words(title, measured, None, say("keep"))
    share = format_value(finding.current.value, "ratio")
    title = telling.up_from(finding, say("gap.title", share=share, place=place, what=say(f"gap.{gap}")))
    if finding.metric == _FEEDBACK.name:
        title = say("gap.none", place=place, what=say(f"gap.{gap}"))
    summary = telling.sentences(say(f"gap.blinds_{gap}"), measured)
    advice = say(f"gap.fix_{gap}", place=place)
    change = telling.change_of(finding.segment)
    if change and telling.is_new(finding):
        advice = telling.sentences(advice, say("gap.lost_with", change=change))
    return Words(title, summary, telling.came_with(finding) or None, advice)


DETECTOR = Detector(
    name="instrumentation_gap",
    question="What is missing in the data, so that problems stay unseen?",
    metrics=(_MODEL, _USAGE, _COST, _PROMPT, _END, _USER, _SESSION, _RELEASE, _FEEDBACK),
    tell=tell,
    screen_profile=screen,
)
