"""Shares of a taxonomy, computed from the traces that carry its labels and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from hansei.contracts import Category, Estimate, Evidence, Taxonomy
from hansei.tools.statistics import wilson


def counted(taxonomy: Taxonomy, evidence: Sequence[Evidence]) -> Taxonomy:
    """The taxonomy with each category's share of the traces that got a label, most frequent first.

    Args:
        taxonomy: with the labels of traces.
        evidence: with the query that drew the traces; a label of any other trace counts for nothing.
    """
    drawn = {str(row["trace_id"]) for one in evidence if one.id == taxonomy.sample for row in one.records()}
    kept = [
        one.model_copy(update={"trace_ids": [id for id in one.trace_ids if id in drawn]}) for one in taxonomy.categories
    ]
    read = sum(len(one.trace_ids) for one in kept)
    shares = [one.model_copy(update={"share": _share(one, read)}) for one in kept]
    shares.sort(key=lambda category: -len(category.trace_ids))
    return taxonomy.model_copy(update={"categories": shares})


def category(label: str, definition: str, trace_ids: Sequence[str]) -> Category:
    """A category before its share is counted."""
    nothing = Estimate(value=0.0, n=0, low=0.0, high=1.0)
    return Category(label=label, definition=definition, share=nothing, trace_ids=list(trace_ids))


def _share(one: Category, read: int) -> Estimate:
    interval = wilson(len(one.trace_ids) / read if read else 0.0, read)
    return Estimate(value=interval.value, n=read, low=interval.low, high=interval.high)
