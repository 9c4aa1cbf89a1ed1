"""The report's own words (headline, follow-up questions) and its seals: computed from its findings, nothing else."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from hansei.contracts import Finding, Report
from hansei.tools.playbook.telling import where
from hansei.tools.report.formats import format_count

PARTS = ("run", "coverage", "screening", "plan", "follow_ups")


def compose(report: Report) -> Report:
    """The report with its headline, follow-up questions and seals."""
    told = report.model_copy(update={"headline": headline(report), "follow_ups": follow_ups(report.findings)})
    return told.model_copy(update={"seals": seals(told.model_dump(mode="json"))})


def headline(report: Report) -> str:
    """The verdict in one or two sentences."""
    problems = [finding for finding in report.findings if finding.direction != "improvement"]
    better = len(report.findings) - len(problems)
    looked = f"{format_count(report.screening.slices)} slices were compared"
    if not problems:
        text = f"Nothing got worse that could be told from chance; {looked}."
    else:
        first = problems[0]
        text = f"{first.title}."
        urgent = sum(finding.severity in ("critical", "high") for finding in problems)
        count = f"{len(problems)} problem{'s' if len(problems) != 1 else ''}"
        text += f" {count} in all, {urgent} of them critical or high; {looked}."
    if better:
        text += f" {better} thing{'s' if better != 1 else ''} got better."
    return text


def follow_ups(findings: list[Finding]) -> list[str]:
    """Questions that a reader may want to ask next."""
    out = []
    for finding in findings[:3]:
        place = where(finding.segment)
        out.append(f"Show me five traces behind “{finding.title}”.")
        if finding.direction == "regression" and finding.onset is not None:
            out.append(f"What else changed for {place} on {finding.onset:%Y-%m-%d}?")
    return out[:5]


def seals(dump: dict[str, Any]) -> dict[str, str]:
    """SHA-256 of each part of a report's JSON, so that `verify` can say which part was edited.

    It is no protection against someone who computes the seals anew; it is one against slips and silent edits.
    """
    parts = {part: dump[part] for part in PARTS}
    parts["head"] = {key: value for key, value in dump.items() if key not in (*PARTS, "findings", "refuted", "seals")}
    for group in ("findings", "refuted"):
        for i, finding in enumerate(dump[group]):
            parts[f"{group}[{i}]"] = finding
    return {name: _digest(value) for name, value in parts.items()}


def _digest(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
