"""Writes docs/detectors.md from the playbook: `make docs`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from hansei.tools.playbook import severity
from hansei.tools.playbook.catalogue import DETECTORS
from hansei.tools.playbook.languages import language_of
from hansei.tools.playbook.model import Detector, Metric
from hansei.tools.playbook.multiplicity import FALSE_DISCOVERY_RATE
from hansei.tools.report.catalogue import catalogue
from hansei.tools.report.formats import format_value

LONGEST = 160
"""Characters of an expression that are shown; the whole stands in the detector's file."""

PATH = Path(__file__).with_name("detectors.md")

HEAD = """# Detectors

How each kind of finding is detected. This page is written by `make docs` from `tools/playbook`; change it there.

All detectors work alike. Every slice of the traffic (an app, a step, a tool, a model, a version of a prompt, a release,
an environment, and combinations of them) is compared with its own past, or with the rest of the window. What passes
this screen is measured by a query of its own, then doubted by the critic; it becomes a finding when it passes all
checks below. A metric is the sum of y over the sum of x, over the rows named.

What traces carry (users, sessions, tags, the language of the question, keys of metadata with few values) and hours of
the day are looked through as well: a problem, or its end, is told of one of them when it is confined to it. So is
traffic, but for sessions: one value's change must be half of what was expected of it and a twentieth of the project's
traces, or a tenth of its app's (of users three times as much, for they come and go), while the rest did not move. What
only takes another value's place is no traffic. The cache is not looked at by them: its share follows the length of a
conversation.
"""


def text() -> str:
    """The page."""
    return "\n".join([HEAD, *_thresholds(), *(line for one in DETECTORS for line in _detector(one))]).rstrip() + "\n"


def _thresholds() -> Iterator[str]:
    words = catalogue("en")
    yield "## What every finding has passed"
    yield ""
    yield "| check | when it fails |"
    yield "|---|---|"
    told = {
        "has_reference": "there is nothing to compare with",
        "enough_data": "fewer cases than the metric's least, on either side",
        "large_enough": "the difference is smaller than the least that matters, below",
        "not_by_chance": f"q is above {FALSE_DISCOVERY_RATE} (Benjamini-Hochberg over every slice that was "
        "looked at; half of the bound is shared by the slices, half by the detectors)",
        "rederived": "another query, which tells row versions apart in another way, gives another value",
        "mix_shift": "less than half of the change happened within kinds of traffic (Kitagawa's decomposition)",
        "one_user": "little of it is left without the user who weighs most",
        "one_day": "little of it is left without its worst day",
        "same_weekday": "traffic only: the same weekdays before do not tell it either",
        "own_cause": "little of it is left without the traces of another finding: it is told there",
    }
    for name, when in told.items():
        yield f"| {words.text(f'checked.{name}')} | {when} |"
    yield ""
    yield "## Severity"
    yield ""
    yield "Harm is a share between 0 and 1, the larger of two: the share of the project's spending that is extra, and"
    yield "the share of its traces that was touched beyond what the reference leads to expect, times the kind's weight."
    yield ""
    weights = sorted({*severity.WEIGHTS.values()}, reverse=True)
    yield "| weight | kinds |"
    yield "|---:|---|"
    for weight in weights:
        kinds = [words.text(f"kind.{kind}") for kind, own in severity.WEIGHTS.items() if own == weight]
        yield f"| {weight:g} | {', '.join(kinds)} |"
    yield f"| {severity.OTHERWISE:g} | all others |"
    yield ""
    bounds = [f"{name} from {format_value(bound, 'ratio')}" for name, bound in severity.BOUNDS]
    yield f"Severity by harm: {', '.join(bounds)}, low below, and every improvement."
    yield ""


def _detector(detector: Detector) -> Iterator[str]:
    words = catalogue("en")
    yield f"## {words.text(f'kind.{detector.name}')}"
    yield ""
    yield detector.question
    yield ""
    yield "| metric | x | y | rows | worse | least cases | least difference |"
    yield "|---|---|---|---|---|---:|---|"
    for metric in detector.metrics:
        yield _metric(metric)
    yield ""
    for name, meaning in detector.parameters.items():
        yield f"- `{name}`: {meaning}."
    if detector.parameters:
        yield ""


def _metric(metric: Metric) -> str:
    least = []
    if metric.min_effect:
        least.append(format_value(metric.min_effect, metric.unit))
    if metric.min_relative:
        least.append(f"{format_value(metric.min_relative, 'ratio')} of the reference")
    rows = metric.relation + (f", where {_code(metric.where)}" if metric.where != "1" else "")
    name = catalogue("en").text(f"metric.{metric.name}")
    worse = "more" if metric.worse > 0 else "less"
    return (
        f"| {name} | {_code(metric.x)} | {_code(metric.y)} | {rows} | {worse} | {metric.min_n} |"
        f" {' and '.join(least) or 'any'} |"
    )


def _code(sql: str) -> str:
    for text in ("input", "output"):
        sql = sql.replace(language_of(text), f"language({text})")
    flat = re.sub(r"\s+", " ", sql).strip().replace("|", "\\|")
    return f"`{flat}`" if len(flat) <= LONGEST else f"`{flat[:LONGEST]}` …"


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
