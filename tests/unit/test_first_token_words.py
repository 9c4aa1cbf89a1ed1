"""Why answers start later: the provider is named only where no more was read than in the reference."""

from __future__ import annotations

import pytest
from tests.support.drafts import evidence, finding_of

from hansei.contracts import Direction
from hansei.tools.playbook.first_token_latency import DETECTOR


@pytest.mark.parametrize(("direction", "other"), [("regression", "baseline"), ("hotspot", "rest")])
@pytest.mark.parametrize(("tokens", "is_longer"), [(22_000.0, True), (1_500.0, False)])
def test_a_longer_input_is_the_reason_before_the_provider(
    direction: Direction, other: str, tokens: float, is_longer: bool
) -> None:
    columns = ["period", "calls", "input_tokens", "first_token_s", "latency_s"]
    detail = evidence("detail", columns, [["window", 400, tokens, 1.2, 4.0], [other, 3_000, 1_500.0, 0.5, 2.0]])
    found = finding_of("error", direction, segment={"metadata.source": "transcript"})
    update = {"kind": "first_token_latency", "metric": "first_token_p95", "unit": "s", "evidence": [detail]}
    words = DETECTOR.tell(found.model_copy(update=update))
    assert ("22,000" in (words.cause or "")) == is_longer
    assert ("the wait is at the provider" in words.recommendation) != is_longer
