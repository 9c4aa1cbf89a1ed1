"""What the writer asks beside the findings: how the project does, how its steps run, what the example traces hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import zip_longest
from typing import Any

from hansei.contracts import Evidence, Excerpt, ExcerptLine, Finding, Flows, Health
from hansei.errors import PermissionMissing, QueryFailed
from hansei.tools.at_once import together
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.instructions import Instruction, instructions_of
from hansei.tools.langfuse.trace_excerpt import excerpt
from hansei.tools.langfuse.trace_tree import Step, TraceTree, read_trees
from hansei.tools.playbook.flow import flows_of, read_flows
from hansei.tools.playbook.health import health_of, read_health

_LOST = (PermissionMissing, QueryFailed)

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
        self.notes: list[str] = []
        health, flows = together(
            partial(self._measured, "The project's health was not measured", read_health, dataset, observations),
            partial(self._measured, "How the steps ran was not measured", read_flows, dataset, observations),
        )
        self.notes.sort()
        self.health: Health | None = health_of(health, dataset.periods) if health else None
        self.flows: Flows | None = flows_of(flows) if flows else None

    def _measured(self, otherwise: str, read: Callable[..., Any], *given: Any) -> Any:
        try:
            return read(*given)
        except _LOST as error:
            self.notes.append(f"{otherwise}: {error.message}")
            return None

    @property
    def evidence(self) -> list[Evidence]:
        """The queries behind it."""
        return [item for part in (self.health, self.flows) if part is not None for item in part.evidence]


def read_excerpts(dataset: Dataset, findings: Sequence[Finding]) -> list[Excerpt]:
    """What the example traces look like, the first of each finding before the second of any.

    Traces that are gone or too large are left out: the findings stand without them.
    """
    ranks = zip_longest(*([(trace_id, finding) for trace_id in finding.example_trace_ids] for finding in findings))
    examples: dict[str, Finding] = {}
    for trace_id, finding in (pair for rank in ranks for pair in rank if pair is not None):
        examples.setdefault(trace_id, finding)
    chosen = list(examples)[:MOST_EXCERPTS]
    try:
        trees = read_trees(dataset, chosen)
    except _LOST:
        return []
    found = []
    for trace_id in (id for id in chosen if id in trees):
        tree = trees[trace_id]
        told = excerpt(replace(tree, failing=_focus(tree, examples[trace_id])), EXCERPT_CHARACTERS)
        lines = [
            ExcerptLine(kind=line.kind, text=line.text, depth=line.depth, failing=line.failing) for line in told.lines
        ]
        found.append(Excerpt(trace_id=trace_id, lines=lines))
    return found


MOST_INSTRUCTIONS = 3
"""Texts of prompts and definitions of tools that are shown of one finding."""


def read_instructions(dataset: Dataset, findings: Sequence[Finding]) -> dict[str, list[Instruction]]:
    """What the model was told in the first example trace of each finding, by the finding's id.

    The calls in the finding's segment come first, and of tools the one that it is about. Traces that are gone, or whose
    calls do not tell what they were told, give nothing.
    """
    examples = {finding.id: finding.example_trace_ids[0] for finding in findings if finding.example_trace_ids}
    try:
        trees = read_trees(dataset, sorted(set(examples.values())))
    except _LOST:
        return {}
    found: dict[str, list[Instruction]] = {}
    for finding in findings:
        tree = trees.get(examples.get(finding.id, ""))
        calls = (
            sorted((step for step in tree.steps if step.input), key=lambda step: not _is_in(step, finding))
            if tree
            else []
        )
        told = [one for step in calls for one in instructions_of(tree.trace_id, step)] if tree else []
        about = finding.segment.get("tool_name")
        told = list({(one.kind, one.name, one.text): one for one in told}.values())
        prompts = [one for one in told if one.kind == "prompt"][: MOST_INSTRUCTIONS - 1]
        tools = [one for one in told if one.kind == "tool" and one.name == about]
        found[finding.id] = [*prompts, *tools][:MOST_INSTRUCTIONS]
    return found


def _focus(tree: TraceTree, finding: Finding) -> int | None:
    """The step that the finding is about: of those in its segment the one with most of what is measured.

    Where the finding is about failures, the trace's own failing step when it is among them.
    """
    mine = [i for i, step in enumerate(tree.steps) if _is_in(step, finding)]
    if not mine or tree.failing in mine:
        return tree.failing
    if finding.unit == "s":
        return max(mine, key=lambda i: tree.steps[i].latency_ms or 0)
    if finding.unit in ("usd", "tokens"):
        return max(mine, key=lambda i: tree.steps[i].total_cost or 0.0)
    return mine[-1] if finding.kind == "loop" else mine[0]


def _is_in(step: Step, finding: Finding) -> bool:
    """Whether a step is in the segment of a finding, by what steps are known by; False when the segment names none."""
    known = {
        "tool_name": step.name, "observation_name": step.name, "model": step.model, "prompt_name": step.prompt_name,
        "prompt_version": step.prompt_version,
    }  # fmt: skip
    asked = {key: value for key, value in finding.segment.items() if key in known}
    return bool(asked) and all(known[key] == value for key, value in asked.items())
