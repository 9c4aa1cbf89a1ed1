"""What was new around a finding: releases, versions and models that its chart marks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from hansei.contracts import Change, Finding
from hansei.tools.playbook.parts import kinds_of_traffic
from hansei.tools.report.catalogue import catalogue
from hansei.tools.report.labels import label
from hansei.tools.report.text import one_line

MOST_MARKS = 3
_NEAR = timedelta(days=2)
_LONGEST = 24


@dataclass(frozen=True)
class Mark:
    """A moment at which something was new."""

    moment: datetime
    label: str


def marks_of(finding: Finding, changes: Sequence[Change], language: str) -> list[Mark]:
    """What the finding is about, if that is new; else what was new in its app, step or prompt near its onset.

    Near is within two days. In the order of time.
    """
    places = _places(finding)
    found: dict[tuple[str, str], tuple[float, Change]] = {}
    for change in changes:
        (what, value) = next(reversed(change.segment.items()))
        mine = finding.segment.get(what) == value
        here = any(places.get(key) and value in places[key] for key, value in change.segment.items() if key != what)
        distance = abs((change.first_seen - finding.onset).total_seconds()) if finding.onset else 0.0
        near = finding.onset is None or distance <= _NEAR.total_seconds()
        if (mine or (here and near)) and (what, value) not in found:
            found[what, value] = (0.0 if mine else distance, change)
    named = {key: item for key, item in found.items() if finding.segment.get(key[0]) == key[1]}
    nearest = sorted((named or found).values(), key=lambda item: (item[0], item[1].first_seen))[:MOST_MARKS]
    return sorted(
        (Mark(change.first_seen, _label(change, language)) for _, change in nearest), key=lambda mark: mark.moment
    )


def _label(change: Change, language: str) -> str:
    what, value = next(reversed(change.segment.items()))
    text = one_line(value)
    text = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    if change.definition:
        return catalogue(language).text("chart.new_definition", value=text)
    return catalogue(language).text("chart.new", what=label("dimension", what, language), value=text)


def _places(finding: Finding) -> dict[str, set[str]]:
    """The apps, steps and prompts that a finding is about, as far as its segment and evidence tell."""
    places: dict[str, set[str]] = {
        key: {finding.segment[key]}
        for key in ("trace_name", "observation_name", "prompt_name")
        if key in finding.segment
    }
    if "tool_name" in finding.segment:
        places.setdefault("observation_name", {finding.segment["tool_name"]})
    kinds = kinds_of_traffic(finding.evidence)
    if kinds is not None and "trace_name" not in places:
        # The kinds of traffic are told by app, environment and step.
        places["trace_name"] = {str(row["stratum"][0]) for row in kinds if row["stratum"]}
    return places
