"""Hand-made reports for tests of the renderers: a believable one, a hostile one, a long one, an empty one."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from tests.support.sample_overview import excerpt, flows, health, hostile_overview
from tests.support.sample_words import told_so

from hansei.contracts import (
    Check,
    Comparison,
    Count,
    Coverage,
    DetectorStatus,
    Echo,
    Estimate,
    Evidence,
    Figure,
    Finding,
    Impact,
    PlanItem,
    Report,
    Run,
    Screening,
    Window,
    hash_result,
)

START = datetime(2026, 11, 2, tzinfo=UTC)
BASELINE = Window(start=START, end=START + timedelta(days=7))
WINDOW = Window(start=BASELINE.end, end=BASELINE.end + timedelta(days=7))

HOSTILE = (
    "<script>alert('x')</script><img src=x onerror=alert(1)> [free money](https://evil.example/a) "
    "![pixel](https://evil.example/p.png) <https://evil.example> www.evil.example | cell `code` **bold** "
    "$\\frac{1}{0}$ \u202egnp.exe\u202c zero\u200bwidth \x1b[31mred\x1b[0m "
    "{{ 7 * 7 }} {% raw %} &lt;b&gt; javascript:alert(1) @channel #1\n"
    "second line\r\n"
    "| a | b |\n|---|---|\n# heading\n- item\n```\nfence\n```\n</style></svg>]]>--> \u2028 \ufeff\u2066end"
)
"""What a trace could hold to break a report."""

MEASURE_SQL = """SELECT
    if(start_time >= {window_start:DateTime64(3)}, 'window', 'baseline') AS period,
    toStartOfInterval(start_time, toIntervalDay(1)) AS day,
    uniqExact(trace_id) AS traces,
    count() AS x,
    countIf(level = 'ERROR') AS y
FROM observations FINAL
WHERE project_id = {project:String} AND name = {observation_name:String}
  AND start_time >= {baseline_start:DateTime64(3)} AND start_time < {window_end:DateTime64(3)}
