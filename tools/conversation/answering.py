"""From an `Ask` and its evidence to the answer. Pure: the same evidence gives the same answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from hansei.contracts import Check, Evidence, Finding, Report
from hansei.contracts.answers import Answer, Table
from hansei.contracts.asks import About, Ask, Compare, Examples, Listing, Measure, Named, OnDay, Trace
from hansei.tools.conversation import figures, forms
from hansei.tools.conversation.breaking import broken_down
from hansei.tools.conversation.looking import DAILY, slices_of
from hansei.tools.conversation.naming import Unclear
from hansei.tools.playbook import telling
from hansei.tools.playbook.assess import evidence_for, trace_url
from hansei.tools.playbook.catalogue import detector_of
from hansei.tools.report.catalogue import catalogue, say, speaking
from hansei.tools.report.formats import (
    format_count,
    format_day,
    format_estimate,
    format_p,
    format_value,
)

Parts = dict[str, Any]


def answered(
    ask: Ask, report: Report, evidence: Sequence[Evidence], *, number: int, question: str, base_url: str | None = None,
    by: str = "rules", excerpt: str = "",
) -> Answer:  # fmt: skip
    """The answer in the report's language.

    Args:
        ask: what was understood.
        evidence: the analyst's and the critic's.
        number, question: of the conversation.
        base_url: Langfuse's address, for links.
        by: who understood the question.
        excerpt: of a trace, where one is asked for.
    """
    tellers: dict[str, Callable[..., Parts]] = {
        "examples": _examples, "breakdown": broken_down, "compare": _compare, "measure": _measure, "day": _day,
        "about": _about, "trace": _trace, "list": _listing,
    }  # fmt: skip
    with speaking(report.language):
        parts = tellers[ask.form](ask, report, evidence)
        if isinstance(ask, Trace) and excerpt:
            fenced = excerpt.replace("```", "` ` `")
            parts["text"] += f"\n\n```\n{fenced}\n```"
        checks: list[Check] = list(parts.pop("checks", []))
        for name, metric, segment in slices_of(ask):
            checks += figures.checks_of(figures.slice_of(name, metric, segment, report, evidence), report)
    traces = parts.get("trace_ids", [])
    urls = [trace_url(base_url, report.project_id, trace) for trace in traces] if base_url else []
    parts.setdefault("named", Named())
    kept = parts.pop("evidence", list(evidence))
    return Answer(
        number=number, question=question, ask=ask, by="model" if by == "model" else "rules", evidence=kept,
        checks=checks, trace_urls=urls, **parts,
    )  # fmt: skip


def not_answered(unclear: Unclear, report: Report, named: Named, *, number: int, question: str) -> Answer:
    """Says which part was not understood, and which forms are."""
    with speaking(report.language):
        values = dict(unclear.values)
        if "dimension" in values:
            values["dimension"] = dimension_word(str(values["dimension"]))
        if "metric" in values:
            values["metric"] = metric_word(str(values["metric"]))
        if "word" in values:
            values["word"] = telling.name(str(values["word"]))
        why = say(f"ask.unclear.{unclear.why}", **values)
        text = why
        if unclear.why in ("empty", "word", "form"):
            listed = "\n".join(f"- {example}" for example in forms.examples(report.language))
            text = f"{why}\n\n{say('ask.forms')}\n\n{listed}"
        return Answer(number=number, question=question, text=text, named=named, follow_ups=_first(report))


def metric_word(metric: str) -> str:
    """A metric's name for people."""
    return catalogue().texts.get(f"metric.{metric}", metric)


def dimension_word(dimension: str) -> str:
    """A dimension's name for people."""
    return catalogue().texts.get(f"dimension.{dimension}", dimension)


def _found(id: str, report: Report) -> Finding:
    found = next((f for f in (*report.findings, *report.refuted) if f.id == id), None)
    if found is None:
        raise Unclear("no_finding")
    return found


def _first(report: Report) -> list[str]:
    return report.follow_ups[:2]


