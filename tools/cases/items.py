"""Cases as writes to a Langfuse dataset: planned, approved and undone like all writes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from hansei.contracts import Finding, Report
from hansei.tools.cases.collect import Case
from hansei.tools.writeback import Write


def dataset_writes(report: Report, finding: Finding, cases: Sequence[Case], name: str, run_id: str) -> list[Write]:
    """The dataset and an item for each case.

    An item's id is made of project, dataset, finding and trace: written again it is updated. Its expected output is the
    recorded answer for a passing trace; for a failing one it is what must hold, in `expected` of its metadata.
    """
    about = {"hansei_finding": finding.id, "hansei_report": report.run.id}
    body: dict[str, Any] = {"name": name, "description": f"Cases of the finding {finding.id}", "metadata": about}
    writes = [Write(kind="dataset", id=name, body=body)]
    for case in cases:
        identity = _item_id(report.project_id, name, finding.id, case.trace_id)
        item: dict[str, Any] = {
            "dataset_name": name,
            "id": identity,
            "input": _decoded(case.input),
            "source_trace_id": case.trace_id,
            "metadata": {**about, "hansei_run": run_id, "outcome": case.outcome, "expected": case.expected},
        }
        if case.outcome == "passing":
            item["expected_output"] = _decoded(case.output)
        else:
            item["metadata"]["failing_output"] = case.output
        writes.append(Write(kind="dataset_item", id=identity, body=item))
    return writes


def _item_id(*parts: str) -> str:
    told = "".join(f"{len(part)}:{part}" for part in parts)
    return f"hansei-{hashlib.sha256(told.encode()).hexdigest()[:40]}"


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
