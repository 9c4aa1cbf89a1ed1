"""The report's own words (headline, follow-up questions) and its seals: computed from its findings, nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from hansei.contracts import Finding, Report
from hansei.tools.playbook.telling import where
from hansei.tools.report.catalogue import say, speaking
from hansei.tools.report.formats import format_count


def compose(report: Report) -> Report:
    """The report with its headline, follow-up questions and seals."""
    with speaking(report.language):
        told = report.model_copy(update={"headline": headline(report), "follow_ups": follow_ups(report.findings)})
    return told.model_copy(update={"seals": seals(told.model_dump(mode="json"))})


def headline(report: Report) -> str:
    """The verdict in one or two sentences."""
    problems = [finding for finding in report.findings if finding.direction != "improvement"]
    better = len(report.findings) - len(problems)
    looked = _counted("report.looked", report.screening.slices)
    if not problems:
        text = say("report.nothing", looked=looked)
    else:
        urgent = sum(finding.severity in ("critical", "high") for finding in problems)
        count = _counted("report.problems", len(problems))
        text = say("report.first", title=problems[0].title, problems=count, urgent=urgent, looked=looked)
    return say("report.better", text=text, count=better) if better else text


def _counted(key: str, count: int) -> str:
    return say(key, count=format_count(count))


def follow_ups(findings: list[Finding]) -> list[str]:
    """Questions that a reader may want to ask next."""
    out = []
    for finding in findings[:3]:
        place = where(finding.segment)
        out.append(say("report.show", title=finding.title))
        if finding.direction == "regression" and finding.onset is not None:
            out.append(say("report.what_else", place=place, date=f"{finding.onset:%Y-%m-%d}"))
    return out[:5]


def seals(dump: dict[str, Any]) -> dict[str, str]:
    """A seal per part of a report's JSON: eight hexadecimal digits for each value in it, in order, see `leaves`.

    With them `verify` names the very value that was edited. They are no protection against someone who computes them
    anew; they are one against slips and silent edits.
    """
    return {name: " ".join(seal(path, value) for path, value in leaves(part, name)) for name, part in _parts(dump)}


def seal(path: str, value: Any) -> str:
    """The seal of one value at its place."""
    return hashlib.sha256(f"{path}={json.dumps(value)}".encode()).hexdigest()[:8]


def leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The values of a part with their paths, such as ``findings[0].current.value``.

    Each row of evidence is one value, and so is an empty list or object.
    """
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            if key == "rows" and "result_hash" in value:
                yield from ((f"{path}.rows[{i}]", row) for i, row in enumerate(inner))
            else:
                yield from leaves(inner, f"{path}.{key}")
    elif isinstance(value, list) and value:
        for i, inner in enumerate(value):
            yield from leaves(inner, f"{path}[{i}]")
    else:
        yield path, value


def sealed_parts(dump: dict[str, Any]) -> dict[str, list[tuple[str, Any]]]:
    """What each seal of `seals` covers: the paths and values of its part."""
    return {name: list(leaves(part, name)) for name, part in _parts(dump)}


def _parts(dump: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in dump.items():
        if key in ("findings", "refuted"):
            yield from ((f"{key}[{i}]", finding) for i, finding in enumerate(value))
        elif key != "seals":
            yield key, value
