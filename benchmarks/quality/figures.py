"""Every figure once more from the rows that count, in Python: nothing here shares code with Hansei's queries."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from statistics import NormalDist

from benchmarks.quality.texts import LANGUAGE_OF
from benchmarks.quality.visits import HANG, Drawn, Expected

from hansei.contracts import Periods, Segment, Window
from hansei.demo.rows import ObservationRow, ScoreRow, TraceRow

Row = ObservationRow | TraceRow | ScoreRow
TRACES = frozenset(
    {
        "trace_latency_p95",
        "trace_latency_p50",
        "cost_per_trace",
        "runaway_rate",
        "traces_per_day",
        "wrong_language_rate",
    }
)


class Unknown(KeyError):
    """A metric or a dimension that this module cannot compute; the scorecard counts it as not checked."""


@dataclass
class Figures:
    """The rows of a world, and its figures."""

    drawn: Drawn
    periods: Periods
    _spans: dict[tuple[str, datetime, datetime], list[Row]] = field(default_factory=dict)

    @cached_property
    def calls(self) -> dict[str, list[ObservationRow]]:
        """Observations by trace."""
        out: dict[str, list[ObservationRow]] = defaultdict(list)
        for row in self.drawn.rows.observations:
            out[row.trace_id].append(row)
        return out

    def select(self, metric: str, segment: Segment, span: Window) -> list[Row]:
        """The rows of a segment in a span of time. The span's start is inside, its end is not."""
        which = "traces" if metric in TRACES else "scores" if metric.startswith("score_") else "observations"
        rows = self._within(which, span)
        for dimension, value in segment.items():
            test = self._test(dimension, value)
            rows = [row for row in rows if test(row)]
        return list(rows)

    def _within(self, which: str, span: Window) -> list[Row]:
        key = (which, span.start, span.end)
        if key not in self._spans:
            rows: list[Row] = getattr(self.drawn.rows, which)
            self._spans[key] = [row for row in rows if span.start <= _moment(row) < span.end]
        return self._spans[key]

    def _test(self, dimension: str, value: str) -> Callable[[Row], bool]:
        if dimension in _OF_TRACE:
            attribute = _OF_TRACE[dimension]
            mine = {row.id for row in self.drawn.rows.traces if str(getattr(row, attribute) or "") == value}
            return lambda row: _trace_id(row) in mine
        if dimension == "tag" or dimension.startswith("metadata."):
            key = dimension.partition(".")[2]
            mine = {
                row.id for row in self.drawn.rows.traces
                if (value in row.tags if dimension == "tag" else row.metadata.get(key) == value)
            }  # fmt: skip
            return lambda row: _trace_id(row) in mine
        if dimension == "language":
            mine = {row.id for row in self.drawn.rows.traces if _language(row.input) == value}
            return lambda row: _trace_id(row) in mine
        if dimension == "hour_of_day":
            first, last = int(value[:2]), int(value[6:8])
            return lambda row: (_moment(row).hour - first) % 24 < ((last - first) % 24 or 24)
        if dimension == "environment":
            return lambda row: row.environment == value
        if dimension == "score_name":
            return lambda row: row.name == value
        if dimension == "tool_name":
            return self._of_calls(lambda call: call.name == value and call.type == "TOOL")
        if dimension in _OF_CALL:
            name = _OF_CALL[dimension]
            return self._of_calls(lambda call: str(getattr(call, name) or "") == value)
        raise Unknown(dimension)

    def _of_calls(self, test: Callable[[ObservationRow], bool]) -> Callable[[Row], bool]:
        """Of a call: whether it passes. Of a trace or a score: whether a call of the trace does."""
        having: set[str] = set()
        looked = False

        def holds(row: Row) -> bool:
            nonlocal looked
            if isinstance(row, ObservationRow):
                return test(row)
            if not looked:
                having.update(call.trace_id for call in self.drawn.rows.observations if test(call))
                looked = True
            return _trace_id(row) in having

        return holds

    # Values

    def value(
        self, metric: str, rows: list[Row], parameters: Mapping[str, float], span: Window
    ) -> tuple[float, int] | None:
        """The metric over rows, and of how many; None when no row counts."""
        if metric == "traces_per_day":
            return len(rows) / span.days, len(rows)
        amounts = self.amounts(metric, rows, parameters)
        if not amounts:
            return None
        if metric.endswith(("_p95", "_p50")):
            level = 0.95 if metric.endswith("_p95") else 0.5
            ordered = sorted(amounts)
            return ordered[min(len(ordered) - 1, int(level * len(ordered)))], len(amounts)
        return math.fsum(amounts) / len(amounts), len(amounts)

    def amounts(self, metric: str, rows: list[Row], parameters: Mapping[str, float]) -> list[float]:
        """What is averaged, one for each row that counts.

        Raises:
            Unknown: the metric.
        """
        if metric.startswith("score_"):
            kind = "NUMERIC" if metric.startswith("score_mean") else "BOOLEAN"
            scores = [row for row in rows if isinstance(row, ScoreRow) and row.data_type == kind]
            return [score.value if kind == "NUMERIC" else float(score.value > 0.5) for score in scores]
        if metric in TRACES:
            return [amount for row in rows if (amount := self._of_trace(metric, row, parameters)) is not None]
        if metric == "loop_rate":
            return _loops(rows, parameters["repeats"])
        return [
            amount
            for row in rows
            if isinstance(row, ObservationRow) and (amount := self._of_call(metric, row)) is not None
        ]

    def _of_call(self, metric: str, row: ObservationRow) -> float | None:
        if metric == "error_rate":
            return float(row.level == "ERROR")
        if metric == "unfinished_rate":
            settled = row.start_time < self.periods.window.end - timedelta(hours=1)
            return float(row.end_time is None) if row.type != "EVENT" and settled else None
        if metric == "silent_failure_rate":
            quiet = row.type in ("TOOL", "RETRIEVER") and row.level == "DEFAULT" and row.end_time is not None
            bad = row.output is None or row.output == "[]" or '"error": "' in row.output
            return float(bad) if quiet else None
        if metric == "empty_retrieval_rate":
            searches = row.type == "RETRIEVER" or "search" in row.name
            settled = searches and row.level == "DEFAULT" and row.end_time is not None and row.output is not None
            return float(row.output == "[]") if settled else None
        if metric == "generations_without_cost":
            ended = row.type == "GENERATION" and row.level != "ERROR" and row.end_time is not None
            return float(row.total_cost is None) if ended else None
        if metric == "truncation_rate":
            tells = row.type == "GENERATION" and row.level != "ERROR" and "finish_reason" in row.metadata
            return float(row.metadata["finish_reason"] == "length") if tells else None
        if metric in ("step_latency_p95", "step_latency_p50"):
            return (row.end_time - row.start_time).total_seconds() if row.end_time else None
        if metric == "cost_per_call":
            return float(row.total_cost) if row.total_cost is not None and row.model else None
        if metric == "tokens_per_call":
            return float(row.usage_details["total"]) if row.usage_details else None
        raise Unknown(metric)

    def _of_trace(self, metric: str, row: Row, parameters: Mapping[str, float]) -> float | None:
        if metric == "wrong_language_rate" and isinstance(row, TraceRow):
            asked, answered = _language(row.input), _language(row.output)
            return float(asked != answered) if asked and answered else None
        calls = self.calls.get(row.id, [])
        if metric == "runaway_rate":
            return float(len(calls) > parameters["many_steps"]) if calls else None
        if metric == "cost_per_trace":
            paid = [float(call.total_cost) for call in calls if call.total_cost is not None and call.model]
            return math.fsum(paid) if paid else None
        if not calls:
            return None
        end = max(call.end_time or call.start_time for call in calls)
        return (end - min(call.start_time for call in calls)).total_seconds()

    # True parameters

    def parameter(self, metric: str, rows: list[Row]) -> float | None:
        """What the simulator drew the metric's rows with: the value that an interval should cover. None: not known."""
        drawn = self.drawn
        if metric in ("score_rate", "score_mean", "score_rate_lower_is_better", "score_mean_lower_is_better"):
            kind = "NUMERIC" if metric.startswith("score_mean") else "BOOLEAN"
            return _mean(drawn.expected_score[row.id] for row in rows if getattr(row, "data_type", "") == kind)
        if metric == "runaway_rate":
            return None if any(row.id not in drawn.expected_runaway for row in rows) else _mean(
                drawn.expected_runaway[row.id] for row in rows)  # fmt: skip
        if metric == "wrong_language_rate":
            told = [row for row in rows if self._of_trace(metric, row, {}) is not None]
            return _mean(drawn.expected_miss.get(row.id, math.nan) for row in told)
        name = {
            "error_rate": "errors", "silent_failure_rate": "silent", "unfinished_rate": "unfinished",
            "tokens_per_call": "tokens", "cost_per_call": "cost", "truncation_rate": "cut",
        }.get(metric)  # fmt: skip
        counted = [row for row in rows if isinstance(row, ObservationRow)]
        if name is not None:
            counted = [row for row in counted if self._of_call(metric, row) is not None]
            return _mean(getattr(drawn.expected[row.id], name) for row in counted)
        if metric in ("step_latency_p95", "step_latency_p50"):
            mixture = Counter(_timing(drawn.expected[row.id]) for row in counted if row.end_time)
            return _quantile(mixture, 0.95 if metric.endswith("95") else 0.5)
        return None


