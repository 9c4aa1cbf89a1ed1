"""From an `Ask` and its evidence to the answer. Pure: the same evidence gives the same answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from hansei.contracts import Check, Evidence, Report, Segment
from hansei.contracts.answers import Answer, Table
from hansei.contracts.asks import About, Ask, Compare, Examples, Listing, Measure, Named, Trace
from hansei.contracts.writes import WriteOutcome
from hansei.tools.conversation import figures, forms
from hansei.tools.conversation.breaking import broken_down
from hansei.tools.conversation.comparing import compared
from hansei.tools.conversation.days import on_day
from hansei.tools.conversation.looking import finding_of, slices_of
from hansei.tools.conversation.naming import Unclear
from hansei.tools.conversation.told_writes import wrote
from hansei.tools.conversation.wording import capital, dimension_word, measured_word, metric_word, rows_word
from hansei.tools.playbook import telling
from hansei.tools.playbook.assess import evidence_for, trace_url
from hansei.tools.playbook.catalogue import detector_of
from hansei.tools.playbook.segments import split_of
from hansei.tools.report.catalogue import catalogue, say, speaking
from hansei.tools.report.finding_view import impact_facts
from hansei.tools.report.formats import format_count, format_day, format_estimate, format_value
from hansei.tools.report.health_view import judged

Parts = dict[str, Any]


def answered(
    ask: Ask, report: Report, evidence: Sequence[Evidence], *, number: int, question: str, base_url: str | None = None,
    by: str = "rules", excerpt: str = "", outcome: WriteOutcome | None = None,
) -> Answer:  # fmt: skip
    """The answer in the report's language.

    Args:
        ask: what was understood.
        evidence: the analyst's and the critic's.
        number, question: of the conversation.
        base_url: Langfuse's address, for links.
        by: who understood the question.
        excerpt: of a trace, where one is asked for.
        outcome: of writes, where they were asked for.
    """
    tellers: dict[str, Callable[..., Parts]] = {
        "examples": _examples, "breakdown": broken_down, "compare": compared, "measure": _measure, "day": on_day,
        "about": _about, "trace": _trace, "list": _listing, "dataset": partial(wrote, outcome=outcome),
    }  # fmt: skip
    with speaking(report.language):
        parts = tellers[ask.form](ask, report, evidence)
        if isinstance(ask, Trace) and excerpt:
            fenced = excerpt.replace("```", "` ` `")
            parts["text"] += f"\n\n```\n{fenced}\n```"
        if told := _of_evaluators(ask, report):
            parts["text"] = telling.sentences(parts["text"], told)
        checks: list[Check] = list(parts.pop("checks", []))
        slices = slices_of(ask)
        for name, metric, segment in slices:
            found = figures.checks_of(figures.slice_of(name, metric, segment, report, evidence), report)
            # Of several figures each check says whose it is.
            checks += found if len(slices) == 1 else [_named(check, ask, metric, segment) for check in found]
    traces = parts.get("trace_ids", [])
    urls = [trace_url(base_url, report.project_id, trace) for trace in traces] if base_url else []
    parts.setdefault("named", Named())
    kept = parts.pop("evidence", list(evidence))
    return Answer(
        number=number, question=question, ask=ask, by="model" if by == "model" else "rules", evidence=kept,
        checks=checks, trace_urls=urls, outcome=outcome, **parts,
    )  # fmt: skip


def _of_evaluators(ask: Ask, report: Report) -> str:
    """Of a score that evaluators gave, how far they can be believed; empty where the report's health does not know."""
    scores = {segment.get("score_name") for _, _, segment in slices_of(ask)}
    signs = report.health.signs if report.health else []
    return telling.sentences(
        *(
            say("ask.of_evaluators", score=telling.name(one.subject), judged=judged(one, catalogue()))
            for one in signs
            if one.name == "score" and one.subject in scores and one.of_evaluators
        )
    )


def not_answered(unclear: Unclear, report: Report, named: Named, *, number: int, question: str) -> Answer:
    """Says which part was not understood, and which forms are."""
    with speaking(report.language):
        values = dict(unclear.values)
        if unclear.why == "no_column":
            split = detector_of(str(values["metric"]))[1]
            others = [dimension_word(name) for name in SPLITS if split_of(name, split) is not None]
            values["others"] = say("list.join").join(others)
        if "dimension" in values:
            values["dimension"] = dimension_word(str(values["dimension"]))
        if "metric" in values:
            values["metric"] = metric_word(str(values["metric"]))
        if "names" in values:
            values["names"] = say("list.join").join(values["names"])
        if "word" in values:
            values["word"] = telling.name(str(values["word"]))
        why = say(f"ask.unclear.{unclear.why}", **values)
        text = why
        if unclear.why in ("empty", "word", "form"):
            shown = forms.examples(report) if number == 1 else forms.nearest(question, report, named)
            listed = "\n".join(f"- {example}" for example in shown)
            text = f"{why}\n\n{say('ask.forms' if number == 1 else 'ask.forms_near')}\n\n{listed}"
        return Answer(number=number, question=question, text=text, named=named, follow_ups=_first(report))


