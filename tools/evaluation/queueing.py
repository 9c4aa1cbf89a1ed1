"""The traces that people should label next, as writes to a Langfuse annotation queue."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from hansei.contracts.calibration import Calibration, Unlabelled
from hansei.contracts.evaluation import Criterion, CriterionResult, EvaluationResult
from hansei.tools.evaluation.labelling import TO_LABEL
from hansei.tools.langfuse.untrusted import one_line
from hansei.tools.writeback import LONGEST_NAME, InQueue, ScoreConfig, Write, queue_writes

WELL_KNOWN = 0.2
"""Width of the intervals (of rates, agreement, correlation) from which a judge is known well enough."""

PREFERRED = (1.0, 5.0)
"""What people may give a trace of a pair: the one with more is the better one."""

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
    known = queue.there.traces | set(planned)
    waiting = queue.there.waiting + len(set(planned) - queue.there.traces)
    room = max(0, min(TO_LABEL, queue.most - waiting))
    traces, new = _that_fit([_together(result.to_label) for result in named], known, room)
    if room < min(new, TO_LABEL):
        notes.append(
            f"{waiting:,} traces wait in “{one_line(queue.name, 80)}”, of {queue.most:,} that may: {len(traces):,} of"
            f" {new:,} more are proposed."
        )
    if not traces:
        return [], notes
    configs = [_config(one.criterion) for one in named]
    return list(queue_writes(queue.name, traces, configs, evaluation.project_id, queue.most)), notes


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
    if one.kind == "pairwise":
        low, high = PREFERRED
        told = f"{low:g} (least) to {high:g} (most), by this: {one.definition} Of two answers the higher one is better."
        return ScoreConfig(one.score_name, told, span=PREFERRED)
    said = "True: this is NOT in the trace" if one.true_means == "pass" else "True: this is in the trace"
    return ScoreConfig(one.score_name, f"{said}. {one.definition}")


def _together(wanted: Sequence[Unlabelled]) -> list[list[str]]:
    """The traces, both of a pair in one: one of them alone says nothing."""
    out: list[list[str]] = []
    for one in wanted:
        if one.against is not None and out and out[-1] == [one.against]:
            out[-1].append(one.trace_id)
        else:
            out.append([one.trace_id])
    return out


def _that_fit(lists: Sequence[Sequence[Sequence[str]]], known: Collection[str], room: int) -> tuple[list[str], int]:
    """The first of each list, then the second of each, …, each trace once, as far as there is room; and how many there
    would be."""
    longest = max((len(one) for one in lists), default=0)
    in_turn = [one[place] for place in range(longest) for one in lists if place < len(one)]
    taken: dict[str, None] = {}
    for together in in_turn:
        new = [one for one in together if one not in known and one not in taken]
        if len(taken) + len(new) <= room:
            taken.update(dict.fromkeys(new))
    return list(taken), len({one for together in in_turn for one in together} - set(known))
