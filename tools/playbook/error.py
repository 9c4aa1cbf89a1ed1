"""Errors: steps that end at level ERROR."""

from __future__ import annotations

from hansei.contracts import Evidence, Finding
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.playbook import telling
from hansei.tools.playbook.expectation import Question
from hansei.tools.playbook.groupings import STEP_CONTEXTS, STEP_GROUPINGS, against_baseline, against_rest
from hansei.tools.playbook.measure import rows_of
from hansei.tools.playbook.model import Candidate, Detector, Metric, Screening, Words
from hansei.tools.playbook.profile import Profile
from hansei.tools.playbook.screen import explain, stand_out
from hansei.tools.report.catalogue import say
from hansei.tools.report.formats import format_count, format_value

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
    worse, looked = explain(cells, _WORSE)
    better, looked_again = explain(cells, _BETTER)
    always, looked_within = stand_out(cells, _ALWAYS, explained=[*worse, *better])
    candidates = [
        *against_baseline("error", RATE, "regression", cells, worse, "n"),
        *against_baseline("error", RATE, "improvement", cells, better, "n"),
        *against_rest("error", RATE, always),
    ]
    return Screening.of(candidates, looked + looked_again + looked_within, cells.has_baseline)


def detail(dataset: Dataset, candidate: Candidate, id: str) -> Evidence:
    """The most frequent status messages of the failing calls.

    Columns: message (first 200 characters), now, before (calls in the window and in the reference), failing (all
    failing
    calls of the window).
    """
    rows = rows_of(RATE, candidate, extra=", leftUTF8(status_message, 200) AS message")
    sql = f"""
WITH {rows.cte}
SELECT message, countIf(period = 'window') AS now, countIf(period != 'window') AS before, sum(now) OVER () AS failing
FROM rows WHERE y = 1 GROUP BY message ORDER BY now DESC, message LIMIT 5"""
    return dataset.ask(id, "detail", dataset.bind(sql, rows.relations, rows.needs), rows.parameters)


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


def _top_message(finding: Finding) -> tuple[str, int, int] | None:
    found = telling.detail(finding)
    if found is None or not found.rows or not str(found.rows[0][0]).strip():
        return None
    row = found.records()[0]
    return str(row["message"]), int(row["now"]), int(row["failing"])


def _cause(finding: Finding) -> str | None:
    top = _top_message(finding)
    said = ""
    if top:
        message, count, total = top
        said = say(
            "error.all_say" if count == total else "error.some_say",
            count=format_count(count), total=format_count(total), message=telling.name(message, 120),
        )  # fmt: skip
    return telling.sentences(said, telling.came_with(finding)) or None


_KNOWN = (
    ("error.timeout", ("timeout", "timed out", "deadline")),
    ("error.rate_limit", ("rate limit", "429", "too many requests")),
    ("error.rights", ("unauthorized", "forbidden", "401", "403", "permission")),
    ("error.arguments", ("validation", "schema", "json", "argument", "parse")),
)
"""What to do → words of a message that call for it."""


def _recommendation(finding: Finding) -> str:
    top = _top_message(finding)
    message = top[0].lower() if top else ""
    thing = telling.where(finding.segment)
    change = telling.change_of(finding.segment)
    known = next((key for key, words in _KNOWN if any(word in message for word in words)), None)
    if known:
        first = say(known, thing=thing)
    elif top:
        first = say("error.fix_message", thing=thing, message=telling.name(top[0], 80))
    else:
        first = say("error.fix", thing=thing)
    if change and telling.is_new(finding):
        first = say("error.roll_back", change=change, rest=f"{first[0].lower()}{first[1:]}")
    if finding.baseline is not None and finding.impact.excess_traces and finding.impact.excess_traces >= 1:
        gain = format_count(round(finding.impact.excess_traces))
        return say("error.gain", advice=first, gain=gain, level=format_value(finding.baseline.value, "ratio"))
    return say("error.end", advice=first)


DETECTOR = Detector(
    name="error",
    question="Which steps fail, more than before or more than the rest?",
    metrics=(RATE,),
    tell=tell,
    screen_profile=screen,
    detail=detail,
)
