"""What to do about errors names a thing that can be mended."""

from __future__ import annotations

import pytest
from tests.support.drafts import built, draft_of, evidence

from hansei.contracts import Segment
from hansei.tools.playbook.error import tell

COLUMNS = ["message", "now", "before", "first", "failing", "failing_before", "templates"]


@pytest.mark.parametrize(
    ("segment", "advice"),
    [
        ({"tool_name": "geocode"}, "Slow tool “geocode” down"),
        ({"tool_name": "geocode", "hour_of_day": "18:00-22:00"}, "Slow tool “geocode” down"),
        ({"hour_of_day": "18:00-22:00"}, "Slow the calls of the hours 18:00-22:00 UTC down"),
        ({"user_id": "u7", "trace_name": "support"}, "Slow app “support” down"),
        ({}, "Slow the calls of the whole project down"),
    ],
)
def test_the_hours_and_the_customer_are_nothing_to_mend(segment: Segment, advice: str) -> None:
    said = evidence("detail", COLUMNS, [["429 too many requests", 70, 0, None, 70, 0, 1]])
    draft = draft_of([(100, 10)] * 7, [(100, 1)] * 7, said, segment=segment)
    assert tell(built(draft)).recommendation.startswith(advice)
