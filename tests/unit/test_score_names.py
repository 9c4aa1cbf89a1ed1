"""Scores in words: which are better when they are low, told by their names; and whose they are."""

from __future__ import annotations

import pytest
from tests.support.sample_report import evidence, finding

from hansei.tools.playbook.quality import is_lower_better, tell


@pytest.mark.parametrize(
    "name", ["toxicity", "hallucination", "error_count", "errorRate", "PII-leak", "answer refusal", "bias.gender"]
)
def test_less_is_better(name: str) -> None:
    assert is_lower_better(name)


@pytest.mark.parametrize(
    "name", ["helpful", "user_feedback", "onerror", "error_free_rate", "no_hallucination", "non-toxic", "terror-movie"]
)
def test_more_is_better(name: str) -> None:
    assert not is_lower_better(name)


@pytest.mark.parametrize(
    ("given", "is_marked"),
    [
        ([["API", 90, 80, 0.6, 0.8], ["EVAL", 60, 60, 0.7, 0.8]], False),
        ([["ANNOTATION", 5, 5, 0.6, 0.8]], False),
        ([["EVAL", 90, 80, 0.6, 0.8], ["API", 60, 60, 0.7, 0.8]], True),
        ([["EVAL", 40, 0, 0.6, None], ["Hansei", 40, 0, 0.6, None], ["API", 60, 60, 0.7, 0.8]], True),
    ],
)
def test_what_evaluators_say_is_marked_where_they_gave_most_of_it(given: list[list[object]], is_marked: bool) -> None:
    names = ["source", "now", "before", "value_now", "value_before"]
    one = finding(
        1, kind="quality", metric="score_rate", segment={"score_name": "helpful", "trace_name": "app"},
        evidence=[*finding(1).evidence, evidence(19, "detail", names, given)],
    )  # fmt: skip
    words = tell(one)
    assert ("uncalibrated" in words.title, "not people" in words.summary) == (is_marked, is_marked)
