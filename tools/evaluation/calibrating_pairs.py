"""Judges of pairs held against people's preferences, and the pairs that people should label next.

People prefer the trace of a pair that they gave the higher score; the same score is a tie. Pairs whose verdict changed
with the order are settled by nobody, and left out here; how many they are is the judge's position bias.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hansei.contracts.calibration import Calibration, Disagreement, Unlabelled
from hansei.contracts.evaluation import Verdict
from hansei.tools.evaluation.agreement import FEWEST, Confusion
from hansei.tools.evaluation.calibrating_values import (
    MOST_DISAGREEMENTS,
    agreement_of,
    drifts_of,
    estimate_of,
    too_few,
)
from hansei.tools.evaluation.calibration import split_of
from hansei.tools.evaluation.labelling import TO_LABEL, Pair, in_turn, shuffled
from hansei.tools.evaluation.labels import Label

PREFERENCES = ("first", "second", "tie")


def calibration_of_pairs(
    settled: Sequence[Verdict], labels: Mapping[str, Label], earlier: Sequence[Verdict] = (),
    before: Mapping[str, Label] | None = None,
) -> Calibration | None:  # fmt: skip
    """A judge of pairs held against people's preferences; None: there is no preference for a pair that it settled.

    Args:
        settled: its verdicts of this run on pairs as a whole.
        labels: people's scores, by trace.
        earlier: its verdicts of earlier runs, for its drift.
        before: labels of their traces. Default: `labels`.
    """
    before = labels if before is None else before
    both = [one for one in settled if _preference(one, labels)]
    if not both:
        return None
    told = [(one.trace_id, str(one.value), _preference(one, labels)) for one in both]
    tested = [(verdict, people) for first, verdict, people in told if split_of(first) == "test"]
    found = Calibration(
        labels=len(both),
        tested=len(tested),
        drift=drifts_of(
            [_agrees(one, labels) for one in both],
            [_agrees(one, labels) for one in earlier if _preference(one, labels)],
        ),
        disagreements=[
            Disagreement(trace_id=first, people=people)
            for first, verdict, people in told
            if verdict != people and split_of(first) != "test"
        ][:MOST_DISAGREEMENTS],
    )
    if len(tested) < FEWEST:
        return found.model_copy(update={"note": too_few(len(tested))})
    decided = [(verdict, people) for verdict, people in tested if "tie" not in (verdict, people)]
    update = agreement_of(Confusion.of(tested, PREFERENCES))
    if decided:
        update["decided"] = estimate_of(Confusion.of(decided, PREFERENCES).agreement, len(decided))
    return found.model_copy(update=update)


def pairs_to_label(
    settled: Sequence[Verdict], others: Mapping[str, Mapping[str, bool]], labels: Mapping[str, Label],
    most: int = TO_LABEL,
) -> list[Unlabelled]:  # fmt: skip
    """The traces of the pairs from which people's labels tell most about a judge; both of a pair, one after the other.

    A pair says something only when both of its traces have a label. Those that will measure the judge (`test`, six in
    ten) are drawn by chance, since nothing weights its agreement back to all pairs. The others, which improve it, are
    those where its verdict is least likely: the other criteria and checks find more wrong with the trace that it
    prefers; and of equals, first those that lack one label only.

    Args:
        settled: its verdicts on pairs as a whole.
        others: of each trace whether the other criteria and checks found their failure, by name.
        labels: people's scores, by trace.
        most: how many traces.
    """

    def lacks(one: Verdict) -> list[str]:
        return [id for id in (one.trace_id, one.against or "") if id not in labels]

    def oddness(one: Verdict) -> int:
        first, second = (sum(others.get(id, {}).values()) for id in (one.trace_id, one.against or ""))
        return abs(first - second) if one.value == "tie" else first - second if one.value == "first" else second - first

    mine = sorted((one for one in settled if lacks(one)), key=lambda one: shuffled(one.trace_id))
    drawn = [one for one in mine if split_of(one.trace_id) == "test"]
    odd = [one for one in mine if split_of(one.trace_id) != "test"]
    odd.sort(key=lambda one: (-oddness(one), len(lacks(one))))
    out: list[Unlabelled] = []
    for one in in_turn(drawn, odd):
        wanted = lacks(one)
        if len(out) + len(wanted) > most:
            break
        out += [
            Unlabelled(
                trace_id=id, verdict=str(one.value), why="drawn" if split_of(one.trace_id) == "test" else "unlikely",
                against=one.against if id == one.trace_id else one.trace_id,
            )
            for id in wanted
        ]  # fmt: skip
    return out


def _preference(one: Verdict, labels: Mapping[str, Label]) -> str:
    """Which trace people prefer; empty: they have not scored both."""
    first, second = labels.get(one.trace_id), labels.get(one.against or "")
    if first is None or second is None:
        return ""
    left, right = float(first.said), float(second.said)
    return "tie" if left == right else "first" if left > right else "second"


def _agrees(one: Verdict, labels: Mapping[str, Label]) -> Pair:
    """As a pair for the drift, which looks at nothing but whether both say the same; its time is the later trace's."""
    at = max(labels[one.trace_id].at, labels[one.against or ""].at)
    same = str(one.value) == _preference(one, labels)
    return Pair(f"{one.trace_id} {one.against}", same, True, at, one.version, one.judged_by)