SPLITS = (
    "trace_name", "release", "version", "environment", "user_id", "session_id", "tag", "metadata.language", "model",
    "prompt_name", "tool_name", "observation_name",
)  # fmt: skip
"""Dimensions that are put forward where a metric cannot be split as it was asked for."""


def _named(check: Check, ask: Ask, metric: str, segment: Segment) -> Check:
    what = telling.where({ask.dimension: segment[ask.dimension]}) if isinstance(ask, Compare) else metric_word(metric)
    return check.model_copy(update={"detail": say("ask.check_of", what=capital(what), detail=check.detail)})


def _first(report: Report) -> list[str]:
    return report.follow_ups[:2]


def _next(*keys: str) -> list[str]:
    return [say(f"ask.next.{key}") for key in keys]


def _examples(ask: Examples, report: Report, evidence: Sequence[Evidence]) -> Parts:
    finding, found = finding_of(ask.finding, report), evidence_for(evidence, "examples")
    rows = found.records() if found else []
    ids = [str(row["trace_id"]) for row in rows]
    metric = detector_of(finding.metric)[1]
    shown = [[str(n), id, str(row["at"])] for n, (id, row) in enumerate(zip(ids, rows, strict=True), 1)]
    columns = ["#", say("ask.trace"), say("ask.at")]
    if metric.badness:
        columns.append(say(f"ask.bad.{metric.name}"))
        for line, row in zip(shown, rows, strict=True):
            line.append(format_count(float(row["bad"])))
    elif metric.shape == "mean":
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
        "follow_ups": [*([say("ask.next.trace", trace=ids[0])] if ids else []), *_next("dataset" if ids else "advice")],
    }


def _measure(ask: Measure, report: Report, evidence: Sequence[Evidence]) -> Parts:
    part = figures.slice_of("all", ask.metric, ask.segment, report, evidence)
    place, metric = telling.where(ask.segment), measured_word(ask.metric, ask.segment)
    measure = evidence_for(part.evidence, "measure")
    if part.window is None or measure is None:
        text, rows = say("ask.no_rows", place=place, metric=metric), None
    else:
        text = say(
            "ask.measured", metric=metric, place=place, now=format_estimate(part.window, part.metric.unit),
            before=format_estimate(part.baseline, part.metric.unit),
        )  # fmt: skip
        text = telling.sentences(text, _of_traces(ask, report))
        rows = Table(
            columns=["", catalogue().text("period.baseline"), catalogue().text("period.window")],
            rows=[
                [
                    metric,
                    format_estimate(part.baseline, part.metric.unit),
                    format_estimate(part.window, part.metric.unit),
                ],
                [
                    rows_word(part.metric, ask.segment),
                    format_count(part.baseline.n if part.baseline else None),
                    format_count(part.window.n),
                ],
            ],
        )
    return {
        "text": capital(text), "table": rows, "chart": _chart(part, report) if rows else None,
        "finding_ids": [ask.finding] if ask.finding else [],
        "named": Named(finding=ask.finding, metric=ask.metric, segment=ask.segment),
        "follow_ups": _next("by_release", "by_user") if rows else _first(report),
    }  # fmt: skip


def _of_traces(ask: Measure, report: Report) -> str:
    """Of the whole project's errors: how many traces have one, which the report's table of health tells."""
    signs = report.health.signs if report.health else []
    failing = next((sign for sign in signs if sign.name == "failing_traces" and sign.window is not None), None)
    if failing is None or ask.metric != "error_rate" or ask.segment:
        return ""
    return say(
        "ask.failing_traces", now=format_estimate(failing.window, "ratio"),
        before=format_estimate(failing.baseline, "ratio"),
    )  # fmt: skip


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


def _about(ask: About, report: Report, evidence: Sequence[Evidence]) -> Parts:
    finding = finding_of(ask.finding, report)
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
        case "impact":
            facts = impact_facts(finding, report.language)
            text = say("ask.impact" if facts else "ask.no_impact", title=finding.title)
            if facts:
                table = Table(columns=["", say("ask.impact_column")], rows=[[one.label, one.value] for one in facts])
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
            "text": say("ask.forms") + "\n\n" + "\n".join(f"- {text}" for text in forms.examples(report)),
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
    better = [one for one in report.findings if one.direction == "improvement"]
    shown = {"findings": report.findings, "improvements": better}.get(ask.what, report.refuted)
    rows = [
        [str(n), catalogue().texts.get(f"severity.{f.severity}", f.severity), f.title] for n, f in enumerate(shown, 1)
    ]
    if ask.what == "refuted":
        for row, finding in zip(rows, shown, strict=True):
            row[1] = next((check.detail for check in finding.checks if check.passed is False), "")
    second = "ask.reason" if ask.what == "refuted" else "ask.severity"
    columns = ["#", say(second), say("ask.finding")]
    return {
        "text": {"findings": report.headline, "improvements": say("ask.improvements", count=len(shown))}.get(
            ask.what, say("ask.refuted_list", count=len(shown))
        ),
        "table": Table(columns=columns, rows=rows) if rows else None,
        "finding_ids": [finding.id for finding in shown],
        "named": Named(finding=shown[0].id if shown else None, listed=[{"finding": f.id} for f in shown]),
        "follow_ups": _next("second", "examples") if len(shown) > 1 else _next("first") if shown else _first(report),
    }
