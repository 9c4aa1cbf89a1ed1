"""Phrases that the detectors share when they tell a finding. Every number in them is one of the finding's.

All words stand in the report's catalogues and come in the language that is being spoken, see
`hansei.tools.report.catalogue.speaking`.
"""

from __future__ import annotations

from functools import reduce

from hansei.contracts import Estimate, Evidence, Finding, Segment
from hansei.tools.playbook.assess import evidence_for
from hansei.tools.playbook.onset import came_later
from hansei.tools.report.catalogue import catalogue, say
from hansei.tools.report.formats import (
    format_change,
    format_count,
    format_estimate,
    format_interval,
    format_onset,
    format_pair,
    format_relative,
    format_value,
)


def name(value: str, limit: int = 60) -> str:
    """A name from the data in quotes, on one line and cut: it may hold anything."""
    flat = " ".join(value.split())
    return say("quote", text=f"{flat[:limit]}…" if len(flat) > limit else flat)


def where(segment: Segment) -> str:
    """A segment in words: tool “lookup_order”, prompt “answer” version 7 in release “2.4.0”."""
    rest = dict(segment)
    parts: list[str] = []
    if "prompt_name" in rest:
        prompt = name(rest.pop("prompt_name"))
        if "prompt_version" in rest:
            parts.append(say("place.prompt_version", name=prompt, version=rest.pop("prompt_version")))
        else:
            parts.append(say("place.prompt", name=prompt))
    first = ("score_name", "tool_name", "observation_name", "model", "trace_name", "release", "version", "environment",
             "user_id")  # fmt: skip
    parts += [_part(key, rest.pop(key)) for key in first if key in rest]
    parts += [_part(key, value) for key, value in sorted(rest.items())]
    if not parts:
        return say("place.whole")
    if len(parts) == 1:
        return parts[0]
    return say("place.within", first=parts[0], rest=say("place.join").join(parts[1:]))


def _part(key: str, value: str) -> str:
    known = {"prompt_version": "place.version_only"}.get(key, f"place.{key}")
    if key == "hour_of_day":
        return say("place.hour_of_day", name=" ".join(value.split())[:20])
    if key == "language" and f"say.language.{value}" in catalogue().texts:
        return say("place.language", name=say(f"language.{value}"))
    if f"say.{known}" in catalogue().texts:
        return say(known, name=name(value))
    return say("place.other", key=key, name=name(value))


def moved(before: float, now: float, shown: tuple[str, str]) -> str:
    """“rose from 3,120 to 4,180”, by the numbers."""
    return say("rose" if now > before else "fell", before=shown[0], now=shown[1])


def from_to(finding: Finding) -> str:
    """“rose from 1.2 % to 18 %”, or just the value when there is no reference."""
    if finding.baseline is None:
        return say("is", now=format_value(finding.current.value, finding.unit))
    before, now = format_pair(finding.baseline.value, finding.current.value, finding.unit)
    if finding.direction == "hotspot":
        return say("is_against", now=now, before=before, rest=against(finding))
    return say("rose" if (finding.effect or 0) > 0 else "fell", before=before, now=now)


def relative(finding: Finding) -> str:
    """“+60 %”; empty without a reference above zero."""
    if finding.baseline is None or finding.baseline.value <= 0:
        return ""
    return format_relative(finding.baseline.value, finding.current.value)


def up_from(finding: Finding, title: str) -> str:
    """A title, with what the value was before when the finding is a change for the worse."""
    if finding.direction != "regression" or finding.baseline is None:
        return title
    return say("title.up_from", title=title, before=format_value(finding.baseline.value, finding.unit))


def with_relative(finding: Finding, title: str) -> str:
    """A title, with the change in per cent when there is one."""
    change = relative(finding)
    return say("title.percent", title=title, change=change) if change else title


def against(finding: Finding) -> str:
    """What the reference is, when it isn't simply the baseline of the same rows."""
    if finding.comparison.against == "rest_of_window":
        place = finding.comparison.segment
        return say("place.rest_of", place=where(place)) if place else say("place.rest")
    if finding.comparison.segment == finding.segment:
        return say("place.baseline")
    return say("place.in_baseline", place=where(finding.comparison.segment))


