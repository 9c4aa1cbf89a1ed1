"""What became of a request to write elsewhere, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hansei.contracts import Evidence, Report
from hansei.contracts.answers import Table
from hansei.contracts.asks import Named, ToDataset
from hansei.contracts.writes import WriteOutcome
from hansei.tools.conversation.looking import finding_of
from hansei.tools.playbook import telling
from hansei.tools.report.catalogue import say

_FAILED = 20
"""Failures that are told one by one."""


def wrote(
    ask: ToDataset, report: Report, evidence: Sequence[Evidence], outcome: WriteOutcome | None = None
) -> dict[str, Any]:
    """How much was written, what was not, and how it is taken back. Without an outcome nothing was decided."""
    outcome, finding = outcome or WriteOutcome(decision="reject"), finding_of(ask.finding, report)
    name, failed = telling.name(ask.name), outcome.failed[:_FAILED]
    if outcome.decision == "reject":
        text = say("ask.wrote_nothing", name=name)
    else:
        items = [key for key in outcome.written if key != ask.name]  # the dataset itself goes by its name
        text = say("ask.wrote", count=len(items), name=name)
        if outcome.left_out:
            text = telling.sentences(text, say("ask.left_out", count=len(outcome.left_out)))
        if outcome.failed:
            text = telling.sentences(text, say("ask.not_written", count=len(outcome.failed)))
        for run in outcome.runs:
            text = telling.sentences(text, say("ask.undo", run=run))
    rows = [[one.key, one.error or ""] for one in failed]
    return {
        "text": text,
        "table": Table(columns=[say("ask.item"), say("ask.reason")], rows=rows) if rows else None,
        "finding_ids": [ask.finding],
        "named": Named(
            finding=finding.id, metric=finding.metric, segment=finding.segment,
            listed=[{"trace": trace} for trace in ask.traces],
        ),
        "follow_ups": [say("ask.next.advice")],
    }  # fmt: skip
