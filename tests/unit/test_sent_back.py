"""What the critic sends back to the analyst: a change that was looked for in too wide a place."""

from __future__ import annotations

import pytest
from tests.support.drafts import FACTS, PLACE, Day, draft_of, evidence

from hansei.nodes.critic import _send_back
from hansei.tools.playbook.checks import changes_by_app
from hansei.tools.playbook.conclude import Draft, conclude
from hansei.tools.playbook.parts import kinds_of_traffic

NOW: list[Day] = [(143, 90)] * 7
BEFORE: list[Day] = [(143, 119)] * 7
SCORE = {"score_name": "helpful"}


def strata(*rows: tuple[str, int, int, int, int]) -> Draft:
    """A score that fell, by app: x, y, reference x, reference y."""
    columns = ["stratum", "x", "y", "reference_x", "reference_y"]
    answer = evidence("strata", columns, [[[row[0], "production", "helpful"], *row[1:]] for row in rows])
    return draft_of(NOW, BEFORE, answer, metric="score_rate", segment=SCORE)


def sent_back(draft: Draft) -> list[dict[str, object]]:
    conclusion = conclude({draft.id: draft}, FACTS, {"error": 10}, PLACE, final=False)
    (found,) = conclusion.refuted
    assert "mix_shift" in {check.name for check in found.checks if check.passed is False}
    return [candidate for task in _send_back(conclusion, {draft.id: draft}) for candidate in task["candidates"] or []]


def test_a_change_that_the_mix_hides_is_looked_for_in_the_app_that_carries_it() -> None:
    """Helpful answers fell from 80 % to 60 % in one app; a bad app grew from 100 to 400 ratings at the same time."""
    draft = strata(("desk", 100, 60, 100, 80), ("bad", 400, 120, 100, 30), ("good", 500, 450, 800, 720))
    (candidate,) = sent_back(draft)
    assert candidate["segment"] == {**SCORE, "trace_name": "desk"}
    assert candidate["comparison"] == {"against": "baseline", "segment": {**SCORE, "trace_name": "desk"}}


def test_a_shift_of_the_mix_without_any_change_is_not_sent_back() -> None:
    assert sent_back(strata(("bad", 500, 150, 100, 30), ("good", 500, 450, 900, 810))) == []


@pytest.mark.parametrize(
    ("metric", "before", "sent"),
    [("tokens_per_call", 2, False), ("tokens_per_call", 90, True), ("error_rate", 2, True), ("cost_per_call", 2, True)],
)
def test_a_new_user_is_told_by_what_happens_to_them_not_by_what_they_ask(metric: str, before: int, sent: bool) -> None:
    share = metric == "error_rate"
    now, usual = (50.0, 10.0) if share else (150_000.0, 100_000.0)
    columns = ["user_id", "x", "y", "reference_x", "reference_y", "users", "affected_users"]
    answer = evidence("users", columns, [["new", 300, now * 7 - usual * 4, before, before * usual / 100, 9, 9]])
    days, former = [(100, now)] * 7, [(100, usual)] * 7
    draft = draft_of(days, former, answer, metric=metric, segment={}, spread=None if share else 50.0)
    conclusion = conclude({draft.id: draft}, FACTS, {"error": 10}, PLACE, final=False)
    (found,) = conclusion.refuted
    assert {check.name for check in found.checks if check.passed is False} == {"one_user"}
    assert bool(_send_back(conclusion, {draft.id: draft})) is sent


def test_what_apps_changed_is_counted_in_rows_and_small_apps_are_left_out() -> None:
    kinds = kinds_of_traffic(strata(("desk", 100, 60, 50, 40), ("tiny", 5, 0, 500, 400)).evidence)
    assert kinds is not None
    assert changes_by_app(kinds, sign=-1, least=30) == {"desk": 20.0}