def since(finding: Finding) -> str:
    """“ since 13 Nov 2026”, or nothing."""
    if not finding.onset or finding.direction == "hotspot":
        return ""
    return say("since", date=format_onset(finding.onset, finding.onset_hour))


def measured(finding: Finding, per: str) -> str:
    """The standard sentence of proof: both values with their intervals and how many rows they stand on."""
    values = {
        "now": format_estimate(finding.current, finding.unit), "n": format_count(finding.current.n),
        "per": say(f"per.{per.replace(' ', '_')}"),
    }  # fmt: skip
    if finding.baseline is None:
        return say("measured", **values)
    before = format_estimate(finding.baseline, finding.unit)
    return say(
        "measured_against", **values, against=against(finding), before=before, before_n=format_count(finding.baseline.n)
    )


def touched(finding: Finding) -> str:
    """Whom it hit: traces, users, and how many more than expected."""
    impact = finding.impact
    if impact.affected_traces is None:
        return ""
    key, values = "touched", {"traces": format_count(impact.affected_traces)}
    if impact.affected_users:
        key, values["users"] = f"{key}_users", format_count(impact.affected_users)
    if impact.excess_traces is not None and impact.excess_traces >= 1 and finding.direction != "improvement":
        key, values["more"] = f"{key}_more", format_count(round(impact.excess_traces))
    return say(key, **values)


def gain_in_words(finding: Finding) -> str:
    """What following the recommendation is expected to bring; empty when it is not known."""
    gain = finding.gain
    if gain is None:
        return ""
    if gain.unit == "count":
        value = say(
            "gain.interval",
            value=format_count(round(gain.value)),
            interval=format_interval(round(gain.low), round(gain.high), "count"),
        )
        return say("gain.count", value=value, per=say(f"per.{gain.counted.replace(' ', '_')}"))
    if gain.unit in ("ratio", "score", "steps"):
        low, high = (format_change(bound, gain.unit) for bound in (gain.low, gain.high))
        return say("gain.level", value=format_change(gain.value, gain.unit), low=low, high=high)
    shown = format_estimate(Estimate(value=gain.value, n=0, low=gain.low, high=gain.high), gain.unit)
    if gain.unit == "s":
        return say("gain.seconds", value=shown, per=say(f"per.{gain.counted.replace(' ', '_')}"))
    return say("gain.week", value=shown)


def change_of(segment: Segment) -> str:
    """The deployable thing in a segment, if it names one."""
    if "prompt_version" in segment:
        return say(
            "change.prompt_version", version=segment["prompt_version"], name=name(segment.get("prompt_name", "?"))
        )
    return next((_part(key, segment[key]) for key in ("release", "version", "model") if key in segment), "")


def is_new(finding: Finding) -> bool:
    """Whether the segment took the place of something else, (almost) not there in the baseline, and the change came
    with it."""
    return _replaced(finding) and not _came_later(finding)


def _replaced(finding: Finding) -> bool:
    return finding.comparison.against == "baseline" and finding.comparison.segment != finding.segment


def _came_later(finding: Finding) -> bool:
    days = detail(finding, "measure")
    return days is not None and finding.onset is not None and came_later(days, finding.onset)


def came_with(finding: Finding) -> str:
    """That it came with something new, or only later; nothing when nothing is new."""
    change = change_of(finding.segment)
    if not change or not _replaced(finding):
        return ""
    return say("came_later" if _came_later(finding) else "came_with", change=change)


def detail(finding: Finding, purpose: str = "detail") -> Evidence | None:
    """The finding's evidence that tells why."""
    return evidence_for(finding.evidence, purpose)


def sentences(*parts: str) -> str:
    """Joins what is not empty."""
    told = [part for part in parts if part]
    return reduce(lambda first, second: say("sentence.join", first=first, second=second), told) if told else ""
