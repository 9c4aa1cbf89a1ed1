"""What putting a finding right would bring: its value from the finding's own figures, its interval, its words."""

from __future__ import annotations

import math
import random

import pytest
from tests.support.drafts import FACTS, PLACE, built, draft_of

from hansei.tools.playbook.conclude import conclude
from hansei.tools.report.catalogue import speaking

COST = draft_of([(100, 150.0)] * 7, [(100, 100.0)] * 7, metric="cost_per_call", segment={"model": "m"}, spread=0.3)
ERRORS = draft_of([(100, 10)] * 7, [(100, 2)] * 7)


def test_money_is_the_excess_of_a_week_with_the_interval_of_both_averages() -> None:
    found = built(COST)
    assert found.gain is not None
    assert found.baseline is not None
    assert (found.gain.unit, found.gain.per) == ("usd", "week")
    assert found.gain.value == pytest.approx(350.0)
    assert found.gain.value == pytest.approx(found.impact.cost_per_week)
    # Both averages have the same standard error, so the difference has it times the root of two.
    half = found.current.high - found.current.value
    assert found.gain.high - found.gain.value == pytest.approx(700 * math.sqrt(2) * half, rel=1e-6)
    assert found.gain.low < found.gain.value < found.gain.high


def test_failures_are_counted_by_the_week_and_a_score_by_its_points() -> None:
    found = built(ERRORS)
    assert found.gain is not None
    assert (found.gain.unit, found.gain.per, found.gain.counted) == ("count", "week", "calls")
    assert found.gain.value == pytest.approx(56.0)
    score = built(draft_of([(100, 60)] * 7, [(100, 80)] * 7, metric="score_rate", segment={"score_name": "s"}))
    assert score.gain is not None
    assert (score.gain.unit, score.gain.per) == ("ratio", "row")
    assert score.gain.value == pytest.approx(0.2)
    assert 0.15 < score.gain.low < 0.2 < score.gain.high < 0.25


def test_what_got_better_or_has_no_reference_or_is_traffic_has_none() -> None:
    better = draft_of([(100, 2)] * 7, [(100, 10)] * 7, direction="improvement")
    assert built(better).gain is None
    assert built(draft_of([(100, 10)] * 7, [])).gain is None
    traffic = draft_of([(30, 30)] * 7, [(100, 100)] * 7, metric="traces_per_day", segment={})
    assert built(traffic).gain is None


def test_the_interval_holds_the_true_gain_in_about_95_of_100_cases() -> None:
    source, held = random.Random(4), 0
    for _ in range(400):
        now, before = ([(200, sum(source.random() < p for _ in range(200))) for _ in range(7)] for p in (0.05, 0.02))
        gain = built(draft_of(now, before)).gain
        assert gain is not None
        held += gain.low <= 0.03 * 1400 <= gain.high
    assert 0.93 <= held / 400 <= 0.99


def test_it_ends_the_recommendation_in_both_languages() -> None:
    drafts = {draft.id: draft for draft in (COST, ERRORS)}
    both = conclude(drafts, FACTS, {"error": 10}, PLACE, final=False)
    told = {finding.kind: finding.recommendation for finding in (*both.findings, *both.refuted)}
    assert told["cost"].endswith(" less a week.")
    assert "Expected gain: $350 ($" in told["cost"]
    assert "Expected gain: 56 (" in told["error"]
    assert told["error"].endswith(" fewer such calls a week.")
    japanese = conclude(drafts, FACTS, {"error": 10}, PLACE, "ja", final=False)
    assert all("見込まれる効果" in finding.recommendation for finding in (*japanese.findings, *japanese.refuted))
    with speaking("en"):
        assert built(COST).recommendation == ""
