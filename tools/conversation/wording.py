"""Words that all answers share: what a metric, a dimension and the rows behind a figure are called."""

from __future__ import annotations

from hansei.contracts import Segment
from hansei.tools.playbook.catalogue import detector_of
from hansei.tools.playbook.model import Metric
from hansei.tools.report.catalogue import catalogue, say

_OF_STEPS = frozenset({"observation_name", "observation_type", "model", "prompt_name", "prompt_version", "tool_name"})
_PLAIN = frozenset({
    "error_rate", "silent_failure_rate", "loop_rate", "runaway_rate", "unfinished_rate", "refusal_rate",
    "truncation_rate", "empty_answer_rate", "empty_retrieval_rate",
})  # fmt: skip
"""Rates whose name does not say of what."""


def dimension_word(dimension: str) -> str:
    """A dimension's name for people."""
    words = catalogue().texts
    known = {"metadata.language": "language", "trace_name": "app", "observation_name": "step"}.get(dimension)
    if known is not None:
        return say(f"ask.{known}")
    return words.get(f"dimension.{dimension}", dimension)


def metric_word(metric: str) -> str:
    """A metric's name for people."""
    return catalogue().texts.get(f"metric.{metric}", metric)


def rows_word(metric: Metric, segment: Segment) -> str:
    """What the rows are that a figure is of: calls, steps, traces, scores."""
    if metric.shape == "count":
        return say("per.traces")
    if metric.per == "calls" and not _OF_STEPS & segment.keys():
        # A trace, a release or the whole project has steps of all types, not calls of one of them.
        return say("per.steps")
    return say(f"per.{metric.per.replace(' ', '_')}")


def measured_word(metric: str, segment: Segment) -> str:
    """A metric's name with what it is of, where the name does not say it: “error rate (of steps)”."""
    if metric not in _PLAIN:
        return metric_word(metric)
    return say("ask.of", metric=metric_word(metric), rows=rows_word(detector_of(metric)[1], segment))


def sides(metric: Metric, segment: Segment) -> list[str]:
    """The headings of a table's figures: the metric in both periods, and how many rows they are of."""
    rows = rows_word(metric, segment)
    return [
        catalogue().text("period.baseline"), catalogue().text("period.window"), say("ask.n_baseline", rows=rows),
        say("ask.n_window", rows=rows),
    ]  # fmt: skip


def capital(text: str) -> str:
    """A sentence that begins as sentences do."""
    return text[:1].upper() + text[1:]
