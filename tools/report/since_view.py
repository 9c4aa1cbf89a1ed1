"""What became of earlier findings, ready to be shown: see `hansei.tools.report.view`."""

from __future__ import annotations

from dataclasses import dataclass

from hansei.contracts import Finding, Report
from hansei.contracts.since import Effect, SinceItem
from hansei.tools.report import formats
from hansei.tools.report.catalogue import Catalogue, catalogue
from hansei.tools.report.labels import label, segment_text
from hansei.tools.report.text import excerpt, one_line

LONGEST = 300


@dataclass(frozen=True)
class SinceRow:
    """One finding of the ledger."""

    state: str
    """new, ongoing, unclear, fixed, regressed or muted."""
    state_label: str
    title: str
    text: str
    """What is measured now, since when it is there, and what it has cost."""
    effect: str
    """What a fix has done; '' where nothing was done or nothing can be said yet."""
    muted: str
    number: int | None
    """Of the report's finding that it is, counted from 1."""


@dataclass(frozen=True)
class SinceView:
    frame: str
    rows: list[SinceRow]
    left_out: str


def since_view(report: Report) -> SinceView | None:
    """The rows, what is muted last; None when the report tells of no earlier run."""
    since, words = report.since_last, catalogue(report.language)
    if since is None:
        return None
    numbers = {finding.id: number for number, finding in enumerate(report.findings, start=1)}
    findings = {finding.id: finding for finding in report.findings}
    rows = [
        _row(one, findings.get(one.finding_id or ""), numbers.get(one.finding_id or ""), words) for one in since.items
    ]
    rows.sort(key=lambda row: row.state == "muted")
    frame = words.text("since.frame", span=formats.format_span(since.window, words.language))
    left = words.text("since.left_out", count=since.not_measured) if since.not_measured else ""
    return SinceView(frame if rows else f"{frame} {words.text('since.nothing')}", rows, left)


def _row(item: SinceItem, finding: Finding | None, number: int | None, words: Catalogue) -> SinceRow:
    language = words.language
    state = "muted" if item.muted else item.state
    about = finding or item.known
    title = ""
    if about is not None:
        title = f"{label('metric', about.metric, language)}: {segment_text(about.segment, language)}"
    muted = ""
    if item.muted:
        reason = excerpt(one_line(item.muted.reason), LONGEST)
        muted = (
            words.text("since.muted_until", reason=reason, date=formats.format_date(item.muted.until, language))
            if item.muted.until
            else words.text("since.muted", reason=reason)
        )
    return SinceRow(
        state=state,
        state_label=words.text(f"since.state.{state}"),
        title=excerpt(one_line(title), LONGEST),
        text=words.text("since.join").join(_facts(item, finding, words)),
        effect=_effect(item.effect, words) if item.effect else "",
        muted=muted,
        number=number,
    )


def _facts(item: SinceItem, finding: Finding | None, words: Catalogue) -> list[str]:
    language, known = words.language, item.known
    unit = known.unit if known else finding.unit if finding else "ratio"
    expected = known.expected if known else finding.baseline if finding else None
    out = []
    if item.now is not None:
        now = formats.format_value(item.now.value, unit, language)
        usual = formats.format_value(expected.value, unit, language) if expected else None
        out.append(words.text("since.now", now=now, usual=usual) if usual else words.text("since.value", now=now))
    if known is not None and item.state == "fixed":
        out.append(words.text("since.worst", worst=formats.format_value(known.worst.value, unit, language)))
    if item.reason in ("too_little", "between", "not_measured"):
        out.append(words.text(f"since.reason.{item.reason}"))
    age = formats.format_count(round(item.age_days), language)
    out.append(words.text("since.age_fixed" if item.state == "fixed" else "since.age", count=age))
    spent = [formats.format_value(item.cost, "usd", language)] if item.cost else []
    if item.traces >= 1:
        count = formats.format_count(round(item.traces), language)
        spent.append(words.text("since.traces", count=count))
    if spent:
        out.append(words.text("since.cost", what=words.text("since.and").join(spent)))
    return out


def _effect(effect: Effect, words: Catalogue) -> str:
    language = words.language
    change = formats.format_change(effect.effect, effect.unit, language)
    low, high = (formats.format_change(bound, effect.unit, language) for bound in (effect.low, effect.high))
    interval = words.text("interval.words", low=low, high=high)
    count = len(effect.siblings)
    against = words.text("since.siblings", count=count) if count else words.text("since.no_siblings")
    measured = words.text("since.effect", change=change, interval=interval, against=against)
    if effect.verdict != "too_early":
        return words.text(f"since.verdict.{effect.verdict}", measured=measured)
    if effect.more_traces is None:
        return words.text("since.verdict.never", measured=measured)
    return words.text(
        "since.verdict.too_early", measured=measured, count=formats.format_count(effect.more_traces, language)
    )
