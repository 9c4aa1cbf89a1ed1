"""The demo's report against the truth: every planted problem is named, no trap is, and the numbers are true."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import pytest
from tests.support.cli import clean_environment, hansei

from hansei.context import Context
from hansei.contracts import Count, Figure, Finding, Report
from hansei.demo import Truth
from hansei.tools.clickhouse import close_readers, shared_reader
from hansei.tools.report.files import read_report
from hansei.tools.report.html import render_html
from hansei.tools.report.markdown import render_markdown
from hansei.tools.report.verify import verify_report

ROOT = Path(__file__).resolve().parents[2]

SAME_METRIC = {
    "error_rate": "error_rate",
    "unfinished_rate": None,  # the truth counts the last hour too
    "silent_failure_rate": "silent_failure_rate",
    "wrong_language_rate": "answers_in_another_language",
    "traces_without_feedback": "traces_without_feedback",
    "score_rate": "user_feedback",
    "cost_per_call": "cost_per_call",
    "step_latency_p95": "latency_p95",
    "loop_rate": "looping_traces",
    "runaway_rate": "runaway_traces",
    "traces_per_day": "traces_per_day",
}
"""Metric of a finding → the truth's figure for it."""


@dataclass(frozen=True)
class Job:
    truth: Truth
    report: Report
    context: Context
    printed: str
    """What the command told."""