GROUP BY period, day
ORDER BY period, day"""

PARAMETERS: dict[str, Any] = {
    "project": "acme-prod",
    "observation_name": "search_kb",
    "baseline_start": "2026-11-02 00:00:00.000",
    "window_start": "2026-11-09 00:00:00.000",
    "window_end": "2026-11-16 00:00:00.000",
}


def wobble(day: int, seed: float) -> float:
    """A number between −1 and 1 that looks like noise and is the same in every run."""
    return math.sin(day * 12.9898 + seed * 78.233) * math.cos(day * 4.1414 + seed)


def evidence(
    number: int,
    purpose: str,
    columns: list[str],
    rows: list[list[Any]],
    *,
    sql: str = MEASURE_SQL,
    seconds: float = 0.042,
) -> Evidence:
    return Evidence(
        id=f"e{number}",
        purpose=purpose,
        sql=sql,
        parameters=PARAMETERS,
        columns=columns,
        rows=rows,
        row_count=len(rows),
        rows_read=1_284_211,
        seconds=seconds,
        result_hash=hash_result(columns, rows),
    )


def series(
    number: int,
    rate: Callable[[int], float | None],
    *,
    per_day: int = 420,
    quantiles: bool = False,
    days: range = range(14),
    whole: bool = True,
    against_rest: bool = False,
) -> Evidence:
    """The standard daily series from `START`; `rate(day)` is y/x, or with `quantiles` the p95 in seconds.

    With `against_rest` the first seven days become those of the window's rest.
    """
    columns = ["period", "day", "traces", "x", "y"] + (["p50", "p95"] if quantiles else [])
    rows: list[list[Any]] = []
    for day in days:
        value = rate(day)
        if value is None:
            continue
        calls = round(per_day * (1 + 0.1 * wobble(day, 3)))
        row: list[Any] = [
            ("rest" if against_rest else "baseline") if day < 7 else "window",
            (START + timedelta(days=day + 7 * (against_rest and day < 7))).isoformat().replace("+00:00", "Z"),
            round(calls * 0.8),
            calls,
            round(value * calls) if whole else value * calls,
        ]
        rows.append(row + ([value / 3, value] if quantiles else []))
    return evidence(number, "measure", columns, rows)


CHECKS = [
    Check(name="Re-derived by another query", passed=True, detail="18.2 % from raw rows, within 0.1 points."),
    Check(name="Mix shift", passed=True, detail="With the baseline's mix of traces the rate is still 17.9 %."),
    Check(name="Leave one day out", passed=True, detail="Between 17.1 % and 19.0 % whichever day is left out."),
    Check(name="Leave the top user out", passed=True, detail="18.0 % without the user with most calls."),
    Check(name="Arrival lag", passed=None, detail="The project keeps no arrival times."),
]

TRACE_IDS = ["7f3c9e2ab4d14f0f9e2ab4d14f0f0001", "0b61aa94c2e84a37b0d5a94c2e84a370", "c9d2e41f77aa4e0aa1f2d41f77aa4e0a"]


def finding(number: int, **changes: Any) -> Finding:
    """A finding about errors of a tool; `changes` replace its fields."""
    urls = [f"https://langfuse.example.com/project/acme-prod/traces/{trace_id}" for trace_id in TRACE_IDS]
    fields: dict[str, Any] = {
        "id": f"f{number:016x}",
        "kind": "error",
        "direction": "regression",
        "severity": "critical",
        "title": "search_kb fails in 18 % of its calls, up from 3.1 %",
        "summary": "Calls of the tool search_kb that end in an error rose from 3.1 % to 18 % with release 2026.11.11.",
        "cause": "Release 2026.11.11 went live on the day of the onset. 91 % of the new errors say "
        "“connection pool exhausted”.",
        "recommendation": "Raise the connection pool of search_kb from 10 to 50, or roll release 2026.11.11 back.",
        "segment": {"observation_name": "search_kb", "release": "2026.11.11"},
        "metric": "error_rate",
        "unit": "ratio",
        "current": Estimate(value=0.182, n=2931, low=0.165, high=0.2),
        "baseline": Estimate(value=0.031, n=2875, low=0.024, high=0.039),
        "effect": 0.151,
        "p_value": 1.2e-41,
        "q_value": 3.1e-39,
        "impact": Impact(
            affected_traces=487, affected_users=211, excess_traces=402.4, share_of_traces=0.064, cost_per_week=31.2,
            hours_per_week=None,
        ),
        "verdict": "confirmed",
        "checks": CHECKS,
        "evidence": [
            series(number * 10 + 1, lambda day: (0.031 if day < 9 else 0.235) * (1 + 0.18 * wobble(day, 1))),
            evidence(
                number * 10 + 2, "rederive", ["calls", "failing"], [[2931, 534]],
                sql="SELECT count() AS calls, countIf(level = 'ERROR') AS failing\nFROM observations FINAL",
            ),
        ],
        "example_trace_ids": TRACE_IDS,
        "trace_urls": urls,
        "comparison": Comparison(against="baseline", segment={"observation_name": "search_kb"}),
        "onset": datetime(2026, 11, 11, tzinfo=UTC),
        "echoes": [
            Echo(
                kind="error", metric="error_rate", unit="ratio", segment={"trace_name": "support-agent"},
                current=0.094, baseline=0.021,
            )
        ],
    }  # fmt: skip
    return Finding.model_validate(fields | changes)


def _findings() -> list[Finding]:
    none = Impact.model_validate({})
    return [
        finding(1),
        finding(
            2, kind="quality", severity="high", metric="score_mean", unit="score",
            title="Helpfulness of prompt answer v7 is 0.71, 0.13 below v6",
            summary="Answers written with version 7 of the prompt score 0.71 where version 6 scored 0.84.",
            cause="Version 7 drops the instruction to cite the knowledge base.",
            recommendation="Give the label production back to version 6 of the prompt answer.",
            segment={"prompt_name": "answer", "prompt_version": "7", "score_name": "helpfulness"},
            current=Estimate(value=0.71, n=812, low=0.69, high=0.73),
            baseline=Estimate(value=0.84, n=1904, low=0.83, high=0.85), effect=-0.13, p_value=4e-8, q_value=9e-7,
            evidence=[series(21, lambda d: None if d < 10 else 0.71 + 0.03 * wobble(d, 2), per_day=200, whole=False)],
            comparison=Comparison(against="baseline", segment={"prompt_name": "answer", "prompt_version": "6"}),
            onset=datetime(2026, 11, 12, tzinfo=UTC), echoes=[],
            impact=Impact.model_validate({"affected_traces": 812, "affected_users": 304, "share_of_traces": 0.11}),
        ),
        finding(
            3, kind="latency", severity="high", metric="latency_p95", unit="s",
            title="research-agent takes 41 s at the 95th percentile, up from 24 s",
            summary="One trace in twenty of research-agent now takes longer than 41 s.", cause=None,
            recommendation="Run the three web searches of a research step in parallel.",
            segment={"trace_name": "research-agent"}, current=Estimate(value=41.2, n=1200, low=38.0, high=44.9),
            baseline=Estimate(value=24.1, n=1180, low=22.8, high=25.9), effect=17.1, p_value=0.00031, q_value=0.004,
            evidence=[series(31, lambda d: (24 if d < 7 else 41) * (1 + 0.1 * wobble(d, 5)), quantiles=True)],
            comparison=Comparison(against="baseline", segment={"trace_name": "research-agent"}), onset=None, echoes=[],
            parameters={"slow_seconds": 30.0}, impact=Impact.model_validate({"hours_per_week": 5.7}),
        ),
        finding(
            4, kind="cost", severity="medium", metric="cost_per_trace", unit="usd",
            title="A trace of sql-copilot costs $0.083, twice as much as before",
            summary="The model changed from gpt-5-mini to gpt-5 on 13 Nov.",
            cause="The model changed from gpt-5-mini to gpt-5.", recommendation="Set the model of sql-copilot back.",
            segment={"trace_name": "sql-copilot", "model": "gpt-5"},
            current=Estimate(value=0.083, n=640, low=0.079, high=0.088),
            baseline=Estimate(value=0.041, n=655, low=0.039, high=0.043), effect=0.042, p_value=0.0001, q_value=0.0012,
            evidence=[
                series(41, lambda d: (0.041 if d < 11 else 0.116) * (1 + 0.07 * wobble(d, 7)), per_day=95, whole=False)
            ],
            comparison=Comparison(against="baseline", segment={"trace_name": "sql-copilot"}),
            onset=datetime(2026, 11, 13, tzinfo=UTC), echoes=[],
            impact=Impact.model_validate({"cost_per_week": 412.4, "affected_traces": 276}),
        ),
        finding(
            5, kind="loop", direction="hotspot", severity="medium", metric="loop_rate", unit="ratio",
            title="plan_step runs in circles in 4.4 % of its traces, elsewhere 0.3 %",
            summary="plan_step calls the same tool with the same arguments three times or more.", cause=None,
            recommendation="Stop plan_step after the second identical tool call.",
            segment={"observation_name": "plan_step"}, current=Estimate(value=0.044, n=1100, low=0.033, high=0.058),
            baseline=Estimate(value=0.003, n=6000, low=0.0019, high=0.0047), effect=0.041, p_value=2e-7, q_value=1e-5,
            evidence=[
                series(
                    51, lambda d: (0.003 if d < 7 else 0.044) * (1 + 0.4 * wobble(d, 4)), per_day=900, against_rest=True
                )
            ],
            comparison=Comparison(against="rest_of_window", segment={}), onset=None, echoes=[],
            impact=Impact.model_validate({"affected_traces": 48, "affected_users": 31}),
        ),
        finding(
            6, kind="token_usage", direction="improvement", severity="low", metric="tokens_per_trace", unit="tokens",
            title="A trace of support-agent uses 3,120 tokens, a quarter less", cause=None,
            summary="Since the prompt was shortened.", recommendation="Keep the shorter prompt; use it elsewhere too.",
            segment={"trace_name": "support-agent"}, current=Estimate(value=3120, n=3000, low=3060, high=3190),
            baseline=Estimate(value=4180, n=2980, low=4090, high=4270), effect=-1060, p_value=1e-9, q_value=1e-7,
            evidence=[], comparison=Comparison(against="baseline", segment={"trace_name": "support-agent"}),
            echoes=[], impact=none, example_trace_ids=[], trace_urls=[],
        ),
        finding(
            7, kind="traffic", severity="low", metric="traces_per_day", unit="traces/day",
            title="batch-import started on 9 Nov: 1.2 M traces a day", summary="There was none in the baseline.",
            cause=None, recommendation="Check that this traffic is meant to be in production.",
            segment={"trace_name": "batch-import"},
            current=Estimate(value=1_200_000, n=7, low=1_150_000, high=1_260_000),
            baseline=None, effect=None, p_value=None, q_value=None,
            evidence=[series(71, lambda d: None if d < 7 else 1.0, per_day=1_200_000)],
            comparison=Comparison(against="baseline", segment={"trace_name": "batch-import"}), onset=None, echoes=[],
            impact=none,
        ),
    ]  # fmt: skip


def _refuted() -> list[Finding]:
    return [
        finding(
            8, severity="medium", verdict="refuted", title="Errors of all traces rose from 2 % to 3 %", evidence=[],
            checks=[Check(name="Mix shift", passed=False, detail="With the baseline's mix of traces nothing changed.")],
        ),
        finding(
            9, severity="low", verdict="not_measurable", title="First token of chat came later", baseline=None,
            effect=None, p_value=None, q_value=None, evidence=[],
            checks=[Check(name="Small sample", passed=None, detail="Only 7 traces carry a first token time.")],
        ),
    ]  # fmt: skip


def sample_report(language: Literal["en", "ja"] = "en", **changes: Any) -> Report:
    """A week of a company's applications with seven findings and two refuted candidates."""
    fields: dict[str, Any] = {
        "hansei_version": "0.1.0",
        "run": Run(
            id="run-20261116-090000", started_at=datetime(2026, 11, 16, 9, 0, 12, tzinfo=UTC), seconds=6.84,
            model="gpt-5-mini", tokens=48_210, cost=0.0931,
            langfuse_trace_url="https://langfuse.example.com/project/hansei/traces/5d0c", queries=64,
            rows_read=18_240_118,
        ),
        "project_id": "acme-prod", "window": WINDOW, "baseline": BASELINE, "language": language,
        "question": "Why did support get worse this week?",
        "headline": "search_kb fails in 18 % of its calls since 11 Nov, and answers got worse with prompt version 7.",
        "coverage": Coverage(
            langfuse_schema="v4",
            traces=Count(window=7_410, baseline=7_132),
            observations=Count(window=61_230, baseline=58_964),
            scores=Count(window=4_020, baseline=3_911),
            total_cost=Figure(window=1_243.18, baseline=868.4),
            errors=Count(window=1_102, baseline=402),
            detectors=[
                DetectorStatus(name="error", status="ran", reason="", slices=112),
                DetectorStatus(name="latency", status="ran", reason="", slices=88),
                DetectorStatus(name="quality", status="partial", reason="Scores of 2 of 5 names are text.", slices=12),
                DetectorStatus(name="cache", status="skipped", reason="No usage of cached tokens is recorded."),
            ],
            missing=["No trace carries a user id before 4 Nov."],
            notes=["312 traces of the environment langfuse-llm-as-a-judge were left out."],
        ),
        "screening": Screening(slices=212, p_values=[1.2e-41, 4e-8, 0.0001], false_discovery_rate=0.05),
        "findings": _findings(),
        "refuted": _refuted(),
        "plan": [
            PlanItem(id="t1", detector="error", question="Which steps fail more?", reason="Errors rose by 170 %."),
            PlanItem(id="t2", detector="quality", question="Which prompt lost quality?", reason="You asked for it."),
        ],
        "health": health([evidence(801, "health", ["of", "traces"], [["period", 7_410]])]),
        "flows": flows([evidence(802, "flows", ["trace_name", "window"], [["support-agent", 1_000]])]),
        "excerpts": [excerpt(trace_id) for trace_id in TRACE_IDS],
        "follow_ups": ["Which users met the errors of search_kb?", "What do the failing calls have in common?"],
    }  # fmt: skip
    return Report.model_validate(fields | changes)


