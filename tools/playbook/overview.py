"""What the writer asks beside the findings: how the project does, how its steps run, what the example traces hold."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from hansei.contracts import Evidence, Excerpt, ExcerptLine, Finding, Flows, Health
from hansei.errors import NoData, QueryFailed
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.trace_excerpt import excerpt
from hansei.tools.langfuse.trace_tree import read_tree
from hansei.tools.playbook.flow import flows_of, read_flows
from hansei.tools.playbook.health import health_of, read_health

MOST_EXCERPTS = 36
"""Example traces that are quoted: three of each of a dozen findings."""

EXCERPT_CHARACTERS = 1_800


class Overview:
    """The project beside its findings. A query that is refused or takes too long does not cost the report: what it was
    to tell is None, and `notes` say so.

    Args:
        dataset: the data of the run.
        observations: how many there are in both periods.
    """

    def __init__(self, dataset: Dataset, observations: int) -> None:
        self.health: Health | None = None
        self.flows: Flows | None = None
        self.notes: list[str] = []
        try:
            self.health = health_of(read_health(dataset), dataset.periods)
        except QueryFailed as error:
            self.notes.append(f"The project's health was not measured: {error.message}")
        try:
            self.flows = flows_of(read_flows(dataset, observations))
        except QueryFailed as error:
            self.notes.append(f"How the steps ran was not measured: {error.message}")

    @property
    def evidence(self) -> list[Evidence]:
        """The queries behind it."""
        return [item for part in (self.health, self.flows) if part is not None for item in part.evidence]


def read_excerpts(dataset: Dataset, findings: Sequence[Finding]) -> list[Excerpt]:
    """What the example traces look like, the first of each finding before the second of any.

    Traces that are gone or too large are left out: the findings stand without them.
    """
    ranks = zip_longest(*(finding.example_trace_ids for finding in findings))
    examples = dict.fromkeys(trace_id for rank in ranks for trace_id in rank if trace_id)
    found = []
    for trace_id in list(examples)[:MOST_EXCERPTS]:
        try:
            told = excerpt(read_tree(dataset, trace_id), EXCERPT_CHARACTERS)
        except (NoData, QueryFailed):
            continue
        lines = [
            ExcerptLine(kind=line.kind, text=line.text, depth=line.depth, failing=line.failing) for line in told.lines
        ]
        found.append(Excerpt(trace_id=trace_id, lines=lines))
    return found
