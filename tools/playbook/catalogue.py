"""All detectors, in the order in which reports list them."""

from __future__ import annotations

from hansei.tools.playbook import (
    answer,
    cache,
    cost,
    empty_retrieval,
    error,
    first_token_latency,
    instrumentation_gap,
    judge_disagreement,
    language_mix,
    latency,
    loop,
    quality,
    runaway,
    silent_failure,
    token_usage,
    traffic,
    truncation,
    unfinished,
)
from hansei.tools.playbook.model import Detector, Metric

DETECTORS: tuple[Detector, ...] = (
    error.DETECTOR,
    silent_failure.DETECTOR,
    answer.DETECTOR,
    language_mix.DETECTOR,
    empty_retrieval.DETECTOR,
    truncation.DETECTOR,
    loop.DETECTOR,
    runaway.DETECTOR,
    quality.DETECTOR,
    judge_disagreement.DETECTOR,
    cost.DETECTOR,
    cache.DETECTOR,
    latency.DETECTOR,
    first_token_latency.DETECTOR,
    token_usage.DETECTOR,
    unfinished.DETECTOR,
    traffic.DETECTOR,
    instrumentation_gap.DETECTOR,
)


def detector(name: str) -> Detector:
    """The detector of that name.

    Raises:
        KeyError: when there is none.
    """
    return {entry.name: entry for entry in DETECTORS}[name]


def detector_of(metric: str) -> tuple[Detector, Metric]:
    """The detector that measures a metric, and the metric.

    Raises:
        KeyError: when no detector measures it.
    """
    for entry in DETECTORS:
        for measured in entry.metrics:
            if measured.name == metric:
                return entry, measured
    raise KeyError(metric)
