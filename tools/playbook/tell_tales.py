"""What steps say in badly scored traces and seldom in others: the silent failure behind a score, in no list of words.

“The index is being rebuilt” looks like any answer of a search. That most of the bad traces hold it, and next to none of
the good ones, gives it away. Outputs are taken sentence by sentence, as templates; a step is held only against itself,
in traces that have it, so that what an app with worse scores always says does not count. By Fisher's exact test, with
Bonferroni's bound over everything that was said.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from hansei.contracts import Evidence, Finding, parse_instant
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.playbook import telling
from hansei.tools.playbook.measure import is_bad, rows_of, sums_of
from hansei.tools.playbook.model import Candidate, Metric
from hansei.tools.playbook.templates import template
from hansei.tools.report.catalogue import say
from hansei.tools.report.formats import format_count, format_value
from hansei.tools.statistics import Sums

PURPOSE = "outputs"

MOST_TRACES = 400
"""Traces of each sort whose outputs are read: badly scored, other, and of the reference."""

READ_ALL = 2_000_000
"""With more observations than this only the window's last days are read, until they have enough scores."""

_ENOUGH = 2_000
"""Scores that are enough to have `MOST_TRACES` badly scored traces among them, as a rule."""

_FEWEST = 5
"""Traces in which something must have been said."""

_SURE = 0.01
_OFTEN = 0.1
"""At least this share of the bad traces with the step say it, …"""
_TIMES = 3.0
"""… and that share is at least so many times that of the others."""

_MOST = 20
_SENTENCE = r"[.!?。！？]+\\s+|\\n+"
_LETTERS = r"\\pL{2,}.*\\pL{2,}"


def outputs(
    dataset: Dataset, metric: Metric, candidate: Candidate, id: str, observations: int, measured: Evidence
) -> Evidence:
    """How many badly scored and other traces of the window, of those that have a step, say something in its output.

    Columns: step, message (a template), bad, good, before (traces that say it; before: of the reference, whatever their
    score), of_bad, of_good, of_before (traces with the step), compared (how many things were said by enough traces).

    Args:
        dataset, metric, candidate, id: as for the other queries of a finding.
        observations: how many the project has in both periods.
        measured: the candidate's measure, for the reference's value and the days.
    """
    since = _since(measured, dataset) if observations > READ_ALL else None
    rows = rows_of(metric, candidate)
    said = f"""arrayFilter(part -> match(part, '{_LETTERS}'), if(match(said, '^\\\\s*[\\\\[{{]'), [said],
      splitByRegexp('{_SENTENCE}', said)))"""
    sql = f"""
WITH {rows.cte},
  chosen AS (
    SELECT cluster, if(period = 'window', if({is_bad(metric)}, 'bad', 'good'), 'before') AS sort
    FROM rows GROUP BY cluster, period
    ORDER BY cityHash64(cluster), cluster LIMIT {MOST_TRACES} BY sort
  ),
  texts AS (
    SELECT name, leftUTF8(output, 200) AS said, groupArray((c.sort, c.cluster)) AS traces
    FROM (SELECT trace_id, name, output FROM nearby_observations WHERE trace_id IN (SELECT cluster FROM chosen)) AS o
    INNER JOIN chosen AS c ON o.trace_id = c.cluster
    GROUP BY name, said
  )
SELECT step, message, bad, good, before, of_bad, of_good, of_before, compared
FROM (
  SELECT step, message, place, bad, good, before, max(if(message = '', bad, 0)) OVER (PARTITION BY step) AS of_bad,
    max(if(message = '', good, 0)) OVER (PARTITION BY step) AS of_good,
    max(if(message = '', before, 0)) OVER (PARTITION BY step) AS of_before,
    countIf(message != '' AND bad + good >= {_FEWEST}) OVER () AS compared
  FROM (
    SELECT name AS step, part.1 AS message, min(part.2) AS place, uniqExactIf(trace.2, trace.1 = 'bad') AS bad,
      uniqExactIf(trace.2, trace.1 = 'good') AS good, uniqExactIf(trace.2, trace.1 = 'before') AS before
    FROM (
      SELECT name, traces, arrayJoin(arrayZip(messages, arrayEnumerate(messages))) AS part
      FROM (SELECT name, traces, arrayConcat([''], arrayMap(part -> {template("part")}, {said})) AS messages FROM texts)
    )
    ARRAY JOIN traces AS trace GROUP BY step, message
  )
)
WHERE message != '' AND bad >= {_FEWEST} AND bad / of_bad >= {_OFTEN} AND bad * of_good >= {_TIMES} * good * of_bad
ORDER BY bad / of_bad - good / greatest(of_good, 1) DESC, place, step, message LIMIT {_MOST}"""
    bound = dataset.bind(sql, (*rows.relations, "nearby_observations"), rows.needs)
    return dataset.ask(id, PURPOSE, bound, {**rows.parameters, "usual": _usual(measured)}, since=since)


