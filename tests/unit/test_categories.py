"""Which categories of a score are bad, good or neither."""

from __future__ import annotations

import pytest

from hansei.tools.playbook.categories import metric_of


@pytest.mark.parametrize(
    ("category", "metric"),
    [
        ("unresolved", "score_category_share"),
        ("not resolved", "score_category_share"),
        ("Incorrect", "score_category_share"),
        ("resolved", "score_category_share_higher_is_better"),
        ("fullyCorrect", "score_category_share_higher_is_better"),
        ("no_errors", "score_category_share_higher_is_better"),
        ("billing", "score_category_share_neutral"),
        ("", "score_category_share_neutral"),
    ],
)
def test_a_category_is_judged_by_its_words(category: str, metric: str) -> None:
    assert metric_of(category).name == metric
