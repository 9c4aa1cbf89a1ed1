"""The coverage: what the project holds in the window and in the baseline, and what its instrumentation lacks.

The figures come from two queries that the report shows, and all of it is computed from their answers, so that it can be
verified like a finding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hansei.contracts import Count, Coverage, DetectorStatus, Evidence, Figure
from hansei.tools.langfuse.dataset import Dataset

_PERIOD = "if({time} >= {{window_start:DateTime64(6, 'UTC')}}, 'window', 'baseline') AS period"

_TRACES = f"""
SELECT 'traces' AS what, {_PERIOD.format(time="timestamp")}, count() AS n, toFloat64(0) AS cost, 0 AS errors,
  countIf(user_id = '') AS no_user, countIf(session_id = '') AS no_session, countIf(release = '' AND version = '') AS
  no_release,
  0 AS model_calls, 0 AS no_model, 0 AS no_cost, 0 AS no_usage, 0 AS no_prompt, 0 AS no_end
FROM traces GROUP BY period"""
_OBSERVATIONS = f"""
SELECT 'observations' AS what, {_PERIOD.format(time="start_time")}, count() AS n,
  toFloat64(sum(ifNull(total_cost, 0))) AS cost, countIf(level = 'ERROR') AS errors, 0, 0, 0,
  countIf(type = 'GENERATION') AS model_calls, countIf(type = 'GENERATION' AND model = '') AS no_model,
  countIf(type = 'GENERATION' AND total_cost IS NULL) AS no_cost,
  countIf(type = 'GENERATION' AND total_tokens IS NULL) AS no_usage,
  countIf(type = 'GENERATION' AND prompt_name = '') AS no_prompt,
  countIf(type != 'EVENT' AND end_time IS NULL) AS no_end
FROM observations GROUP BY period"""
_SCORES = f"""
SELECT 'scores' AS what, {_PERIOD.format(time="timestamp")}, count() AS n, toFloat64(0), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
FROM scores GROUP BY period"""


def read_coverage(dataset: Dataset) -> list[Evidence]:
    """Asks for the totals of both periods.

    Columns: what, period, n, cost (US dollars), errors, and counts of rows that lack something.
    """
    sql = f"SELECT * FROM ({_TRACES}\nUNION ALL{_OBSERVATIONS}\nUNION ALL{_SCORES}\n)\nORDER BY what, period DESC"
    bound = dataset.bind(sql, ("traces", "observations", "scores"))
    return [dataset.ask("coverage", "coverage", bound)]


def coverage_of(
    evidence: Sequence[Evidence], schema: str, detectors: Sequence[DetectorStatus], notes: Sequence[str]
) -> Coverage:
    """The coverage statement, computed from the answers of `read_coverage`."""
    rows: dict[tuple[str, str], dict[str, Any]] = {
        (str(row["what"]), str(row["period"])): row for item in evidence for row in item.records()
    }

    def figure(what: str, column: str, period: str) -> float:
        return float(rows[what, period][column]) if (what, period) in rows else 0.0

    def count(what: str, column: str) -> Count:
        return Count(window=round(figure(what, column, "window")), baseline=round(figure(what, column, "baseline")))

    return Coverage.model_validate(
        {
            "schema": schema,
            "traces": count("traces", "n"),
            "observations": count("observations", "n"),
            "scores": count("scores", "n"),
            "total_cost": Figure(
                window=figure("observations", "cost", "window"), baseline=figure("observations", "cost", "baseline")
            ),
            "errors": count("observations", "errors"),
            "detectors": list(detectors),
            "missing": _missing(rows),
            "notes": list(notes),
            "evidence": list(evidence),
        }
    )


_NOTEWORTHY = 0.01


def _missing(rows: dict[tuple[str, str], dict[str, Any]]) -> list[str]:
    """What the window's rows lack, one sentence each; shares under 1 % are left out, and 100 % means all."""
    traces = rows.get(("traces", "window"), {})
    steps = rows.get(("observations", "window"), {})
    scores = rows.get(("scores", "window"), {})
    looked = (
        (traces, "no_user", "n", "traces have no user id, so users cannot be told apart"),
        (traces, "no_session", "n", "traces have no session id, so conversations cannot be followed"),
        (traces, "no_release", "n", "traces have no release or version, so changes cannot be tied to deployments"),
        (steps, "no_model", "model_calls", "generations name no model"),
        (steps, "no_cost", "model_calls", "generations have no cost, so what is said about money leaves them out"),
        (steps, "no_usage", "model_calls", "generations have no token usage"),
        (steps, "no_prompt", "model_calls", "generations are not linked to a prompt version"),
        (steps, "no_end", "n", "observations have no end time, so they are missing from latencies"),
    )
    out = []
    for row, lacking, of, text in looked:
        total = float(row.get(of, 0))
        share = float(row.get(lacking, 0)) / total if total else 0.0
        if share >= _NOTEWORTHY:
            shown = 100 if share == 1 else min(round(share * 100), 99)
            out.append(f"{shown} % of {text}.")
    if not float(scores.get("n", 0)):
        out.append("There are no scores in the window, so quality was not measured.")
    return out
