"""The traces that people should label next, as writes to a Langfuse annotation queue."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from hansei.contracts.calibration import Calibration
from hansei.contracts.evaluation import Criterion, CriterionResult, EvaluationResult
from hansei.tools.evaluation.labelling import TO_LABEL
from hansei.tools.langfuse.untrusted import one_line
from hansei.tools.writeback import LONGEST_NAME, InQueue, ScoreConfig, Write, queue_writes

WELL_KNOWN = 0.2
"""Width of the intervals (of rates, agreement, correlation) from which a judge is known well enough."""

_NAME = re.compile(rf"[A-Za-z0-9_ .()-]{{1,{LONGEST_NAME}}}")


MOST_WAITING = 50
"""Traces that wait in a queue at most, unless somebody says otherwise."""


@dataclass(frozen=True)
class Queue:
    """An annotation queue that traces are proposed for.

    Args:
        name: of the queue.
        there: what it holds.
        most: how many traces may wait in it, those that are proposed included.
    """

    name: str
    there: InQueue
    most: int = MOST_WAITING


def queue_of(
    evaluation: EvaluationResult, queue: Queue, planned: Collection[str] = ()
) -> tuple[list[Write], list[str]]:
    """What is planned for a queue, and what a person should know of it.

    Each trace is labelled by all judges that are not known well enough; of each judge's list the first ones come first.

    Args:
        evaluation: with the judges, and what to label for each.
        queue: where to.
        planned: traces that are planned for the queue already and not sent yet: they count as waiting.

    Returns:
        The writes, none when there is nothing to label; and notes.
    """
    wanted = [one for one in evaluation.results if one.to_label and not is_known(one)]
    named = [one for one in wanted if _NAME.fullmatch(one.criterion.score_name)]
    notes = [
        f"{one.criterion.name} cannot be labelled in Langfuse: a score config's name has at most {LONGEST_NAME}"
        " letters, digits, spaces and _ . ( ) -. Give it another `score`."
        for one in wanted
        if one not in named
    ]
    traces = _in_turn([[one.trace_id for one in result.to_label] for result in named])
    known = queue.there.traces | set(planned)
    waiting = queue.there.waiting + len(set(planned) - queue.there.traces)
    new = [one for one in traces if one not in known]
    room = max(0, min(TO_LABEL, queue.most - waiting))
    if room < min(len(new), TO_LABEL):
        notes.append(
            f"{waiting:,} traces wait in “{one_line(queue.name, 80)}”, of {queue.most:,} that may: {room:,} of"
            f" {len(new):,} more are proposed."
        )
    traces = new[:room]
    if not traces:
        return [], notes
    configs = [_config(one.criterion) for one in named]
    return list(queue_writes(queue.name, traces, configs, evaluation.project_id)), notes


def is_known(result: CriterionResult) -> bool:
    """Whether a judge is known well enough, by what its shares or numbers are believed by."""
    found = result.calibration
    if not isinstance(found, Calibration) or not found.is_measured:
        return False
    measures = [found.agreement] if found.confusion else [found.tpr, found.tnr]
    if found.numeric is not None:
        measures = [found.numeric.within, found.numeric.spearman]
    return all(one is not None and one.high - one.low <= WELL_KNOWN for one in measures)


def _config(one: Criterion) -> ScoreConfig:
    """What people are asked for, in the judge's own words."""
    if one.type == "categorical":
        return ScoreConfig(one.score_name, one.definition, categories=one.categories)
    if one.lowest is not None and one.highest is not None:
        return ScoreConfig(one.score_name, one.definition, span=(one.lowest, one.highest))
    said = "True: this is NOT in the trace" if one.true_means == "pass" else "True: this is in the trace"
    return ScoreConfig(one.score_name, f"{said}. {one.definition}")


def _in_turn(lists: Sequence[Sequence[str]]) -> list[str]:
    """The first of each, then the second of each, …; each once."""
    longest = max((len(one) for one in lists), default=0)
    return list(dict.fromkeys(one[place] for place in range(longest) for one in lists if place < len(one)))
