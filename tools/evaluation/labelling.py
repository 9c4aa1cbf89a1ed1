"""What people's labels say about a judge beyond its rates, and which traces they should label next. Pure functions."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import numpy as np

from hansei.tools.evaluation.calibration import split_of
from hansei.tools.statistics import Interval, wilson

TO_LABEL = 50
"""Traces that are worth a person's time at once."""

FEWEST_IN_GROUP = 5
"""Labels of a week, a model or a version below which it is not held against the others."""

_SHUFFLES = 9_999
T = TypeVar("T")


@dataclass(frozen=True)
class Pair:
    """A trace that a judge and a person have judged.

    Args:
        trace_id: which one.
        judge, human: whether they found the failure.
        at: when the trace was.
        version: the criterion's.
        judged_by: the model and the prompt's version.
    """

    trace_id: str
    judge: bool
    human: bool
    at: datetime
    version: str = ""
    judged_by: str = ""


@dataclass(frozen=True)
class Group:
    """Labels of one week, model or version: how often judge and people agree, with its 95 % interval."""

    name: str
    n: int
    agreement: Interval


@dataclass(frozen=True)
class Drift:
    """Agreement by group, in order. `p`: how likely groups that agree alike would differ as much by chance."""

    by: str
    groups: tuple[Group, ...]
    p: float


def drift(pairs: Iterable[Pair], by: str) -> Drift | None:
    """Whether a judge agrees with people as well in one group as in the others.

    A permutation test of the larger of two statistics, each against its own shuffles: the chi-square of homogeneity,
    and, by week, the trend (Cochran, Biometrics 10 (1954) 417; Armitage, Biometrics 11 (1955) 375). Exact for few
    labels up to the number of shuffles, which are always the same.

    Args:
        pairs: of one criterion.
        by: week (of the trace), version (of the criterion) or judged_by (model and prompt).

    Returns:
        None with fewer than two groups of `FEWEST_IN_GROUP` labels.
    """
    counted: dict[str, list[bool]] = {}
    for pair in pairs:
        counted.setdefault(_group(pair, by), []).append(pair.judge == pair.human)
    groups = {name: same for name, same in sorted(counted.items()) if len(same) >= FEWEST_IN_GROUP}
    if len(groups) < 2:
        return None
    sizes = np.array([len(same) for same in groups.values()])
    agreed = np.array([sum(same) for same in groups.values()])
    told = tuple(Group(name, len(same), wilson(sum(same) / len(same), len(same))) for name, same in groups.items())
    return Drift(by, told, _homogeneity(sizes, agreed, ordered=by == "week"))


def _group(pair: Pair, by: str) -> str:
    if by == "week":
        year, week, _ = pair.at.isocalendar()
        return f"{year}-W{week:02}"
    return pair.version if by == "version" else pair.judged_by


def _homogeneity(sizes: np.ndarray, agreed: np.ndarray, *, ordered: bool) -> float:
    total, n = int(agreed.sum()), int(sizes.sum())
    if total in (0, n):
        return 1.0
    shuffled = np.random.default_rng(1).multivariate_hypergeometric(sizes, total, size=_SHUFFLES)
    drawn = np.vstack([agreed, shuffled]).astype(np.float64)
    expected = sizes * total / n
    spread = ((drawn - expected) ** 2 / expected).sum(axis=1)
    statistics = [spread]
    if ordered and len(sizes) > 2:
        place = np.arange(len(sizes)) - (np.arange(len(sizes)) * sizes).sum() / n
        statistics.append(np.abs((drawn * place).sum(axis=1)))
    # Each shuffle is ranked among all of them by each statistic; its best rank is what is compared.
    ranks = [(np.searchsorted(np.sort(-one), -one + 1e-9, side="right")) / len(one) for one in statistics]
    best = np.minimum.reduce(ranks)
    return float((best <= best[0] + 1e-12).mean())


