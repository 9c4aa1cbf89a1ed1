"""The words of the playbook: every phrase is there in every language, and all of a report is in the one asked for."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.drafts import FACTS, PLACE, draft_of
from tests.support.sample_report import sample_report
from tests.support.world import PERIODS

from hansei.contracts import Count, Figure, Report
from hansei.tools.playbook.catalogue import DETECTORS
from hansei.tools.playbook.conclude import Draft, conclude
from hansei.tools.playbook.telling import name, where
from hansei.tools.report.catalogue import catalogue, languages, say, speaking
from hansei.tools.report.compose import compose
from hansei.tools.report.formats import format_value
from hansei.tools.report.notices import said
from hansei.tools.report.reword import in_language
from hansei.tools.report.verify import edits

ROOT = Path(__file__).resolve().parents[2]
LATIN = re.compile(r"(?:[A-Za-z’']+ ){3,}[A-Za-z]+")
"""Four words in a row, as no name or code of ours has."""


def test_every_phrase_that_is_said_is_in_the_catalogue() -> None:
    texts = catalogue("en").texts
    used = set()
    for file in (ROOT / "tools").rglob("*.py"):
        for call in re.findall(r"\bsay\(([^)]*)", file.read_text("utf-8")):
            used |= set(re.findall(r'"([a-z_]+(?:\.[a-z0-9_]+)*)"', call.split(",")[0]))
    assert len(used) > 80
    assert {one for one in used if f"say.{one}" not in texts} <= {"ratio"}  # a unit, in a condition


@pytest.mark.parametrize("language", [one for one in languages() if one != "en"])
def test_no_phrase_was_left_in_english(language: str) -> None:
    for key, text in catalogue(language).texts.items():
        assert not LATIN.search(re.sub(r"\{\w+\}", "", text)), key


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda one: one.name)
def test_every_question_of_the_plan_can_be_told_in_other_languages(detector: object) -> None:
    question = next(one.question for one in DETECTORS if one is detector)
    assert said(question, "en") == question
    assert not LATIN.search(said(question, "ja"))


def test_what_is_spoken_ends_with_its_block_and_stays_in_its_thread() -> None:
    def tell(language: str) -> str:
        with speaking(language):
            return f"{where({'tool_name': 'look_up', 'release': '2'})} {format_value(0.5, 's')} {name('a')}"

    english, japanese = "tool “look_up” (release “2”) 500 ms “a”", "ツール「look_up」(リリース「2」) 500ミリ秒 「a」"
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(tell, ["en", "ja"] * 20)) == [english, japanese] * 20
    assert say("place.baseline") == "the baseline"


@pytest.mark.parametrize(
    ("remark", "told"),
    [
        ("34 % of generations name no model.", "生成の34%にモデル名がありません。"),
        ("there is no baseline, so it compared only inside the window; 3 weaker candidates were not measured",
         "比較期間がないため、対象期間の中だけを比較、より弱い候補3件は測定していない"),
        ("Something else altogether.", "Something else altogether."),
        ("", ""),
    ],
)  # fmt: skip
def test_remarks_are_told_again(remark: str, told: str) -> None:
    assert said(remark, "ja") == told
    assert said(remark, "en") == remark


def test_why_a_model_failed_is_told_in_the_reports_language() -> None:
    never = ("dry run", "does not tell which models")  # in no report
    failures = {
        re.sub(r"\{unit\}", "calls", re.sub(r"\{(?!unit)[^}]+\}", "7", found))
        for folder in ("tools/language_model", "nodes")
        for file in (ROOT / folder).rglob("*.py")
        for found in re.findall(r'ModelFailed\(\s*f?"([^"]+)"', file.read_text("utf-8"))
    }
    assert len(failures) > 20
    for failure in sorted(failures):
        if not any(words in failure for words in never):
            told = said(f"Planned by rules: {failure[:1].lower()}{failure[1:]}", "ja")
            assert told.startswith("計画はルールで作成: ")
            assert not LATIN.search(told), told


def report_of(*drafts: Draft) -> Report:
    """A report of what these drafts come to."""
    conclusion = conclude({draft.id: draft for draft in drafts}, FACTS, {"error": 212}, PLACE)
    coverage = sample_report().coverage.model_copy(
        update={"traces": Count(window=10_000, baseline=10_000), "total_cost": Figure(window=500.0, baseline=500.0)}
    )
    return compose(
        sample_report(
            window=PERIODS.window, baseline=PERIODS.baseline, coverage=coverage, findings=conclusion.findings,
            refuted=conclusion.refuted,
        )
    )  # fmt: skip


ERROR = draft_of([(100, 10)] * 7, [(100, 2)] * 7)
COST = draft_of(
    [(100, 150.0)] * 7, [(100, 100.0)] * 7, metric="cost_per_call", segment={"observation_name": "answer"}, spread=0.3
)
SCORE = draft_of(
    [(100, 60)] * 7, [(100, 80)] * 7, metric="score_rate", segment={"score_name": "helpful", "prompt_name": "answer"}
)
FEW = draft_of([(3, 3)] * 7, [(3, 0)] * 7, metric="silent_failure_rate", segment={"tool_name": "other"})


def test_a_report_is_told_again_in_another_language_and_back() -> None:
    report = report_of(ERROR, COST, SCORE, FEW)
    assert len(report.findings) + len(report.refuted) == 4
    japanese = in_language(report, "ja")
    assert edits(japanese) == []
    for before, after in zip((*report.findings, *report.refuted), (*japanese.findings, *japanese.refuted), strict=True):
        assert after.title != before.title
        words = [after.title, after.summary, after.cause or "", after.recommendation]
        assert not LATIN.search(" ".join(words + [check.detail for check in after.checks]))
        kept = {"title", "summary", "cause", "recommendation", "checks"}
        assert after.model_dump(exclude=kept) == before.model_dump(exclude=kept)
    assert in_language(japanese, "en") == report


def test_a_report_whose_evidence_was_edited_keeps_its_words() -> None:
    report = sample_report()
    assert [one.title for one in in_language(report, "ja").findings] == [one.title for one in report.findings]
