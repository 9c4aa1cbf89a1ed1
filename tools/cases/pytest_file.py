"""A pytest file of cases. Texts of traces stand in it as one literal of JSON in ASCII: data that nothing can leave."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib.resources import files

from hansei.contracts import Finding, Report
from hansei.tools.cases.collect import Case

_WIDTH = 100


def pytest_text(report: Report, finding: Finding, cases: Sequence[Case]) -> str:
    """The whole file: the fixed part, and the cases as JSON. No text of a trace, nor of the report, becomes code."""
    frame = files("hansei.tools.cases").joinpath("pytest_frame.txt").read_text("utf-8")
    data = {"report": report.run.id, "finding": finding.id, "cases": [case.model_dump() for case in cases]}
    return frame.replace("__CASES__", _literal(json.dumps(data, ensure_ascii=True, sort_keys=True)))


def _literal(text: str) -> str:
    """ASCII text as Python string literals, one below the other, that together are the text."""
    pieces = [text[start : start + _WIDTH] for start in range(0, len(text), _WIDTH)]
    return "\n".join(f"    {piece!r}" for piece in pieces)


def file_name(finding: Finding) -> str:
    """A name for the file that pytest finds."""
    return f"test_{re.sub(r'[^a-z0-9]+', '_', f'{finding.kind}_{finding.id}'.lower()).strip('_')}.py"
