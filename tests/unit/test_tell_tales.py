"""Which of what was said tells bad traces from good ones, computed from the answer of the query."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some
from scipy import stats
from tests.support.drafts import built, draft_of, evidence

from hansei.contracts import Finding
from hansei.tools.playbook.quality import tell
from hansei.tools.playbook.tell_tales import by_chance, in_words, tell_tale

COLUMNS = ["step", "message", "bad", "good", "before", "of_bad", "of_good", "of_before", "compared"]
SCORE = {"score_name": "helpful", "trace_name": "support"}


def fallen(*rows: tuple[str, str, int, int, int, int, int, int, int], rest: bool = False) -> Finding:
    answer = evidence("outputs", COLUMNS, rows)
    return built(
        draft_of([(100, 60)] * 7, [(100, 80)] * 7, answer, metric="score_rate", segment=SCORE, rest=rest,
                 against=SCORE if not rest else {"score_name": "helpful"})
    )  # fmt: skip


@given(some.integers(0, 30), some.integers(0, 30), some.integers(0, 30), some.integers(0, 30))
def test_chance_is_scipys_exact_test(bad: int, not_bad: int, good: int, not_good: int) -> None:
    theirs = stats.fisher_exact([[bad, not_bad], [good, not_good]], alternative="greater").pvalue
    assert by_chance(bad, bad + not_bad, good, good + not_good) == pytest.approx(theirs, abs=1e-9)


def test_what_may_be_chance_among_so_much_that_was_said_is_not_told() -> None:
    told = ("search", "No such policy.", 9, 2, 0, 100, 100, 200)
    assert by_chance(9, 100, 2, 100) == pytest.approx(0.029, abs=0.001)
    assert tell_tale(fallen((*told, 1))) is None
    clear = ("search", "The index is being rebuilt.", 30, 2, 0, 100, 100, 200)
    assert tell_tale(fallen((*clear, 50))) is not None
    assert tell_tale(fallen((*clear, 1_000_000))) is None
    found = tell_tale(fallen((*told, 50), (*clear, 50)))
    assert found is not None
    assert found.message == "The index is being rebuilt."
    assert tell_tale(fallen()) is None


def test_what_was_said_as_often_before_is_no_reason_for_the_fall() -> None:
    for before, is_new in ((60, False), (10, True)):
        finding = fallen(("search", "No such policy.", 40, 4, before, 100, 100, 200, 20))
        tale = tell_tale(finding)
        assert tale is not None
        assert tale.is_new is is_new
        words = tell(finding)
        assert words.cause is not None
        assert words.cause.endswith(f"Before, {before // 2} % of all did.")
        assert ("No such policy" in (words.recommendation or "")) is is_new


def test_inside_the_window_nothing_is_said_of_before() -> None:
    finding = fallen(("search", "No such policy.", 40, 0, 60, 100, 100, 200, 20), rest=True)
    tale = tell_tale(finding)
    assert tale is not None
    assert in_words(tale, finding) == (
        "Of the 100 badly scored traces with step “search” that were read, 40 % say “No such policy.” in its output; of"
        " the 100 others 0 %."
    )
