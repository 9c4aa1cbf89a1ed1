"""The answer to “what changed on the 14th?”: what began on a day, and its figures beside those of the other days."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any

from hansei.contracts import Evidence, Finding, Report
from hansei.contracts.answers import Table
from hansei.contracts.asks import Named, OnDay
from hansei.tools.conversation import figures
from hansei.tools.conversation.looking import DAILY
from hansei.tools.conversation.wording import measured_word
from hansei.tools.playbook import telling
from hansei.tools.playbook.assess import evidence_for
from hansei.tools.report.catalogue import say
from hansei.tools.report.formats import format_day, format_interval, format_value


def on_day(ask: OnDay, report: Report, evidence: Sequence[Evidence]) -> dict[str, Any]:
    began = [
        f for f in report.findings
        if f.onset is not None and f.onset.date() == ask.day and _touches(f, ask.segment)
    ]  # fmt: skip
    rows, unusual = [], []
    for name in DAILY:
        part = figures.slice_of(name, name, ask.segment, report, evidence)
        measure = evidence_for(part.evidence, "measure")
        values = figures.daily(part.metric, measure) if measure else {}
        unit = part.metric.unit
        (day, now), before, week = _on(values, ask), _on(values, ask, -1)[1], _on(values, ask, -7)[1]
        others = [value for start, value in values.items() if start != day]
        usual = (min(others), max(others)) if others else None
        # What looks the same in the table is not told as different.
        bounds = [format_value(bound, unit) for bound in usual or ()]
        if now is not None and usual and not usual[0] <= now <= usual[1] and format_value(now, unit) not in bounds:
            unusual.append(measured_word(name, ask.segment))
        span = format_interval(*usual, unit) if usual else ""
        cells = [format_value(value, unit) for value in (week, before, now)]
        rows.append([measured_word(name, ask.segment), *cells, span])
    shown = format_day(datetime.combine(ask.day, time(), UTC))
    place = telling.where(ask.segment)
    text = (
        say("ask.day", day=shown, place=place, count=len(began))
        if began
        else say("ask.day_quiet", day=shown, place=place)
    )
    lines = "\n".join(f"{n}. {finding.title}" for n, finding in enumerate(began, 1))
    odd = say("ask.unusual", metrics=", ".join(unusual)) if unusual else say("ask.usual")
    return {
        "text": "\n\n".join(part for part in (text, lines, f"{odd} {say('ask.day_checked')}") if part),
        "table": Table(
            columns=["", say("ask.week_before"), say("ask.day_before"), shown, say("ask.other_days")], rows=rows
        ),
        "finding_ids": [finding.id for finding in began],
        "named": Named(
            finding=began[0].id if began else None, metric=began[0].metric if began else None,
            segment=ask.segment or (began[0].segment if began else {}), listed=[{"finding": f.id} for f in began],
        ),
        "follow_ups": [say("ask.next.first"), say("ask.next.examples")] if began else report.follow_ups[:2],
    }  # fmt: skip


def _touches(finding: Finding, segment: dict[str, str]) -> bool:
    """Whether a finding speaks of this slice, or of a part of it, or of what holds it."""
    return all(finding.segment.get(key, value) == value for key, value in segment.items())


def _on(values: dict[str, float], ask: OnDay, shift: int = 0) -> tuple[str, float | None]:
    """The measured day (24 hours from the window's time of day) that begins on the calendar's day."""
    wanted = (ask.day + timedelta(days=shift)).isoformat()
    found = next((start for start in values if start.startswith(wanted)), "")
    return found, values.get(found)
