"""Phrases that the detectors share when they tell a finding. Every number in them is one of the finding's."""

from __future__ import annotations

from hansei.contracts import Evidence, Finding, Segment
from hansei.tools.playbook.assess import evidence_for
from hansei.tools.report.formats import (
    format_count,
    format_date,
    format_estimate,
    format_interval,
    format_pair,
    format_relative,
    format_value,
)

_LABELS = {
    "observation_name": "step",
    "observation_type": "type",
    "tool_name": "tool",
    "score_name": "score",
    "trace_name": "app",
    "prompt_version": "version",
    "user_id": "user",
    "session_id": "session",
}


def name(value: str, limit: int = 60) -> str:
    """A name from the data in quotes, on one line and cut: it may hold anything."""
    flat = " ".join(value.split())
    return f"“{flat[:limit]}…”" if len(flat) > limit else f"“{flat}”"


def where(segment: Segment) -> str:
    """A segment in words: tool “lookup_order”, prompt “answer” version 7 in release “2.4.0”."""
    rest = dict(segment)
    parts: list[str] = []
    if "prompt_name" in rest:
        parts.append(f"prompt {name(rest.pop('prompt_name'))}")
        if "prompt_version" in rest:
            parts[-1] += f" version {rest.pop('prompt_version')}"
    for key in ("score_name", "tool_name", "observation_name"):
        if key in rest:
            parts.append(f"{_LABELS[key]} {name(rest.pop(key))}")
    for key in ("model", "trace_name", "release", "version", "environment", "user_id"):
        if key in rest:
            parts.append(f"{_LABELS.get(key, key)} {name(rest.pop(key))}")
    parts += [f"{_LABELS.get(key, key)} {name(value)}" for key, value in sorted(rest.items())]
    if not parts:
        return "the whole project"
    return parts[0] if len(parts) == 1 else f"{parts[0]} ({', '.join(parts[1:])})"


def rose_or_fell(finding: Finding) -> str:
    """rose / fell, by the numbers."""
    return "rose" if (finding.effect or 0) > 0 else "fell"


def from_to(finding: Finding) -> str:
    """“from 1.2 % to 18 %”, or just the value when there is no reference."""
    if finding.baseline is None:
        return f"is {format_value(finding.current.value, finding.unit)}"
    before, now = format_pair(finding.baseline.value, finding.current.value, finding.unit)
    if finding.direction == "hotspot":
        return f"is {now} against {before} in the rest of the project"
    return f"{rose_or_fell(finding)} from {before} to {now}"


def relative(finding: Finding) -> str:
    """“+60 %”; empty without a reference above zero."""
    if finding.baseline is None or finding.baseline.value <= 0:
        return ""
    return format_relative(finding.baseline.value, finding.current.value)


def against(finding: Finding) -> str:
    """What the reference is, when it isn't simply the baseline of the same rows."""
    if finding.comparison.against == "rest_of_window":
        return "the rest of the project in the same window"
    if finding.comparison.segment == finding.segment:
        return "the baseline"
    return f"{where(finding.comparison.segment)} in the baseline"


def since(finding: Finding) -> str:
    """“ since 13 Nov 2026”, or nothing."""
    return f" since {format_date(finding.onset)}" if finding.onset and finding.direction != "hotspot" else ""


def measured(finding: Finding, per: str) -> str:
    """The standard sentence of proof: both values with their intervals and how many rows they stand on."""
    now = f"{format_estimate(finding.current, finding.unit)} over {format_count(finding.current.n)} {per}"
    if finding.baseline is None:
        return f"Measured: {now}."
    before = f"{format_estimate(finding.baseline, finding.unit)} over {format_count(finding.baseline.n)}"
    return f"Measured: {now}; {against(finding)}: {before}."


def touched(finding: Finding) -> str:
    """Whom it hit: traces, users, and how many more than expected."""
    impact = finding.impact
    if impact.affected_traces is None:
        return ""
    text = f"It touched {format_count(impact.affected_traces)} traces"
    if impact.affected_users:
        text += f" of {format_count(impact.affected_users)} users"
    if impact.excess_traces is not None and impact.excess_traces >= 1 and finding.direction != "improvement":
        text += f", about {format_count(round(impact.excess_traces))} more than the reference predicts"
    return text + "."


def effect_range(finding: Finding) -> str:
    """The interval of the current value, for expected gains."""
    return format_interval(finding.current.low, finding.current.high, finding.unit)


def change_of(segment: Segment) -> str:
    """The deployable thing in a segment, if it names one."""
    if "prompt_version" in segment:
        return f"version {segment['prompt_version']} of prompt {name(segment['prompt_name'])}"
    if "release" in segment:
        return f"release {name(segment['release'])}"
    if "version" in segment:
        return f"version {name(segment['version'])}"
    if "model" in segment:
        return f"model {name(segment['model'])}"
    return ""


def is_new(finding: Finding) -> bool:
    """Whether the segment took the place of something else: it was (almost) not there in the baseline."""
    return finding.comparison.against == "baseline" and finding.comparison.segment != finding.segment


def detail(finding: Finding, purpose: str = "detail") -> Evidence | None:
    """The finding's evidence that tells why."""
    return evidence_for(finding.evidence, purpose)


def sentences(*parts: str) -> str:
    """Joins what is not empty."""
    return " ".join(part for part in parts if part)
