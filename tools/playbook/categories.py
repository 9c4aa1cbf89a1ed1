"""Categorical scores: the share of each category among the ratings of a score.

A category is a value of the score, so a finding names it beside the score (`score_category`); it chooses no rows. By
its name a category is bad (a growing share is a regression), good (a shrinking one is), or neither: then a share that
grew is told without a judgement.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hansei.contracts import Direction
from hansei.tools.playbook.cells import Cells
from hansei.tools.playbook.expectation import Question
from hansei.tools.playbook.groupings import Units, against_baseline
from hansei.tools.playbook.model import Candidate, Metric
from hansei.tools.playbook.screen import explain

_BAD = Metric(
    name="score_category_share",
    kind="quality",
    unit="ratio",
    shape="share",
    relation="scores",
    where="data_type = 'CATEGORICAL'",
    y="string_value = {category:String}",
    min_n=30,
    min_effect=0.05,
    per="scores",
    again="countIf(string_value = {category:String}) / count()",
    again_where="data_type = 'CATEGORICAL'",
)
_GOOD = replace(_BAD, name="score_category_share_higher_is_better", worse=-1)
_NEITHER = replace(_BAD, name="score_category_share_neutral", worst="low", judged=False)
CATEGORIES = (_BAD, _GOOD, _NEITHER)

MOST = 12
"""Categories of a score that are compared: the most frequent ones."""

_BAD_WORDS = (
    "bad", "poor", "wrong", "incorrect", "fail", "error", "unresolved", "unsafe", "toxic", "harm", "hallucinat",
    "negative", "dissatisf", "unsatisf", "complain", "escalat", "refus", "irrelevant", "incomplete", "unhelpful",
    "worse", "invalid", "reject", "violat", "false",
)  # fmt: skip
_GOOD_WORDS = (
    "good", "great", "excellent", "correct", "pass", "success", "resolved", "safe", "positive", "satisf", "helpful",
    "relevant", "complete", "better", "valid", "accept", "true", "ok",
)  # fmt: skip
_NOT = frozenset({"not", "no", "un", "non", "never", "partially"})


def metric_of(category: str) -> Metric:
    """Whether a category is bad, good or neither, by the words of its name: not_resolved is bad, billing neither."""
    words = re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", category).lower())
    turned = bool(_NOT & set(words))
    if any(word.startswith(_BAD_WORDS) for word in words):
        return _GOOD if turned else _BAD
    if any(word.startswith(_GOOD_WORDS) for word in words):
        return _BAD if turned else _GOOD
    return _NEITHER


def screen_categories(
    columns: Mapping[str, Sequence[Any]], dimensions: tuple[str, ...], contexts: Units, groupings: Units
) -> tuple[list[Candidate], int, bool]:
    """The shares that moved against the baseline.

    Args:
        columns: counts `n` of scores by the dimensions, day, data_type and category.
        dimensions, contexts, groupings: of scores, without their category.

    Returns:
        The candidates, how many slices were compared, and whether there was a baseline.
    """
    found: list[Candidate] = []
    slices, has_baseline = 0, False
    for metric in CATEGORIES:
        cells = _cells(columns, dimensions, metric)
        if not len(cells):
            continue
        has_baseline |= cells.has_baseline
        question = Question(
            "n", "y", _with_category(contexts), _with_category(groupings), sign=metric.worse, min_x=metric.min_n,
            min_effect=metric.min_effect, repeats=("score", "score_category", "trace_name"),
        )  # fmt: skip
        looked = 0
        for direction, sign in _looked_for(metric):
            hits, looked = explain(cells, replace(question, sign=sign))
            found += against_baseline("quality", metric, direction, cells, hits, "n")
        slices += looked  # whichever way it is looked at, a slice is tested once
    return found, slices, has_baseline


def _looked_for(metric: Metric) -> tuple[tuple[Direction, int], ...]:
    if metric is _NEITHER:
        return (("hotspot", 1),)
    return ("regression", metric.worse), ("improvement", -metric.worse)


def _with_category(units: Units) -> Units:
    return tuple((*one, "score_category") for one in units)


def _cells(columns: Mapping[str, Sequence[Any]], dimensions: tuple[str, ...], metric: Metric) -> Cells:
    """All rows of a score once for each of its categories, which they are or are not."""
    rows = [i for i, kind in enumerate(columns["data_type"]) if kind == "CATEGORICAL"]
    counts: dict[str, Counter[str]] = {}
    for i in rows:
        counts.setdefault(str(columns["score"][i]), Counter())[str(columns["category"][i])] += int(columns["n"][i])
    chosen = {
        score: [name for name, _ in sorted(of.items(), key=lambda item: (-item[1], item[0]))[:MOST] if name]
        for score, of in counts.items()
    }
    pairs = [
        (i, name) for i in rows for name in chosen[str(columns["score"][i])] if metric_of(name).name == metric.name
    ]
    part: dict[str, Sequence[Any]] = {name: [columns[name][i] for i, _ in pairs] for name in (*dimensions, "day", "n")}
    part["score_category"] = [name for _, name in pairs]
    part["y"] = [columns["n"][i] if columns["category"][i] == name else 0 for i, name in pairs]
    return Cells.read(part, (*dimensions, "score_category"))
