"""Definitions hold the columns that a query names, and what these need."""

from __future__ import annotations

import pytest

from hansei.tools.langfuse.narrowing import narrowed
from hansei.tools.langfuse.relations import Adapter, Needs
from hansei.tools.langfuse.v3 import V3
from hansei.tools.langfuse.v4 import V4

JOINED = """SELECT r.*, t.name AS trace_name, t.release AS release
    FROM (SELECT id, trace_id, level, if(a = 'x, FROM y', (1, 2), b) AS cost, cost * 2 AS twice FROM o WHERE z) AS r
    LEFT JOIN (SELECT id, name, release, tags FROM t) AS t ON r.trace_id = t.id"""


def test_only_what_is_named_is_left_at_every_depth() -> None:
    assert narrowed(JOINED, "SELECT level, release FROM observations") == (
        """SELECT r.*, t.release AS release
    FROM (SELECT id, trace_id, level FROM o WHERE z) AS r
    LEFT JOIN (SELECT id, release FROM t) AS t ON r.trace_id = t.id"""
    )


def test_a_column_brings_those_that_it_is_made_of() -> None:
    left = narrowed(JOINED, "SELECT sum(twice) FROM observations")
    assert "if(a = 'x, FROM y', (1, 2), b) AS cost, cost * 2 AS twice" in left
    assert "level" not in left


@pytest.mark.parametrize(
    "star", ["SELECT * FROM observations", "SELECT x, * FROM o", "SELECT o.*, 1 FROM observations AS o"]
)
def test_a_query_that_takes_all_gets_all(star: str) -> None:
    assert narrowed(JOINED, star) == JOINED
    assert narrowed(JOINED, "SELECT sum(level * level) FROM observations") != JOINED


def test_nothing_named_leaves_a_select_that_counts() -> None:
    assert narrowed("SELECT a, b FROM t", "SELECT count() FROM o") == "SELECT a FROM t"


ADAPTERS = [
    V3("d", has_experiments=True),
    V4("d", attributes_on_spans=False, has_experiments=True),
    V4("d", all_named=True),
]


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("needs", [Needs(), Needs(trace=True), Needs(totals=True)])
def test_conditions_stay_as_they_are(adapter: Adapter, needs: Needs) -> None:
    """What takes rows out is never touched: only columns are left out."""
    for relation in ("observations", "scores", "traces"):
        whole = adapter.definitions(frozenset({relation}), needs)[relation]
        left = narrowed(whole, f"SELECT count() FROM {relation}")
        assert len(left) < len(whole)
        for clause in ("project_id = {project_id:String}", "{range_start:", "langfuse-", "{environments:", "FINAL"):
            assert left.count(clause) == whole.count(clause)