def _usual(measured: Evidence) -> float:
    """The reference's value."""
    reference = Sums.total([sums_of(row) for row in measured.records() if row["period"] != "window"])
    return reference.ratio if reference.x else 0.0


def _since(measured: Evidence, dataset: Dataset) -> datetime:
    """Start of the last days of the window that have enough scores."""
    enough = 0.0
    for row in sorted(measured.records(), key=lambda row: str(row["day"]), reverse=True):
        enough += float(row["x"])
        day = parse_instant(str(row["day"]))
        if enough >= _ENOUGH or day <= dataset.periods.window.start:
            return max(day, dataset.periods.window.start)
    return dataset.periods.window.start


@dataclass(frozen=True)
class TellTale:
    """What a step says in `bad` of the `of_bad` badly scored traces that have it, in `good` of the `of_good` others,
    and in `before` of the `of_before` traces of the reference."""

    step: str
    message: str
    bad: int
    of_bad: int
    good: int
    of_good: int
    before: int
    of_before: int

    @property
    def share(self) -> float:
        return self.bad / self.of_bad

    @property
    def is_new(self) -> bool:
        """Whether it is said at least twice as often as before, so that it may be why the score fell; also where no
        trace with the step was read of before (a new step, or much data)."""
        return self.before * (self.of_bad + self.of_good) * 2 <= (self.bad + self.good) * self.of_before


def tell_tale(finding: Finding) -> TellTale | None:
    """The clearest of what tells bad traces from good ones; None when nothing does, or it was not asked."""
    found = telling.detail(finding, PURPOSE)
    for row in found.records() if found is not None else ():
        counts = {name: int(row[name]) for name in ("bad", "of_bad", "good", "of_good", "before", "of_before")}
        tale = TellTale(str(row["step"]), str(row["message"]), **counts)
        if by_chance(tale.bad, tale.of_bad, tale.good, tale.of_good) * int(row["compared"]) <= _SURE:
            return tale
    return None


def in_words(tale: TellTale, finding: Finding) -> str:
    """What it says, how often among bad, good and earlier traces."""
    told = say(
        "tale.says", share=format_value(tale.share, "ratio"), bad=format_count(tale.of_bad),
        step=telling.name(tale.step), message=telling.name(tale.message, 120), good=format_count(tale.of_good),
        other=format_value(tale.good / tale.of_good if tale.of_good else 0.0, "ratio"),
    )  # fmt: skip
    if finding.comparison.against != "baseline" or not tale.of_before:
        return told
    return telling.sentences(told, say("tale.before", share=format_value(tale.before / tale.of_before, "ratio")))


def by_chance(bad: int, of_bad: int, good: int, of_good: int) -> float:
    """Probability that at least `bad` of those who say it are among the bad ones, were they drawn by chance.

    Source: Fisher, The Design of Experiments (1935), one-sided.
    """
    total, saying = of_bad + of_good, bad + good

    def log_choose(n: int, k: int) -> float:
        return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)

    return min(1.0, sum(
        math.exp(log_choose(saying, k) + log_choose(total - saying, of_bad - k) - log_choose(total, of_bad))
        for k in range(bad, min(saying, of_bad) + 1)
    ))  # fmt: skip