@pytest.fixture(scope="module", params=["v4", pytest.param("v3", marks=pytest.mark.long)])
def job(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    """What `make demo` does, and the same in the other schema."""
    folder = tmp_path_factory.mktemp("demo").resolve()
    settings = {"LANGFUSE_BASE_URL": "https://langfuse.example"}
    if request.param == "v4":
        with patch.dict(os.environ, clean_environment(**settings), clear=True):
            printed = write_readme.run_demo(folder)
    else:
        done = hansei(folder, "demo", "--schema", request.param, **settings)
        assert done.returncode == 0, done.stderr
        printed = done.stdout
    made = folder / "hansei-demo"
    truth = Truth.model_validate_json((made / "truth.json").read_text(encoding="utf-8"))
    context = Context.model_validate({"clickhouse_url": f"chdb://{made / 'clickhouse'}"})
    yield Job(truth, read_report(made / "report" / "report.json"), context, printed)
    close_readers()


def _write_readme() -> ModuleType:
    """docs/write_readme.py, which is no package."""
    spec = importlib.util.spec_from_file_location("write_readme", ROOT / "docs" / "write_readme.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


write_readme = _write_readme()


def test_the_readme_shows_what_the_demo_prints(job: Job) -> None:
    if job.report.coverage.langfuse_schema != "v4":
        pytest.skip("the README shows the usual demo")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert write_readme.shown(readme) == job.printed, "what the demo prints changed: run `make readme`"


def _ruled(job: Job, finding: Finding) -> tuple[str, str | None]:
    # The truth speaks of observations by name, whatever their type; a tool is one of them.
    segment = {("observation_name" if key == "tool_name" else key): value for key, value in finding.segment.items()}
    return job.truth.rule(finding.kind, finding.direction, segment)


def test_every_planted_problem_is_named(job: Job) -> None:
    named = {id for finding in job.report.findings for ruling, id in [_ruled(job, finding)] if ruling == "planted"}
    # The runaways are too few to be told from chance against the baseline; they stand out from the rest by their cost.
    runaway = next(finding for finding in job.report.findings if finding.kind == "runaway")
    assert runaway.segment == {"trace_name": "research-agent"}
    assert named | {"research_runaways"} == {planted.id for planted in job.truth.planted}


def test_no_trap_and_no_false_alarm(job: Job) -> None:
    wrong = [
        (finding.title, ruling)
        for finding in job.report.findings
        for ruling, _ in [_ruled(job, finding)]
        if ruling == "false_alarm" and finding.kind != "runaway"
    ]
    assert wrong == []


def test_each_problem_is_told_once(job: Job) -> None:
    named = [id for finding in job.report.findings for ruling, id in [_ruled(job, finding)] if ruling == "planted"]
    assert len(named) == len(set(named))


def test_changes_are_told_of_the_hour_in_which_they_began(job: Job) -> None:
    told = {
        id: finding.onset_hour for finding in job.report.findings for ruling, id in [_ruled(job, finding)]
        if ruling == "planted" and id is not None and finding.onset_hour is not None
    }  # fmt: skip
    assert len(told) >= 5
    for id, hour in told.items():
        began = job.truth.find(id).onset
        assert began is not None
        assert abs(hour - began) <= timedelta(hours=3), id


def test_coverage_is_exact(job: Job) -> None:
    coverage, true = job.report.coverage, job.truth.coverage
    counts: list[tuple[Count, Count]] = [
        (coverage.traces, true.traces),
        (coverage.observations, true.observations),
        (coverage.scores, true.scores),
        (coverage.errors, true.errors),
    ]
    assert [one for one, _ in counts] == [other for _, other in counts]
    cost: tuple[Figure, Figure] = (coverage.total_cost, true.total_cost)
    assert cost[0].window == pytest.approx(cost[1].window, rel=1e-12)
    assert cost[0].baseline == pytest.approx(cost[1].baseline, rel=1e-12)


def test_values_are_the_true_ones(job: Job) -> None:
    compared = 0
    for finding in job.report.findings:
        ruling, id = _ruled(job, finding)
        wanted = SAME_METRIC.get(finding.metric)
        if ruling != "planted" or id is None or wanted is None:
            continue
        change = next((c for c in job.truth.find(id).changes if c.metric == wanted), None)
        if change is None:
            continue
        if finding.kind == "traffic" and finding.segment != job.truth.find(id).segment:
            continue  # told for all environments, while the truth counts production
        # A segment that is new since the onset has the figures since the onset, not those of the whole window.
        spans = [change.window, *([change.since_onset] if change.since_onset else [])]
        # Of some questions the language cannot be told; the truth counts them all.
        tolerance = 0.01 if finding.metric.endswith(("p95", "language_rate")) else 1e-9
        assert any(
            span.value is not None and finding.current.value == pytest.approx(span.value, rel=tolerance)
            for span in spans
        ), finding.title
        against_baseline = finding.comparison.against == "baseline"
        if against_baseline and finding.baseline is not None and change.baseline.value is not None:
            assert finding.baseline.value == pytest.approx(change.baseline.value, rel=tolerance, abs=1e-12)
        compared += 1
    assert compared >= 9


def test_onsets_are_right_to_the_day(job: Job) -> None:
    for finding in job.report.findings:
        ruling, id = _ruled(job, finding)
        if ruling == "planted" and id is not None and finding.onset is not None:
            onset = job.truth.find(id).onset
            assert onset is not None
            # Days begin with the window's; a change after noon shows from the next day on.
            assert abs((finding.onset - onset).total_seconds()) <= 86_400, finding.title


def test_everything_verifies(job: Job) -> None:
    verification = verify_report(job.report, shared_reader(job.context))
    assert verification.differences == []
    assert verification.queries == job.report.run.queries
    assert verification.numbers > 1000


def test_nothing_of_other_tenants_or_hostile_texts_gets_through(job: Job) -> None:
    dump = job.report.model_dump_json()
    html, markdown = render_html(job.report), render_markdown(job.report)
    assert "CANARY" not in dump + html + markdown
    assert "other-co" not in dump + html + markdown
    assert html.lower().count("<script") == 1  # the page's own
    assert "langfuse-llm-as-a-judge" not in dump


def test_links_point_to_the_project(job: Job, tmp_path: Path) -> None:
    finding = next(finding for finding in job.report.findings if finding.example_trace_ids)
    first = finding.example_trace_ids[0]
    assert finding.trace_urls[0] == f"https://langfuse.example/project/{job.truth.project_id}/traces/{first}"
