"""Errors: steps that end at level ERROR."""

from __future__ import annotations

from hansei.contracts import Evidence, Finding, Segment
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.playbook import telling
from hansei.tools.playbook.averages import STEPS, moved_by_mix
from hansei.tools.playbook.cohorts import confined
from hansei.tools.playbook.expectation import Question
from hansei.tools.playbook.groupings import STEP_CONTEXTS, STEP_GROUPINGS, against_baseline, against_rest
from hansei.tools.playbook.measure import rows_of
from hansei.tools.playbook.model import Candidate, Detector, Metric, Screening, Words
from hansei.tools.playbook.parts import kinds_of_traffic
from hansei.tools.playbook.profile import Profile
from hansei.tools.playbook.screen import both_ways, stand_out
from hansei.tools.playbook.side_by_side import beside
from hansei.tools.playbook.templates import WHEN, count_templates, messages_of, what_they_say
from hansei.tools.report.catalogue import say
from hansei.tools.report.formats import format_value

RATE = Metric(
    name="error_rate",
    kind="error",
    unit="ratio",
    shape="share",
    relation="observations",
    y="level = 'ERROR'",
    min_n=50,
    min_effect=0.01,
    min_relative=0.5,
    per="calls",
    again="countIf(level = 'ERROR') / count()",
)

_WORSE = Question("n", "errors", STEP_CONTEXTS, STEP_GROUPINGS, min_x=50, min_effect=0.01, min_relative=0.5)
_BETTER = Question("n", "errors", STEP_CONTEXTS, STEP_GROUPINGS, sign=-1, min_x=50, min_effect=0.02, min_relative=0.4)
_ALWAYS = Question("n", "errors", [()], STEP_GROUPINGS, min_x=100, min_effect=0.05, min_relative=2.0, limit=4)


def screen(profile: Profile) -> Screening:
    """Regressions and improvements against the baseline, then what fails all the time."""
    cells = profile.steps
    worse, better, looked = both_ways(cells, _WORSE, _BETTER)
    always, looked_within = stand_out(cells, _ALWAYS, explained=[*worse, *better])
    hidden, looked_closer = confined("error", RATE, profile.cohorts, _WORSE, _ALWAYS, _BETTER)
    others, looked_beside = beside("error", RATE, cells, _WORSE)
    candidates = [
        *hidden,
        *others,
        *against_baseline("error", RATE, "regression", cells, worse, "n"),
        *against_baseline("error", RATE, "improvement", cells, better, "n"),
        *against_rest("error", RATE, always),
    ]
    candidates += moved_by_mix("error", RATE, cells, "n", "errors", STEPS, candidates)
    return Screening.of(candidates, looked + looked_within + looked_closer + looked_beside, cells.has_baseline)


def detail(dataset: Dataset, candidate: Candidate, id: str) -> Evidence:
    """What the failing calls say, as templates; see `templates.count_templates` for the columns.

    Their status messages; where most have none, their outputs.
    """

    def count(text: str) -> Evidence:
        rows = rows_of(RATE, candidate, extra=f", {text} AS text{WHEN}")
        sql = count_templates(rows, "text")
        return dataset.ask(id, "detail", dataset.bind(sql, rows.relations, rows.needs), rows.parameters)

    told = count("status_message")
    found = messages_of(told)
    if found is None or found.top is not None:
        return told
    answered = count("output")
    found = messages_of(answered)
    return told if found is None or found.top is None else answered


def tell(finding: Finding) -> Words:
    """Errors in words."""
    place, since, moved = telling.where(finding.segment), telling.since(finding), telling.from_to(finding)
    if finding.direction == "improvement":
        return Words(
            say("error.better", place=place, moved=moved),
            telling.sentences(say("error.better_summary", since=since), telling.measured(finding, "calls")),
            None,
            say("error.keep", since=since),
        )
    title = say("error.title", share=format_value(finding.current.value, "ratio"), place=place)
    summary = telling.sentences(
        say("error.summary", moved=moved, since=since), telling.measured(finding, "calls"), telling.touched(finding)
    )
    return Words(telling.up_from(finding, title), summary, _cause(finding), _recommendation(finding))


def _cause(finding: Finding) -> str | None:
    return telling.sentences(what_they_say(finding), _in_which_steps(finding), telling.came_with(finding)) or None


_MOST_STEPS = 3
_WORTH = 0.1
"""Steps with less than this share of what is beyond the expected are not named."""


def _in_which_steps(finding: Finding) -> str:
    """The steps in which what is told of an app or a release happens; empty where the segment names one itself."""
    strata = kinds_of_traffic(finding.evidence)
    if (
        not strata
        or finding.comparison.against != "baseline"
        or {"tool_name", "observation_name"} & finding.segment.keys()
    ):
        return ""
    steps: dict[str, list[float]] = {}
    for row in strata:
        sums = steps.setdefault(str(row["stratum"][-1]), [0.0] * 4)
        sums[:] = [
            old + float(row[name]) for old, name in zip(sums, ("x", "y", "reference_x", "reference_y"), strict=True)
        ]
    beyond = {name: y - x * before / of if of else y for name, (x, y, of, before) in steps.items()}
    least = _WORTH * sum(max(0.0, excess) for excess in beyond.values())
    told = sorted(
        (name for name in beyond if name and beyond[name] >= max(1.0, least)), key=lambda name: (-beyond[name], name)
    )
    shown = [
        say("error.step", name=telling.name(name), now=format_value(y / x, "ratio"),
            before=format_value(before / of if of else 0.0, "ratio"))
        for name in told[:_MOST_STEPS] for x, y, of, before in [steps[name]] if x
    ]  # fmt: skip
    return say("error.steps", steps=say("place.join").join(shown)) if shown else ""


_KNOWN = (
    ("error.timeout", ("timeout", "timed out", "deadline")),
    ("error.rate_limit", ("rate limit", "429", "too many requests")),
    ("error.rights", ("unauthorized", "forbidden", "401", "403", "permission")),
    ("error.arguments", ("validation", "schema", "json", "argument", "parse")),
)
"""What to do → words of a message that call for it."""


def _recommendation(finding: Finding) -> str:
    found = messages_of(telling.detail(finding))
    top = found.top if found else None
    message = top.message.lower() if top else ""
    thing = _thing(finding.segment)
    change = telling.change_of(finding.segment)
    known = next((key for key, words in _KNOWN if any(word in message for word in words)), None)
    if known:
        first = say(known, thing=thing)
    elif top:
        first = say("error.fix_message", thing=thing, message=telling.name(top.message, 80))
    else:
        first = say("error.fix", thing=thing)
    if change and telling.is_new(finding):
        first = say("error.roll_back", change=change, rest=f"{first[0].lower()}{first[1:]}")
    return say("error.end", advice=first)


_THINGS = ("tool_name", "observation_name", "prompt_name", "prompt_version", "model", "trace_name")


def _thing(segment: Segment) -> str:
    """What can be mended: not the hours, the customer or the release in which it fails."""
    named = {key: value for key, value in segment.items() if key in _THINGS}
    return telling.where(named) if named else say("error.calls", place=telling.where(segment))


DETECTOR = Detector(
    name="error",
    question="Which steps fail, more than before or more than the rest?",
    metrics=(RATE,),
    tell=tell,
    screen_profile=screen,
    detail=detail,
)
