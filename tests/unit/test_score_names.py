"""Scores in words: which are better when they are low, told by their names; and whose they are."""

from __future__ import annotations

from typing import Literal

import pytest
from tests.support.sample_report import evidence, finding, sample_report

from hansei.tools.playbook.evaluators import held_against_people
from hansei.tools.playbook.quality import is_lower_better, tell
from hansei.tools.report.catalogue import catalogue
from hansei.tools.report.health_view import sign_rows
from hansei.tools.report.html import render_html
from hansei.tools.report.markdown import render_markdown
from hansei.tools.report.settling import marked


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


COUNTS = {"both": 100, "yes_yes": 56, "yes_no": 6, "no_yes": 14, "no_no": 24, "j": 62.0, "p": 70.0, "jj": 62.0,
          "pp": 70.0, "jp": 56.0}  # fmt: skip
"""Of 100 traces people call 70 good; the evaluator does so with 56 of these and 6 others."""


def test_an_evaluators_score_is_told_with_what_people_say_of_the_same_traces() -> None:
    good = held_against_people(COUNTS, is_share=True, is_bad_high=False)
    bad = held_against_people(COUNTS, is_share=True, is_bad_high=True)
    number = held_against_people(COUNTS, is_share=False, is_bad_high=False)
    assert good is not None
    assert bad is not None
    assert number is not None
    assert (good.labels, good.tpr and good.tpr.value, good.tnr and good.tnr.value) == (100, 24 / 30, 56 / 70)
    assert (bad.tpr and bad.tpr.value, bad.tnr and bad.tnr.value) == (56 / 70, 24 / 30)
    wanted = (100 * 56 - 62 * 70) / ((100 * 62 - 62 * 62) * (100 * 70 - 70 * 70)) ** 0.5
    assert number.correlation is not None
    assert number.correlation.value == pytest.approx(wanted)
    few = {**COUNTS, "both": 60, "yes_no": 0, "no_no": 4}
    assert held_against_people(few, is_share=True, is_bad_high=False) is None
    assert held_against_people({**COUNTS, "pp": 49.0}, is_share=False, is_bad_high=False) is None
    assert held_against_people({}, is_share=True, is_bad_high=True) is None
    names = ["source", "now", "before", "value_now", "value_before", *COUNTS]
    one = finding(
        1, kind="quality", metric="score_rate", segment={"score_name": "helpful", "trace_name": "app"},
        evidence=[*finding(1).evidence, evidence(19, "detail", names, [["EVAL", 90, 80, 0.6, 0.8, *COUNTS.values()]])],
    )  # fmt: skip
    words = tell(one)
    assert words.title.endswith("(an evaluator's, calibrated)")
    assert "of 100 traces that people annotated too it calls 80" in words.summary


@pytest.mark.parametrize(("language", "none"), [("en", "uncalibrated"), ("ja", "未校正")])
def test_the_table_of_health_marks_scores_of_evaluators(language: Literal["en", "ja"], none: str) -> None:
    report = sample_report(language)
    assert report.health is not None
    first, *others = [one for one in report.health.signs if one.name == "score"] or [report.health.signs[-1]]
    held = held_against_people(COUNTS, is_share=True, is_bad_high=False)
    for believed, part in ((None, none), (held, "100")):
        marked = first.model_copy(
            update={"name": "score", "subject": "sql|ok", "of_evaluators": 1.0, "believed": believed}
        )
        health = report.health.model_copy(update={"signs": [marked, *others]})
        told = report.model_copy(update={"health": health})
        [row, *rest] = sign_rows(told)
        assert part in row.judged
        assert not any(one.judged for one in rest)
        markdown = next(line for line in render_markdown(told).splitlines() if "sql\\|ok" in line)
        assert row.judged.split(":")[0] in markdown
        assert row.judged.split(":")[0] in render_html(told)


@pytest.mark.parametrize(
    ("language", "text", "told"),
    [
        ("en", "Correctness fell to 0.8.", "Correctness fell to 0.8 (an evaluator's, uncalibrated)."),
        ("en", "An uncalibrated score fell.", "An uncalibrated score fell."),
        ("ja", "正確さが0.8に下がりました。", "正確さが0.8に下がりました(評価器によるスコア、未校正)。"),
    ],
)
def test_a_models_sentence_on_an_evaluators_score_says_so(language: str, text: str, told: str) -> None:
    words = catalogue(language)
    title = words.text("say.quality.uncalibrated_title", title="It fell")
    judged = finding(1, kind="quality", metric="score_mean", title=title)
    assert marked(text, [finding(2), judged], words) == told
    assert marked(text, [finding(2), judged.model_copy(update={"title": "It fell"})], words) == text