def empty_report(language: Literal["en", "ja"] = "en") -> Report:
    """Nothing found, and nothing to compare with."""
    report = sample_report(language)
    coverage = report.coverage.model_copy(
        update={
            "traces": Count(window=120, baseline=0),
            "observations": Count(window=1_100, baseline=0),
            "scores": Count(window=0, baseline=0),
            "total_cost": Figure(window=0.0, baseline=0.0),
            "errors": Count(window=0, baseline=0),
            "missing": ["There are no traces in the baseline."],
            "notes": [],
        }
    )
    rules_only = {"model": None, "tokens": 0, "cost": 0.0, "langfuse_trace_url": None}
    return report.model_copy(
        update={
            "coverage": coverage, "findings": [], "refuted": [], "plan": [], "follow_ups": [], "headline": "",
            "question": None, "health": None, "flows": None, "excerpts": [],
            "run": report.run.model_copy(update=rules_only),
        }
    )  # fmt: skip


def long_report(count: int = 30) -> Report:
    """As many findings as a bad week can bring, each with 200 rows of evidence."""
    rows = [[f"trace-{row:06d}", row, row / 7, "connection pool exhausted " * 4] for row in range(200)]
    seven = _findings()
    findings = []
    for number in range(1, count + 1):
        model = seven[number % len(seven)]
        examples = evidence(900 + number, "examples", ["trace_id", "n", "seconds", "status_message"], rows)
        findings.append(model.model_copy(update={"id": f"f{number:016x}", "evidence": [*model.evidence, examples]}))
    return sample_report(findings=findings)


