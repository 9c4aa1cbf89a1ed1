"""The report as Markdown: for GitHub, Slack, Notion and a terminal.

Names, values and words from outside can't become Markdown: what has a meaning there is escaped, code spans get a fence
that is longer than any inside, and nothing breaks a table or a list, since every such text stands on one line.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

from hansei.contracts import Finding, Report
from hansei.tools.report.catalogue import catalogue
from hansei.tools.report.charts import chart_title
from hansei.tools.report.finding_view import CheckRow, Example, Fact, FindingView, WordsView
from hansei.tools.report.formats import format_date
from hansei.tools.report.markdown_text import code, escape, fenced, mermaid, paragraph, sign_trend, sparkline, table
from hansei.tools.report.marks import marks_of
from hansei.tools.report.proof_view import ProofView
from hansei.tools.report.series import daily_series
from hansei.tools.report.view import ReportView, report_view

_MARKS = {"passed": "✅", "failed": "❌", "open": "❔"}
_STATES = {"worse": "🔺", "better": "🟢", "changed": "🔷"}
_SINCE = {"new": "🆕", "ongoing": "🔶", "unclear": "❔", "fixed": "✅", "regressed": "🔁", "muted": "🔇"}
_BADGES = {"critical": "🔴", "high": "🟠", "medium": "🟡", "low": "⚪", "improvement": "🟢"}


def render_markdown(report: Report) -> str:
    """The report as Markdown in its language; ends with one line end."""
    page = _Page(report)
    blocks = [
        *page.verdict(),
        *page.since(),
        *page.actions(),
        *page.health(),
        *page.findings(),
        *page.investigations(),
        *page.judgements(),
        *page.flows(),
        *page.refuted(),
        *page.coverage(),
    ]
    blocks += [*page.plan(), *page.follow_ups(), *page.run()]
    return "\n\n".join(block for block in blocks if block) + "\n"


class _Page:
    """The blocks of the page, in groups; a block is a paragraph, a table, a list or a heading."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.view: ReportView = report_view(report)
        self.words = catalogue(report.language)

    def t(self, key: str, **values: Any) -> str:
        return self.words.text(key, **values)

    def verdict(self) -> Iterable[str]:
        view = self.view
        yield f"# {paragraph(view.headline)}"
        yield escape(view.verdict)
        periods = " · ".join(f"{fact.label}: {fact.value}" for fact in view.periods)
        yield f"**{escape(view.project)}** · {periods}"
        if view.summary:
            yield f"**{self.t('model.summary')}:** {escape(view.summary)}"
            yield paragraph(view.summary_by)
        if view.question:
            yield f"> {self.t('page.question')} {escape(view.question)}"
        yield view.looked_at
        if view.not_looked_at:
            lines = [self.t("looked.gaps", count=len(view.not_looked_at)) + ":", *map(escape, view.not_looked_at)]
            yield "\n- ".join(lines)

    def since(self) -> Iterable[str]:
        since = self.view.since
        if since is None:
            return
        yield f"## {self.t('section.since')}"
        yield since.frame
        lines = []
        for row in since.rows:
            lines.append(f"- {_SINCE[row.state]} **{row.state_label}** {escape(row.title)}  ")
            parts = [row.text, row.effect, row.muted]
            lines.append("  " + "  \n  ".join(escape(part) for part in parts if part))
        yield "\n".join(lines)
        yield since.left_out

    def actions(self) -> Iterable[str]:
        yield f"## {self.t('section.actions')}"
        if not self.view.actions:
            yield self.view.no_action
        lines = []
        for place, action in enumerate(self.view.actions, start=1):
            lines.append(f"{place}. **{escape(action.text)}**  ")
            lines.append(f"   {_BADGES[action.badge]} {escape(action.title)}{'  ' if action.gain else ''}")
            if action.gain:
                lines.append(f"   {self.t('gain.label')} {escape(action.gain)}")
        yield "\n".join(lines)

    def health(self) -> Iterable[str]:
        yield f"## {self.t('section.health')}"
        head = ["", self.t("period.window"), self.t("period.baseline"), self.t("health.change"), self.t("sign.trend")]
        rows = []
        for row in self.view.signs:
            window = f"**{row.window}**" + (f" ({row.interval})" if row.interval else "")
            change = (
                f"{row.change} · **{row.state_label}**" if row.state not in ("same", "unknown") else row.state_label
            )
            mark = _STATES.get(row.state, "")
            trend = sign_trend(row.sign, self.report.window)
            rows.append([escape(row.name), window, row.baseline, f"{mark} {change}".strip(), trend])
        yield table(head, rows, numeric=[False, True, True, False, False]) if rows else self.t("no_health")

    def flows(self) -> Iterable[str]:
        """Each flow as a Mermaid graph, which GitHub and Notion draw; elsewhere it reads as a list of transitions."""
        if self.view.flows:
            yield f"## {self.t('section.flow')}"
            yield self.view.flow_note
        for flow in self.view.flows:
            yield f"### {escape(flow.name)}"
            yield self.t("flow.summary", traces=flow.traces, baseline=flow.baseline)
            if flow.differs:
                yield self.t("flow.differs", steps=escape(flow.differs))
            yield mermaid(flow)

    def findings(self) -> Iterable[str]:
        yield f"## {self.t('section.findings')}"
        yield from self.view.nothing_found
        for finding, shown in zip(self.report.findings, self.view.findings, strict=True):
            yield from self._finding(finding, shown)

    def _finding(self, finding: Finding, shown: FindingView) -> Iterable[str]:
        yield f"### {shown.number}. {escape(shown.title)}"
        direction = "" if shown.badge == "improvement" else f" · {shown.direction_label}"
        yield f"{_BADGES[shown.badge]} **{shown.badge_label}** · {shown.kind}{direction}"
        yield paragraph(shown.summary)
        yield table(
            [escape(shown.metric), self.t("finding.value"), "n"],
            [
                [self.t("period.window"), f"**{shown.current}**", shown.current_n],
                [escape(shown.reference), shown.reference_value, shown.reference_n],
                [self.t("finding.change"), shown.change, ""],
            ],
            numeric=[False, True, True],
        )
        yield self._series(finding)
        where = ", ".join(f"{escape(name)} {code(value)}" for name, value in shown.where) or self.t("segment.all")
        facts = [
            (self.t("finding.where"), where),
            (self.t("finding.since"), shown.since),
            (self.t("finding.sure"), escape("; ".join(shown.sure))),
            (self.t("finding.impact"), " · ".join(f"{fact.label}: {fact.value}" for fact in shown.impact)),
            (self.t("finding.echoes"), "; ".join(escape(echo) for echo in shown.echoes)),
            *((escape(fact.label), fact.value) for fact in shown.parameters),
            (self.t("finding.cause"), escape(shown.cause or self.t("finding.no_cause"))),
            (self.t("finding.recommendation"), escape(shown.recommendation)),
        ]
        yield "\n".join(f"- **{name}:** {text}" for name, text in facts if text)
        if shown.words:
            yield from self._words(shown.words)
        if shown.checks:
            yield f"**{self.t('finding.checks')}**"
            yield _checks(shown.checks)
        if shown.examples:
            yield f"**{self.t('finding.examples')}**"
            yield "\n".join(_example(one) for one in shown.examples)
        yield from self._proof(shown.proof)

    def _words(self, words: WordsView) -> Iterable[str]:
        told = [
            (self.t("model.cause"), escape(words.cause)),
            (self.t("model.recommendation"), escape(words.recommendation)),
            (escape(words.change), escape(words.change_where)),
        ]
        yield "\n".join(f"- **{name}:** {text}" for name, text in told if text)
        if words.diff:
            yield fenced("diff", [line.text for line in words.diff])
        yield paragraph(words.by)

    def _series(self, finding: Finding) -> str:
        days = daily_series(finding, self.report.window)
        if not days:
            return ""
        title = escape(chart_title(finding, self.report.window, self.report.language))
        bars = sparkline([day.value for day in days])
        groups = []
        for period in ("baseline", "window", "rest"):
            shown = "".join(bar for bar, day in zip(bars, days, strict=True) if day.period == period)
            if shown:
                name = self.t("reference.rest_of_window") if period == "rest" else self.t(f"period.{period}")
                groups.append(f"{name} `{shown}`")
        report = self.report
        marks = marks_of(finding, report.health.changes if report.health else [], report.language)
        new = [
            escape(self.t("chart.mark", what=one.label, date=format_date(one.moment, report.language))) for one in marks
        ]
        return " ".join([f"{title}: " + " · ".join(groups), *new])

    def _proof(self, proof: Sequence[ProofView]) -> Iterable[str]:
        """Which queries the numbers come from. Their SQL would make the file too long for GitHub to show."""
        if proof:
            title = html.escape(self.t("finding.proof"))
            yield f"<details><summary>{title}</summary>"
            yield "\n".join(
                f"- {escape(one.purpose)}: " + escape(self._summary(one)) + f", SHA-256 {code(one.result_hash[:12])}"
                for one in proof
            )
            yield self.t("proof.where")
            yield "</details>"

    def _summary(self, proof: ProofView) -> str:
        return self.t("proof.summary", id=proof.id, count=proof.row_count, read=proof.rows_read, seconds=proof.seconds)

    def investigations(self) -> Iterable[str]:
        """What a model looked into."""
        if self.view.investigations:
            yield f"## {self.t('section.investigations')}"
            yield self.t("investigation.explain")
        for one in self.view.investigations:
            yield f"### {escape(one.question)}"
            yield f"**{one.verdict_label}.** {escape(one.answer)}"
            facts = [
                (self.t("investigation.hypothesis"), one.hypothesis),
                (self.t("investigation.refuted_by"), one.refuted_by),
                (self.t("investigation.told_by"), "; ".join(f"{number}. {title}" for number, title in one.told_by)),
            ]
            yield "\n".join(f"- **{name}** {escape(text)}" for name, text in facts if text)
            if one.categories:
                where = escape(" ".join(filter(None, (one.place, one.unread))))
                yield f"**{self.t('investigation.taxonomy')}** {where}"
                head = [self.t("investigation.label"), self.t("investigation.share"), "n", self.t("finding.examples")]
                rows = [
                    [
                        f"**{escape(row.label)}**" + (f": {escape(row.definition)}" if row.definition else ""),
                        f"{row.share} ({row.interval})",
                        row.count,
                        ", ".join(map(code, row.examples)),
                    ]
                    for row in one.categories
                ]
                yield table(head, rows, numeric=[False, True, True, False])
            if one.findings:
                yield f"**{self.t('investigation.proposed')}**"
            for found in one.findings:
                yield f"- **{escape(found.title)}** ({found.verdict_label})\n" + _checks(found.checks, indent="  ")
            yield "\n".join(f"- {escape(note)}" for note in one.notes)
            yield from self._proof([*one.proof, *(item for found in one.findings for item in found.proof)])

    def judgements(self) -> Iterable[str]:
        """What an evaluation of the same window came to."""
        if not self.view.judgements:
            return
        yield f"## {self.t('section.judgements')}"
        yield self.t("judgement.explain")
        head = [self.t(f"evaluation.{name}") for name in ("criterion", "by", "value", "n", "unscored", "believed")]
        rows = [
            [
                f"**{escape(row.criterion)}**: {escape(row.definition)}", row.kind, escape(row.value), row.n,
                row.unscored, escape(row.believed),
            ]
            for row in self.view.judgements
        ]  # fmt: skip
        yield table(head, rows, numeric=[False, False, True, True, True, False])

    def refuted(self) -> Iterable[str]:
        yield f"## {self.t('section.refuted')}"
        yield self.t("refuted.explain") if self.view.refuted else self.t("refuted.none")
        for one in self.view.refuted:
            yield f"- **{escape(one.title)}** ({one.verdict_label})\n" + _checks(one.checks, indent="  ")

    def coverage(self) -> Iterable[str]:
        view = self.view
        yield f"## {self.t('section.coverage')}"
        head = [self.t(f"coverage.{name}") for name in ("detector", "status", "slices", "reason")]
        rows = [[escape(row.name), row.status_label, row.slices, escape(row.reason)] for row in view.detectors]
        yield table(head, rows, numeric=[False, False, True, False])
        head = ["", self.t("period.window"), self.t("period.baseline"), self.t("health.change")]
        rows = [[row.label, row.window, row.baseline, row.change] for row in view.totals]
        yield f"**{self.t('section.totals')}**"
        yield table(head, rows, numeric=[False, True, True, True])
        yield view.totals_note or ""
        for key, lines in (("coverage.missing", view.missing), ("coverage.notes", view.notes)):
            if lines:
                yield f"**{self.t(key)}**"
                yield "\n".join(f"- {paragraph(line)}" for line in lines)
        yield from self._proof(view.coverage_proof)

    def plan(self) -> Iterable[str]:
        if self.view.plan:
            yield f"## {self.t('section.plan')}"
            yield "\n".join(
                f"1. **{escape(item.question)}** ({escape(': '.join(filter(None, (item.detector, item.reason))))})"
                for item in self.view.plan
            )

    def follow_ups(self) -> Iterable[str]:
        if self.view.follow_ups:
            yield f"## {self.t('section.follow_ups')}"
            yield "\n".join(f"- {paragraph(line)}" for line in self.view.follow_ups)

    def run(self) -> Iterable[str]:
        yield f"## {self.t('section.run')}"
        yield " · ".join(_fact(fact) for fact in self.view.run)
        if self.view.run_url:
            yield f"[{self.t('run.link')}]({_target(self.view.run_url)})"
        yield f"{escape(self.t('page.footer', version=self.view.version))} `hansei verify report.json`"


def _example(one: Example) -> str:
    link = f"[{code(one.trace_id)}]({_target(one.url)})" if one.url else code(one.trace_id)
    return f"- {link}" + (f": {escape(one.teaser)}" if one.teaser else "")


def _checks(checks: Sequence[CheckRow], indent: str = "") -> str:
    return "\n".join(
        f"{indent}- {_MARKS[check.outcome]} {escape(check.name)} ({check.outcome_label})"
        + (f": {escape(check.detail)}" if check.detail else "")
        for check in checks
    )


def _fact(fact: Fact) -> str:
    return f"{fact.label}: {escape(fact.value)}"


def _target(url: str | None) -> str:
    """A link's target: brackets and the like would end it."""
    return quote(url or "", safe="/:?&=#%+,;@~._-")
