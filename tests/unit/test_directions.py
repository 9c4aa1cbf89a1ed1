"""A sentence may say rose only of what rose."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.sample_report import finding

from hansei.contracts import Echo, Estimate, Finding
from hansei.tools.report.directions import contradicted


def moved(kind: str, before: float, now: float, **changes: Any) -> Finding:
    better = changes.pop("better", False)
    current, baseline = (Estimate(value=value, n=100, low=value, high=value) for value in (now, before))
    return finding(
        1, kind=kind, current=current, baseline=baseline, effect=now - before, echoes=[],
        direction="improvement" if better else "regression", **changes,
    )  # fmt: skip


ERRORS = moved("error", 0.03, 0.18)
LATENCY = moved("latency", 2.0, 3.5)
SCORE = moved("quality", 0.8, 0.6)
CHEAPER = moved("cost", 2.0, 1.0, better=True)


@pytest.mark.parametrize(
    ("sentence", "about"),
    [
        ("Errors rose.", [ERRORS]),
        ("The share of failed calls went up from 3 % to 18 %.", [ERRORS]),
        ("It is slower, and more calls take long.", [LATENCY]),
        ("Feedback fell, while errors rose.", [SCORE, ERRORS]),
        ("The score is lower.", [SCORE]),
        ("It got worse.", [SCORE]),
        ("Calls are cheaper: the cost dropped.", [CHEAPER]),
        ("The cost improved.", [CHEAPER]),
        ("More than 500 traces are affected.", [SCORE]),
        ("Look at this first.", []),
        ("エラーが増えました。", [ERRORS]),
        ("応答時間が長くなり、遅くなっています。", [LATENCY]),
        ("スコアが低下し、一方でエラーが増加しています。", [SCORE, ERRORS]),
        ("費用が減少し、改善しました。", [CHEAPER]),
    ],
)
def test_what_the_findings_bear_out_may_be_said(sentence: str, about: list[Finding]) -> None:
    assert contradicted(sentence, about) == []


@pytest.mark.parametrize(
    ("sentence", "about", "word"),
    [
        ("Errors fell.", [ERRORS], "fell"),
        ("Fewer calls fail.", [ERRORS], "Fewer"),
        ("It is faster now.", [LATENCY], "faster"),
        ("The answers improved.", [SCORE], "improved"),
        ("Feedback rose while errors fell.", [SCORE, ERRORS], "rose"),
        ("Errors did not rise.", [ERRORS], "rise"),
        ("Errors rose because latency fell.", [ERRORS], "fell"),
        ("The score is slower.", [SCORE], "slower"),
        ("It is more expensive.", [CHEAPER], "more expensive"),
        ("It got worse.", [CHEAPER], "got worse"),
        ("Errors rose.", [], "rose"),
        ("エラーが減りました。", [ERRORS], "減り"),
        ("エラーは増えていない。", [ERRORS], "増え"),
        ("速くなりました。", [LATENCY], "速くなり"),
        ("スコアが上昇しました。", [SCORE, ERRORS], "上昇し"),
        ("品質が改善しました。", [SCORE], "改善し"),
    ],
)
def test_what_goes_the_other_way_is_named(sentence: str, about: list[Finding], word: str) -> None:
    assert word in contradicted(sentence, about)


def test_what_is_folded_into_a_finding_may_be_said_with_it() -> None:
    echo = Echo(kind="cost", metric="cost_per_call", unit="usd", segment={}, current=1.0, baseline=2.0)
    assert contradicted("Errors rose, and the cost fell.", [ERRORS]) == ["fell"]
    assert contradicted("Errors rose, and the cost fell.", [ERRORS.model_copy(update={"echoes": [echo]})]) == []


def test_advice_says_what_should_be_and_is_held_to_what_it_tells_as_a_fact() -> None:
    for advice in ("Lower the temperature and retry with longer pauses.", "件数を減らし、品質を改善してください。"):
        assert contradicted(advice, [ERRORS], advice=True) == []
    assert contradicted("Keep it as it is, since errors fell.", [ERRORS], advice=True) == ["fell"]
    assert contradicted("エラーが減ったので、そのままで構いません。", [ERRORS], advice=True) == ["減っ"]


def test_a_finding_that_was_compared_with_nothing_went_nowhere() -> None:
    alone = ERRORS.model_copy(update={"effect": None, "baseline": None})
    assert contradicted("Errors rose.", [alone]) == ["rose"]