def _next(*keys: str) -> list[str]:
    return [say(f"ask.next.{key}") for key in keys]


def _examples(ask: Examples, report: Report, evidence: Sequence[Evidence]) -> Parts:
    finding, found = _found(ask.finding, report), evidence_for(evidence, "examples")
    rows = found.records() if found else []
    ids = [str(row["trace_id"]) for row in rows]
    metric = detector_of(finding.metric)[1]
    shown = [[str(n), id] for n, id in enumerate(ids, 1)]
    columns = ["#", say("ask.trace")]
    if metric.shape == "mean":
        columns.append(metric_word(finding.metric))
        for line, row in zip(shown, rows, strict=True):
            line.append(format_value(float(row["y"]), finding.unit))
    key = "ask.examples" if ids else "ask.no_examples"
    return {
        "text": say(key, count=len(ids), title=finding.title),
        "table": Table(columns=columns, rows=shown) if ids else None,
        "trace_ids": ids,
        "finding_ids": [finding.id],
        "named": Named(
            finding=finding.id, metric=finding.metric, segment=finding.segment, listed=[{"trace": id} for id in ids]
        ),
        "follow_ups": [*([say("ask.next.trace", trace=ids[0])] if ids else []), *_next("advice")],
    }


def _measure(ask: Measure, report: Report, evidence: Sequence[Evidence]) -> Parts:
    part = figures.slice_of("all", ask.metric, ask.segment, report, evidence)
    place, metric = telling.where(ask.segment), metric_word(ask.metric)
    measure = evidence_for(part.evidence, "measure")
    if part.window is None or measure is None:
        text, rows = say("ask.no_rows", place=place, metric=metric), None
    else:
        text = say(
            "ask.measured", metric=metric, place=place, now=format_estimate(part.window, part.metric.unit),
            before=format_estimate(part.baseline, part.metric.unit),
        )  # fmt: skip
        rows = Table(
            columns=["", catalogue().text("period.baseline"), catalogue().text("period.window")],
            rows=[
                [
                    metric,
                    format_estimate(part.baseline, part.metric.unit),
                    format_estimate(part.window, part.metric.unit),
                ],
                [say("ask.n"), format_count(part.baseline.n if part.baseline else None), format_count(part.window.n)],
            ],
        )
    return {
        "text": text, "table": rows, "chart": _chart(part, report) if rows else None,
        "finding_ids": [ask.finding] if ask.finding else [],
        "named": Named(finding=ask.finding, metric=ask.metric, segment=ask.segment),
        "follow_ups": _next("by_release", "by_user") if rows else _first(report),
    }  # fmt: skip


def _chart(part: figures.Slice, report: Report) -> str | None:
    measure = evidence_for(part.evidence, "measure")
    values = figures.daily(part.metric, measure) if measure else {}
    if len(values) < 2:
        return None
    starts, at = [], report.window.start - timedelta(days=round(report.baseline.days))
    while at < report.window.end:
        starts.append(at)
        at += timedelta(days=1)
    line = [values.get(f"{start:%Y-%m-%dT%H:%M:%SZ}") for start in starts]
    known = [value for value in line if value is not None]
    if not known:
        return None
    unit = part.metric.unit
    return (
        f"{format_day(starts[0])} {figures.spark(line)} {format_day(starts[-1])}"
        f"  ({format_value(min(known), unit)} – {format_value(max(known), unit)})"
    )