_OF_TRACE = {"trace_name": "name", "release": "release", "user_id": "user_id", "session_id": "session_id"}
_OF_CALL = {
    "observation_name": "name", "observation_type": "type", "model": "model", "prompt_name": "prompt_name",
    "prompt_version": "prompt_version", "status_message": "status_message",
}  # fmt: skip


def _moment(row: Row) -> datetime:
    return row.start_time if isinstance(row, ObservationRow) else row.timestamp


def _trace_id(row: Row) -> str:
    return row.id if isinstance(row, TraceRow) else row.trace_id or ""


def _language(text: str | None) -> str:
    return LANGUAGE_OF.get(text or "", "")


def _loops(rows: list[Row], repeats: float) -> list[float]:
    uses: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for row in rows:
        if isinstance(row, ObservationRow) and row.type in ("TOOL", "RETRIEVER", "SPAN"):
            uses[row.trace_id, row.type, row.name] += _alike(row)
    return [float(max(Counter(keys).values(), default=0) >= repeats) for keys in uses.values()]


def _alike(row: ObservationRow) -> list[tuple[str, ...]]:
    """What makes two calls of a tool the same: their input; of calls that fail, it but for its numbers and ids."""
    if not row.input:
        return []
    output = row.output or ""
    searches = row.type == "RETRIEVER" or "search" in row.name
    stuck = row.level == "ERROR" or '"error": "' in output or (searches and output == "[]")
    if row.level != "ERROR" and row.end_time is None:
        stuck = False
    words = sorted(re.findall("[a-z]+", re.sub("[0-9a-f]*[0-9][0-9a-f-]*", "", row.input.lower())))
    return [(row.input,), *([("stuck", *words, re.sub("[0-9]+", "", output[:200]))] if stuck else [])]


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    mean = math.fsum(found) / len(found) if found else math.nan
    return None if math.isnan(mean) else mean


def _timing(expected: Expected) -> tuple[float, float, float]:
    return expected.seconds, expected.sigma, expected.hangs


def _quantile(mixture: Counter[tuple[float, float, float]], level: float) -> float | None:
    """Quantile of a mixture of lognormal durations, of which a share hangs; by bisection."""
    total = sum(mixture.values())
    if not total or any(math.isnan(seconds) for seconds, _, _ in mixture):
        return None
    normal = NormalDist()

    def below(limit: float) -> float:
        share = 0.0
        for (seconds, sigma, hangs), count in mixture.items():
            usual = normal.cdf(math.log(limit / seconds) / sigma)
            hanging = normal.cdf(math.log(limit / seconds / HANG) / sigma) if hangs else 0.0
            share += count * ((1 - hangs) * usual + hangs * hanging)
        return share / total

    low, high = 1e-4, 1e5
    for _ in range(80):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if below(middle) < level else (low, middle)
    return math.sqrt(low * high)