def disagreements(pairs: Iterable[Pair], most: int = 20) -> list[Pair]:
    """Cases for a person to look at: the judge missed a failure, or saw one where there is none. Of both kinds alike,
    the newest first. Only labels of `train` and `dev`: what a judge is measured on is not what it is tuned on."""
    wrong = sorted(
        (one for one in pairs if one.judge != one.human and split_of(one.trace_id) != "test"),
        key=lambda one: (one.at, one.trace_id),
        reverse=True,
    )
    missed = [one for one in wrong if one.human]
    alarms = [one for one in wrong if one.judge]
    taken = min(len(alarms), most // 2)
    kept = missed[: most - taken]
    return kept + alarms[: most - len(kept)]


@dataclass(frozen=True)
class ToLabel:
    """A trace that a person should label next.

    Args:
        trace_id: which one.
        found: what the judge said.
        chance: the share of failures among traces with the same other verdicts.
        why: drawn (the rates are measured on it) or unlikely (the judge says what the other verdicts speak against).
    """

    trace_id: str
    found: bool
    chance: float
    why: str


def next_to_label(
    judged: Mapping[str, bool], others: Mapping[str, Mapping[str, bool]], labelled: Iterable[str] = (),
    most: int = TO_LABEL,
) -> list[ToLabel]:  # fmt: skip
    """The traces from which a person's labels tell most about a judge.

    Half are traces in which it found the failure, half others, or as many as there are: failures are rare, and rates
    need both. Among either, those whose labels will measure the judge (`test`, six in ten) are drawn by chance, else
    the rates would be those of odd cases. The others, which improve the judge, are those where its verdict is least
    likely given what the other criteria and checks say of the trace.

    Args:
        judged: the judge's verdicts by trace: whether it found the failure.
        others: of each trace the verdicts of the other criteria and checks, by name.
        labelled: traces that have a label.
        most: how many.
    """
    chances = _chances(judged, others)
    known = set(labelled)
    kept: dict[bool, list[ToLabel]] = {}
    for found in (True, False):
        mine = sorted((one for one, verdict in judged.items() if verdict is found and one not in known), key=shuffled)
        drawn = [ToLabel(one, found, chances[one], "drawn") for one in mine if split_of(one) == "test"]
        odd = [ToLabel(one, found, chances[one], "unlikely") for one in mine if split_of(one) != "test"]
        odd.sort(key=lambda one: -abs(one.found - one.chance))
        kept[found] = in_turn(drawn, odd)
    of_found = min(len(kept[True]), max(most // 2, most - len(kept[False])))
    return [*kept[True][:of_found], *kept[False][: most - of_found]]


def in_turn(drawn: Sequence[T], odd: Sequence[T]) -> list[T]:
    """Six of ten are drawn by chance, wherever the list is cut."""
    out: list[T] = []
    first, second = list(drawn), list(odd)
    while first or second:
        wanted = first if len(out) % 5 in (0, 2, 4) else second
        out.append((wanted or first or second).pop(0))
    return out


def shuffled(trace_id: str) -> str:
    """Orders traces by chance, always in the same way."""
    return hashlib.sha256(f"label:{trace_id}".encode()).hexdigest()


def _chances(judged: Mapping[str, bool], others: Mapping[str, Mapping[str, bool]]) -> dict[str, float]:
    """The share found that a trace's other verdicts lead to expect (naive Bayes, smoothed by one of each)."""
    found = Counter(judged.values())
    seen: Counter[tuple[str, bool, bool]] = Counter()
    names: Counter[tuple[str, bool]] = Counter()
    for trace_id, verdict in judged.items():
        for name, other in others.get(trace_id, {}).items():
            seen[name, other, verdict] += 1
            names[name, verdict] += 1
    prior = math.log((found[True] + 1) / (found[False] + 1))

    def weight(name: str, other: bool) -> float:
        among_found = (seen[name, other, True] + 1) / (names[name, True] + 2)
        among_rest = (seen[name, other, False] + 1) / (names[name, False] + 2)
        return math.log(among_found / among_rest)

    logits = {
        trace_id: prior + sum(weight(name, other) for name, other in others.get(trace_id, {}).items())
        for trace_id in judged
    }
    return {trace_id: 1 / (1 + math.exp(-max(-30.0, min(30.0, logit)))) for trace_id, logit in logits.items()}