def _compare(ask: Compare, report: Report, evidence: Sequence[Evidence]) -> Parts:
    sides = [figures.slice_of(name, m, segment, report, evidence) for name, m, segment in slices_of(ask)]
    unit, metric = sides[0].metric.unit, sides[0].metric
    both_now = all(side.days.current.x > 0 for side in sides)
    sums = [side.days.current if both_now else side.days.current + side.days.before for side in sides]
    rows = [
        [
            value,
            format_estimate(side.baseline, unit) if side.baseline else _past(side),
            format_estimate(side.window, unit) if side.window else catalogue().text("number.not_measured"),
            format_count(side.days.before.x),
            format_count(side.days.current.x),
        ]
        for value, side in zip((ask.first, ask.second), sides, strict=True)
    ]
    columns = [
        dimension_word(ask.dimension), catalogue().text("period.baseline"), catalogue().text("period.window"),
        say("ask.n_baseline"), say("ask.n_window"),
    ]  # fmt: skip
    place, names = telling.where(ask.segment), {"first": telling.name(ask.first), "second": telling.name(ask.second)}
    word = metric_word(ask.metric)
    if any(total.x <= 0 for total in sums):
        missing = [name for name, total in zip(names.values(), sums, strict=True) if total.x <= 0]
        text = say("ask.compare_missing", names=say("check.and").join(missing), place=place)
    elif metric.shape in ("quantile", "count"):
        text = say("ask.compare_table", metric=word, place=place, **names)
    else:
        values = [figures.estimate(metric, total) for total in sums]
        shown = [format_estimate(value, unit) for value in values]
        p = figures.differs(metric, sums[1], sums[0], sides[0].days.window + sides[0].days.reference)
        verdict = "ask.too_few" if p is None else "ask.beyond_chance" if p < figures.SURE else "ask.by_chance"
        span = say("ask.in_window" if both_now else "ask.in_both")
        text = say("ask.compared", metric=word, place=place, a=shown[0], b=shown[1], span=span, **names)
        text = telling.sentences(text, say(verdict, p=format_p(p)))
    return {
        "text": text, "table": Table(columns=columns, rows=rows),
        "named": Named(
            metric=ask.metric, segment=slices_of(ask)[1][2],
            listed=[dict(segment) for _, _, segment in slices_of(ask)],
        ),
        "follow_ups": _next("second", "by_user"),
    }  # fmt: skip


def _past(side: figures.Slice) -> str:
    """A slice that the window does not hold has no finding; its baseline is told from its sums."""
    if side.metric.shape in ("quantile", "count") or side.days.before.x <= 0:
        return catalogue().text("number.not_measured")
    return format_estimate(figures.estimate(side.metric, side.days.before), side.metric.unit)


def _day(ask: OnDay, report: Report, evidence: Sequence[Evidence]) -> Parts:
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
        (day, now), before = _on(values, ask), _on(values, ask, -1)[1]
        others = [value for start, value in values.items() if start != day]
        usual = (min(others), max(others)) if others else None
        # What looks the same in the table is not told as different.
        bounds = [format_value(bound, unit) for bound in usual or ()]
        if now is not None and usual and not usual[0] <= now <= usual[1] and format_value(now, unit) not in bounds:
            unusual.append(metric_word(name))
        span = f"{format_value(usual[0], unit)} – {format_value(usual[1], unit)}" if usual else ""
        rows.append([metric_word(name), format_value(before, unit), format_value(now, unit), span])
    shown = format_day(report.window.start.replace(year=ask.day.year, month=ask.day.month, day=ask.day.day))
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
        "table": Table(columns=["", say("ask.day_before"), shown, say("ask.other_days")], rows=rows),
        "finding_ids": [finding.id for finding in began],
        "named": Named(
            finding=began[0].id if began else None, metric=began[0].metric if began else None,
            segment=ask.segment or (began[0].segment if began else {}), listed=[{"finding": f.id} for f in began],
        ),
        "follow_ups": _next("first", "examples") if began else _first(report),
    }  # fmt: skip


def _touches(finding: Finding, segment: dict[str, str]) -> bool:
    """Whether a finding speaks of this slice, or of a part of it, or of what holds it."""
    return all(finding.segment.get(key, value) == value for key, value in segment.items())


def _on(values: dict[str, float], ask: OnDay, shift: int = 0) -> tuple[str, float | None]:
    """The measured day (24 hours from the window's time of day) that begins on the calendar's day."""
    wanted = (ask.day + timedelta(days=shift)).isoformat()
    found = next((start for start in values if start.startswith(wanted)), "")
    return found, values.get(found)


