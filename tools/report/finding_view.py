"""A finding, ready to be shown: see `hansei.tools.report.view`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest

from hansei.contracts import Check, Echo, Estimate, Excerpt, ExcerptLine, Finding, Wording
from hansei.tools.report import formats
from hansei.tools.report.catalogue import catalogue
from hansei.tools.report.labels import label, reference_label, segment_parts, segment_text
from hansei.tools.report.proof_view import ProofView, proof_view
from hansei.tools.report.text import excerpt, one_line, safe_url, visible

LONGEST_TITLE = 300
LONGEST_TEXT = 4_000
LONGEST_NAME = 200
LONGEST_LINE = 500
MOST_LINES = 40
MOST_DIFF_LINES = 200
DEEPEST = 8


@dataclass(frozen=True)
class Fact:
    """A label and what it is."""

    label: str
    value: str


@dataclass(frozen=True)
class CheckRow:
    outcome: str
    """passed, failed or open."""
    outcome_label: str
    name: str
    detail: str


@dataclass(frozen=True)
class ExampleLine:
    text: str
    depth: int
    kind: str
    failing: bool


@dataclass(frozen=True)
class Example:
    trace_id: str
    url: str | None
    lines: list[ExampleLine]
    """Empty when the trace was not read."""
    teaser: str
    """The step in which it went wrong; may be empty."""


@dataclass(frozen=True)
class DiffLine:
    text: str
    kind: str
    """added, removed, place (where it is) or same."""


@dataclass(frozen=True)
class WordsView:
    """What a model wrote of a finding; '' and None for what it did not."""

    cause: str
    recommendation: str
    change: str
    """What is to be changed."""
    change_where: str
    diff: list[DiffLine]
    by: str
    """Who wrote it, and what was checked."""


@dataclass(frozen=True)
class FindingView:
    number: int
    kind: str
    direction: str
    direction_label: str
    badge: str
    """critical, high, medium or low; improvement for what got better, whatever its size."""
    badge_label: str
    title: str
    summary: str
    metric: str
    current: str
    current_n: str
    reference: str
    """What the current value is compared with."""
    reference_value: str
    reference_n: str
    change: str
    where: list[tuple[str, str]]
    since: str
    sure: list[str]
    verdict: str
    verdict_label: str
    checks: list[CheckRow]
    checks_passed: str
    """How many of them passed."""
    reason: str
    """Of what is refuted: the first check that it failed."""
    cause: str | None
    recommendation: str
    impact: list[Fact]
    echoes: list[str]
    parameters: list[Fact]
    examples: list[Example]
    proof: list[ProofView]
    words: WordsView | None = None


def finding_view(
    finding: Finding,
    number: int,
    language: str,
    excerpts: Mapping[str, Excerpt] | None = None,
    model: str | None = None,
) -> FindingView:
    """The finding in words of `language`, as the `number`-th of its list, with excerpts by the id of their trace.

    `model` is the name of the model that may have worded it.
    """
    words = catalogue(language)
    reference = finding.baseline
    is_better = finding.direction == "improvement"
    where = segment_parts(finding.segment, language)
    return FindingView(
        number=number,
        kind=label("kind", finding.kind, language),
        direction=finding.direction,
        direction_label=words.text(f"direction.{finding.direction}"),
        badge="improvement" if is_better else finding.severity,
        badge_label=words.text("direction.improvement" if is_better else f"severity.{finding.severity}"),
        title=excerpt(one_line(finding.title), LONGEST_TITLE),
        summary=_text(finding.summary),
        metric=excerpt(label("metric", finding.metric, language), LONGEST_NAME),
        current=formats.format_estimate(finding.current, finding.unit, language),
        current_n=formats.format_count(finding.current.n, language),
        reference=excerpt(reference_label(finding, language), 2 * LONGEST_NAME),
        reference_value=formats.format_estimate(reference, finding.unit, language),
        reference_n="" if reference is None else formats.format_count(reference.n, language),
        change=_change(finding, language),
        where=[(excerpt(name, 60), excerpt(value, LONGEST_NAME)) for name, value in where],
        since=_since(finding, language),
        sure=_sure(finding, language),
        verdict=finding.verdict,
        verdict_label=words.text(f"verdict.{finding.verdict}"),
        checks=[_check(check, language) for check in finding.checks],
        checks_passed=words.text(
            "finding.checks_passed", passed=sum(one.passed is True for one in finding.checks), total=len(finding.checks)
        ),
        reason=_text(next((one.detail for one in finding.checks if one.passed is False), "")),
        cause=_text(finding.cause) or None,
        recommendation=_text(finding.recommendation),
        impact=impact_facts(finding, language),
        echoes=[_echo(echo, language) for echo in finding.echoes],
        parameters=[
            Fact(excerpt(label("parameter", name, language), 60), f"{value:,.10g}")
            for name, value in finding.parameters.items()
        ],
        examples=_examples(finding, excerpts or {}),
        proof=[proof_view(one, language) for one in finding.evidence],
        words=_words(finding.worded, model, language) if finding.worded else None,
    )


def by_model(model: str | None, language: str) -> str:
    """The mark on what a model wrote."""
    words = catalogue(language)
    return words.text("model.by", model=excerpt(one_line(model), 100) if model else "?")


def _words(worded: Wording, model: str | None, language: str) -> WordsView:
    words, change = catalogue(language), worded.change
    name = excerpt(one_line(change.name), LONGEST_NAME) if change else ""
    where = {
        "trace": excerpt(one_line(change.trace_id), 80) if change else "",
        "observation": excerpt(one_line(change.observation_id), 80) if change else "",
    }
    return WordsView(
        cause=_text(worded.cause),
        recommendation=_text(worded.recommendation),
        change=words.text(f"model.change.{change.target}", name=name) if change else "",
        change_where=words.text("model.change.where", **where) if change else "",
        diff=[_diff_line(line) for line in change.diff.split("\n")[:MOST_DIFF_LINES]] if change else [],
        by=by_model(model, language),
    )


def _diff_line(line: str) -> DiffLine:
    kinds = (("+++", "place"), ("---", "place"), ("@@", "place"), ("+", "added"), ("-", "removed"))
    shown = excerpt(visible(line.replace("\t", "    ")), LONGEST_LINE)
    return DiffLine(shown, next((kind for mark, kind in kinds if line.startswith(mark)), "same"))


def impact_facts(finding: Finding, language: str) -> list[Fact]:
    """What is known of the impact, the most telling first; the unknown is left out, never shown as zero."""
    impact = finding.impact
    hours, fell = impact.hours_per_week, finding.unit == "traces/day" and (finding.effect or 0.0) < 0
    beyond = "missing_traces" if fell else "excess_traces"
    facts = [
        ("cost_per_week", impact.cost_per_week, formats.format_value(impact.cost_per_week, "usd", language)),
        ("hours_per_week", hours, formats.format_value(None if hours is None else hours * 3600, "s", language)),
        (beyond, impact.excess_traces, formats.format_count(impact.excess_traces, language)),
        ("share_of_traces", impact.share_of_traces, formats.format_value(impact.share_of_traces, "ratio", language)),
        ("affected_traces", impact.affected_traces, formats.format_count(impact.affected_traces, language)),
        ("affected_users", impact.affected_users, formats.format_count(impact.affected_users, language)),
    ]
    words = catalogue(language)
    return [Fact(words.text(f"impact.{name}"), shown) for name, value, shown in facts if value is not None]


def _text(text: str | None) -> str:
    return excerpt(visible(text or "").strip(), LONGEST_TEXT)


def _change(finding: Finding, language: str) -> str:
    """The effect, and how large that is against the reference (for a share only the points: they can't be mixed up)."""
    if finding.baseline is None or finding.effect is None:
        return catalogue(language).text("number.none")
    change = formats.format_change(finding.effect, finding.unit, language)
    if finding.unit in ("ratio", "score") or not finding.baseline.value:
        return change
    relative = formats.format_relative(finding.baseline.value, finding.current.value, language)
    return catalogue(language).text("interval.estimate", value=change, interval=relative)


def _since(finding: Finding, language: str) -> str:
    if finding.onset is not None:
        return formats.format_onset(finding.onset, finding.onset_hour, language)
    return catalogue(language).text("since.hotspot" if finding.direction == "hotspot" else "since.unknown")


def _sure(finding: Finding, language: str) -> list[str]:
    words = catalogue(language)
    sentences = []
    if finding.p_value is not None:
        sentences.append(words.text("sure.p", p=formats.format_p(finding.p_value, language)))
    if finding.q_value is not None:
        sentences.append(words.text("sure.q", q=formats.format_p(finding.q_value, language, "q")))
    passed = sum(check.passed is True for check in finding.checks)
    if finding.checks:
        sentences.append(words.text("sure.checks", passed=passed, total=len(finding.checks)))
    return sentences or [words.text("sure.nothing")]


def _check(check: Check, language: str) -> CheckRow:
    outcome = {True: "passed", False: "failed", None: "open"}[check.passed]
    return CheckRow(
        outcome=outcome,
        outcome_label=catalogue(language).text(f"check.{outcome}"),
        name=excerpt(label("checked", check.name, language), LONGEST_NAME),
        detail=_text(check.detail),
    )


def _echo(echo: Echo, language: str) -> str:
    now, before = formats.format_pair(echo.current, echo.baseline, echo.unit, language)
    return catalogue(language).text(
        "echo.changed" if echo.baseline is not None else "echo.now",
        metric=excerpt(label("metric", echo.metric, language), LONGEST_NAME),
        segment=excerpt(segment_text(echo.segment, language), 2 * LONGEST_NAME),
        now=now,
        before=before,
    )


def gain_text(finding: Finding, language: str) -> str:
    """What is to be gained when a finding is put right, the most telling first; empty when it is not known."""
    impact, words = finding.impact, catalogue(language)
    parts = []
    if finding.kind == "traffic":
        return ""
    if impact.cost_per_week is not None and impact.cost_per_week > 0:
        saved = formats.format_value(impact.cost_per_week, "usd", language)
        if finding.gain is not None and finding.gain.unit == "usd":
            gain = finding.gain
            saved = formats.format_estimate(
                Estimate(value=gain.value, n=0, low=gain.low, high=gain.high), "usd", language
            )
        parts.append(words.text("gain.cost", value=saved))
    if impact.hours_per_week is not None and impact.hours_per_week > 0:
        parts.append(words.text("gain.hours", value=formats.format_value(impact.hours_per_week * 3600, "s", language)))
    if impact.excess_traces is not None and impact.excess_traces >= 1:
        count = formats.format_count(round(impact.excess_traces), language)
        share = formats.format_value(impact.share_of_traces, "ratio", language)
        key = "gain.traces_share" if impact.share_of_traces else "gain.traces"
        parts.append(words.text(key, count=count, share=share))
    return words.text("gain.join").join(parts)


def _examples(finding: Finding, excerpts: Mapping[str, Excerpt]) -> list[Example]:
    pairs = zip_longest(finding.example_trace_ids, finding.trace_urls[: len(finding.example_trace_ids)])
    return [_example(trace_id, url, excerpts.get(trace_id)) for trace_id, url in pairs]


def _example(trace_id: str, url: str | None, found: Excerpt | None) -> Example:
    lines = [_line(line) for line in (found.lines if found else [])[:MOST_LINES]]
    marked = [line.text for line in lines if line.failing] or [line.text for line in lines[:1]]
    told = [text for text in marked[1:2] if text.startswith("status: ")]
    teaser = " · ".join(text.partition(" · id ")[0] for text in [*marked[:1], *told])
    return Example(excerpt(one_line(trace_id), 80), safe_url(url), lines, excerpt(teaser, LONGEST_NAME))


def _line(line: ExcerptLine) -> ExampleLine:
    return ExampleLine(
        excerpt(one_line(line.text), LONGEST_LINE), min(max(line.depth, 0), DEEPEST), line.kind, line.failing
    )
