"""Which scores are better when they are low, told by their names."""

from __future__ import annotations

import pytest

from hansei.tools.playbook.quality import is_lower_better


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