def _about(ask: About, report: Report, evidence: Sequence[Evidence]) -> Parts:
    finding = _found(ask.finding, report)
    failed = [check.detail for check in finding.checks if check.passed is False]
    stands = finding in report.findings
    verdict = "" if stands else say("ask.refuted", reason=telling.sentences(*failed))
    table, proof = None, []
    match ask.what:
        case "advice":
            text = telling.sentences(finding.title + ":", finding.recommendation)
        case "cause":
            text = telling.sentences(finding.title + ":", finding.cause or say("ask.no_cause"))
        case "proof":
            passed = sum(check.passed is True for check in finding.checks)
            text = say("ask.proof", title=finding.title, passed=passed, count=len(finding.evidence))
            proof = list(finding.evidence)
            table = Table(
                columns=[say("ask.query"), say("ask.purpose"), say("ask.rows"), "SHA-256"],
                rows=[[e.id, e.purpose, format_count(e.row_count), e.result_hash[:12]] for e in finding.evidence],
            )
        case _:
            text = telling.sentences(finding.title + ":", finding.summary, finding.cause or "")
    return {
        "text": "\n\n".join(part for part in (text, verdict) if part), "table": table, "evidence": proof,
        "checks": finding.checks if ask.what == "proof" else [],
        "finding_ids": [finding.id], "trace_ids": finding.example_trace_ids if ask.what == "summary" else [],
        "named": Named(finding=finding.id, metric=finding.metric, segment=finding.segment),
        "follow_ups": _next(*[key for key in ("advice", "examples", "proof") if key != ask.what][:2]),
    }  # fmt: skip


def _trace(ask: Trace, report: Report, evidence: Sequence[Evidence]) -> Parts:
    return {
        "text": say("ask.one_trace", trace=telling.name(ask.trace, 80), steps=sum(e.row_count for e in evidence)),
        "trace_ids": [ask.trace], "named": Named(listed=[{"trace": ask.trace}]), "follow_ups": _next("findings"),
    }  # fmt: skip


def _listing(ask: Listing, report: Report, evidence: Sequence[Evidence]) -> Parts:
    if ask.what == "forms":
        return {
            "text": say("ask.forms") + "\n\n" + "\n".join(f"- {text}" for text in forms.examples(report.language)),
            "follow_ups": _first(report),
        }
    if ask.what == "gaps":
        gaps = [entry for entry in report.coverage.detectors if entry.status != "ran"]
        rows = [[entry.name, entry.status, entry.reason] for entry in gaps]
        notes = "\n".join(f"- {note}" for note in (*report.coverage.missing, *report.coverage.notes))
        return {
            "text": "\n\n".join(part for part in (say("ask.gaps", count=len(gaps)), notes) if part),
            "table": Table(columns=[say("ask.detector"), say("ask.status"), say("ask.reason")], rows=rows)
            if rows
            else None,
            "follow_ups": _next("findings"),
        }
    shown = report.findings if ask.what == "findings" else report.refuted
    rows = [
        [str(n), catalogue().texts.get(f"severity.{f.severity}", f.severity), f.title] for n, f in enumerate(shown, 1)
    ]
    if ask.what == "refuted":
        for row, finding in zip(rows, shown, strict=True):
            row[1] = next((check.detail for check in finding.checks if check.passed is False), "")
    second = "ask.reason" if ask.what == "refuted" else "ask.severity"
    columns = ["#", say(second), say("ask.finding")]
    return {
        "text": report.headline if ask.what == "findings" else say("ask.refuted_list", count=len(shown)),
        "table": Table(columns=columns, rows=rows) if rows else None,
        "finding_ids": [finding.id for finding in shown],
        "named": Named(finding=shown[0].id if shown else None, listed=[{"finding": f.id} for f in shown]),
        "follow_ups": _next("second", "examples") if len(shown) > 1 else _first(report),
    }