def hostile_report(language: Literal["en", "ja"] = "en", text: str = HOSTILE) -> Report:
    """The same `text` in every field that holds free text: words, names, segments, links, rows, parameters, SQL."""
    checks = [Check(name=text, passed=passed, detail=text) for passed in (True, False, None)]
    proof = evidence(999, text, [text, "rows"], [[text, [text, {text: text}]], [None, True]], sql=text)
    proof = proof.model_copy(update={"id": text, "parameters": {text: text}, "result_hash": text})
    segment = {"trace_name": text, "prompt_name": "", f"metadata.{text}": text}

    def hostile(one: Finding) -> Finding:
        return one.model_copy(
            update={
                "id": text, "title": text, "summary": text, "cause": text, "recommendation": text, "segment": segment,
                "metric": text, "checks": checks, "evidence": [*one.evidence, proof], "example_trace_ids": [text] * 3,
                "trace_urls": ["javascript:alert(1)", 'https://evil.example/"onmouseover="alert(1)', text],
                "comparison": Comparison(against="baseline", segment=segment), "parameters": {text: 1.5},
                "echoes": [
                    Echo(kind="error", metric=text, unit="ratio", segment=segment, current=0.2, baseline=None)
                ],
            }
        )  # fmt: skip

    report = sample_report(language)
    coverage = report.coverage.model_copy(
        update={
            "detectors": [DetectorStatus(name=text, status="skipped", reason=text)],
            "missing": [text], "notes": [text], "evidence": [proof],
        }
    )  # fmt: skip
    return told_so(text, report.model_copy(
        update={
            "hansei_version": text, "project_id": text, "question": text, "headline": text, "coverage": coverage,
            "run": report.run.model_copy(update={"id": text, "model": text, "langfuse_trace_url": text}),
            "findings": [hostile(one) for one in report.findings], "refuted": [hostile(one) for one in report.refuted],
            "plan": [PlanItem(id=text, detector=text, question=text, reason=text)], "follow_ups": [text],
            **hostile_overview(text, [proof]),
        }
    ))  # fmt: skip
