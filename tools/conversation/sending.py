"""What a conversation may write elsewhere: a finding's traces as items of a Langfuse dataset. Here it is only planned.

Who asks is a person: the grammar alone makes a `ToDataset`, of their own words; no model fills it in, and no text of a
trace gives it more than the items' contents. The plan goes through the approval gate (`hansei.nodes.approval`).
"""

from __future__ import annotations

import hashlib
import json

from hansei.contracts import Report
from hansei.contracts.asks import ToDataset
from hansei.contracts.writes import WritePlan
from hansei.errors import LangfuseFailed
from hansei.tools.cases import dataset_writes, read_cases
from hansei.tools.conversation.looking import finding_of
from hansei.tools.conversation.naming import Unclear
from hansei.tools.langfuse.api import Api, Patience, in_path, open_api
from hansei.tools.langfuse.connection import missing_keys
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.writeback import plan_to_write

_PATIENCE = Patience(attempts=2)
"""Somebody waits for the preview."""


def run_of(ask: ToDataset, report: Report, number: int) -> str:
    """The run that the writes name in their metadata, by which they are undone: of this one request."""
    asked = json.dumps([report.run.id, number, ask.model_dump(mode="json")], sort_keys=True)
    return f"chat-{hashlib.sha256(asked.encode()).hexdigest()[:16]}"


def plan_dataset(ask: ToDataset, report: Report, dataset: Dataset, number: int) -> WritePlan:
    """Reads the traces and puts together what would be written. Nothing is sent.

    Args:
        ask, report: what is asked for.
        dataset: the report's data.
        number: of the request in its conversation.

    Raises:
        Unclear: there are no keys for Langfuse, or no such finding.
        HanseiError: the traces are gone; Langfuse cannot be reached; its keys belong to another project.
    """
    finding = finding_of(ask.finding, report)
    if missing := missing_keys():
        raise Unclear("no_keys", names=missing)
    cases = read_cases(dataset, finding, ask.traces)
    writes = dataset_writes(report, finding, cases, ask.name, run_of(ask, report, number))
    with open_api(patience=_PATIENCE) as api:
        api.require_project(report.project_id)
        if _is_there(api, ask.name):
            # Items are added; what somebody wrote about their dataset stays.
            writes = [write for write in writes if write.kind != "dataset"]
    failing = sum(case.outcome == "failing" for case in cases)
    what = f"dataset “{ask.name}”: {failing} failing and {len(cases) - failing} passing traces of: {finding.title}"
    return plan_to_write(what, report.project_id, writes)


def _is_there(api: Api, name: str) -> bool:
    try:
        api.ask(api.client.datasets.get, in_path(name))
    except LangfuseFailed as failure:
        if failure.reason == "not_found":
            return False
        raise
    return True
