"""The critic with a model behind it: it chooses questions, and only their answers can lower a finding."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.job import analyse, verify
from tests.support.modelled import with_a_model, world_in_memory
from tests.support.openai_server import Answer, OpenAiServer, Request, failing, structured, text
from tests.support.world import END, PROJECT, Visit

from hansei import Report
from hansei.contracts import Finding


def faults(visit: Visit) -> None:
    """A tool fails everywhere from the third day on; and users who always wait long come more and more often."""
    heavy = visit.random.random() < (0.75 if visit.day >= 0 else 0.1)
    if visit.app == "support":
        visit.user = f"heavy-{visit.random.randrange(6)}" if heavy else f"light-{visit.random.randrange(6)}"
        if heavy:
            visit.steps[-1].seconds *= 3.0
        if visit.day >= 2 and visit.random.random() < 0.25:
            visit.steps[1].level, visit.steps[1].status, visit.steps[1].output = "ERROR", "timeout", ""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with world_in_memory("doubted_by_a_model", faults) as url:
        yield url


pytestmark = pytest.mark.usefixtures("quick_model")


Run = Callable[..., tuple[Report, OpenAiServer]]


@pytest.fixture
def run(url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Analyses with a model that proposes these rivals for each finding, and nothing else that counts."""

    def analysed(*rivals: dict[str, Any], answer: Answer | None = None, **request: Any) -> tuple[Report, OpenAiServer]:
        def script(asked: Request) -> Answer:
            if "You doubt the findings" not in asked.prompt or asked.is_probe:
                return structured({"entries": []})(asked)
            marks = [f"f{i}" for i in range(1, 9)]
            proposed = [
                {"dimension": "", "value": "", "first": 0, "last": 0, "finding": mark} | one
                for mark in marks
                for one in rivals
            ]
            return answer or structured({"rivals": proposed})(asked)

        return with_a_model(url, script, monkeypatch, request)

    return analysed


@pytest.fixture(scope="module")
def by_rules(url: str) -> Report:
    return analyse(url, PROJECT, until=END.isoformat())


def numbers(finding: Finding) -> Any:
    """A finding without the checks and queries that were proposed."""
    dump = json.loads(finding.model_dump_json(exclude={"evidence", "checks", "worded"}))
    checks = [check.model_dump() for check in finding.checks if not check.name.startswith("rival_")]
    return dump, checks


def named(report: Report, kind: str) -> Finding:
    [found] = [one for one in (*report.findings, *report.refuted) if one.kind == kind and one.verdict == "confirmed"][
        :1
    ]
    return found


def test_the_rules_take_the_shift_of_users_for_a_slower_step(by_rules: Report) -> None:
    assert {"error", "latency"} <= {finding.kind for finding in by_rules.findings}


def test_a_shift_of_the_mix_is_shown_by_its_query_and_refutes(run: Run, url: str, by_rules: Report) -> None:
    report, server = run({"test": "hold_fixed", "dimension": "user_id"})
    slow = [one for one in report.refuted if any(c.name == "rival_mix" and c.passed is False for c in one.checks)]
    assert named(by_rules, "latency").id in {one.id for one in slow}
    [detail] = [check.detail for check in slow[0].checks if check.name == "rival_mix"]
    assert detail.startswith("A shift of the mix by user: with it held fixed only")
    failing_tool = named(report, "error")
    assert [check.passed for check in failing_tool.checks if check.name == "rival_mix"] == [True]
    assert numbers(failing_tool) == numbers(named(by_rules, "error"))
    assert report.run.usage["critic"].calls >= 1
    assert verify(url, report).ok
    for request in server.asked:
        assert "tools" not in request.body


def test_what_no_query_shows_lowers_nothing(run: Run, url: str, by_rules: Report) -> None:
    report, _ = run(
        {"test": "hold_fixed", "dimension": "hour"},
        {"test": "hold_fixed", "dimension": "environment"},
        {"test": "only_hours", "first": 6, "last": 17},
    )
    assert [numbers(one) for one in report.findings] == [numbers(one) for one in by_rules.findings]
    assert [one.id for one in report.refuted] == [one.id for one in by_rules.refuted]
    names = {check.name for check in named(report, "error").checks}
    assert {"rival_mix", "rival_hours"} <= names
    assert verify(url, report).ok


def test_a_model_that_wants_a_finding_gone_cannot_drop_it(run: Run, url: str, by_rules: Report) -> None:
    report, _ = run(
        {"test": "leave_out", "dimension": "trace_name", "value": "support"},
        {"test": "hold_fixed", "dimension": "release"},
        {"test": "leave_out", "dimension": "user_id", "value": "') OR 1=1 --"},
        {"test": "sibling", "dimension": "observation_name", "value": "answer"},
        {"test": "only_weekdays", "first": 1, "last": 7},
        {"test": "only_hours", "first": 30, "last": 2},
        {"test": "hold_fixed", "dimension": ""},
    )
    kept = {one.id: one for one in report.findings}
    for finding in by_rules.findings:
        assert finding.id in kept
        assert kept[finding.id].current == finding.current
        assert kept[finding.id].severity == finding.severity
    assert verify(url, report).ok


@pytest.mark.parametrize(
    "answer",
    [
        failing(500),
        *(
            pytest.param(answer, marks=pytest.mark.long)
            for answer in (
                failing(429),
                text("No."),
                text('{"rivals": [{"sql": "DROP"}]}'),
                text('{"rivals": [{"finding": "1", "test": "leave_out", "first": 2018}]}'),  # as a small model answers
            )
        ),
    ],
)
def test_when_the_model_fails_the_rules_doubt_alone_and_the_report_says_so(
    run: Run, by_rules: Report, answer: Answer
) -> None:
    report, _ = run(answer=answer)
    assert any(note.startswith("Doubted by rules alone: the model") for note in report.coverage.notes)
    assert [numbers(one) for one in report.findings] == [numbers(one) for one in by_rules.findings]


@pytest.mark.long
def test_the_checks_are_told_in_japanese(run: Run) -> None:
    report, _ = run({"test": "hold_fixed", "dimension": "user_id"}, language="ja")
    told = [
        check.detail for one in (*report.findings, *report.refuted) for check in one.checks if check.name == "rival_mix"
    ]
    assert any("ユーザーの構成の変化" in detail for detail in told)
