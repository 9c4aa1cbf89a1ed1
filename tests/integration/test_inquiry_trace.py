"""One trace, read by its id on every engine and in both schemas, and told in a few lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.inquiry import AT, CANARY, dataset_in, hard_traces
from tests.support.job import writing
from tests.support.schemas import both

from hansei.errors import NoData
from hansei.tools.clickhouse import open_reader
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.masking import unmasked
from hansei.tools.langfuse.trace_excerpt import DEEPEST, FEWEST_CHARACTERS, excerpt
from hansei.tools.langfuse.trace_tree import TraceTree, read_tree


@pytest.fixture(scope="module", params=both("v4"))
def dataset(request: pytest.FixtureRequest, place: Any) -> Iterator[Dataset]:
    url = f"{place.url}_{request.param}"
    with writing(url) as client:
        made = dataset_in(client, reader := open_reader(url), request.param, hard_traces())
        yield made
        reader.close()
        client.command(f"DROP DATABASE {client.database}")


def outline(tree: TraceTree) -> list[tuple[int, str]]:
    return [(step.depth, step.id) for step in tree.steps]


def test_steps_lie_below_their_parents_in_the_order_of_time(dataset: Dataset) -> None:
    tree = read_tree(dataset, "nested")
    assert outline(tree) == [(0, "agent"), (1, "plan"), (1, "lookup"), (1, "answer")]
    plan = tree.steps[1]
    assert (plan.offset_ms, plan.latency_ms, plan.total_cost) == (100, 1000, 0.002)
    assert (plan.model, plan.prompt_name, plan.prompt_version) == ("large-1", "plan", "4")
    assert (plan.input_tokens, plan.output_tokens) == (10, 5)
    assert (tree.name, tree.timestamp, tree.of, tree.errors, tree.latency_ms) == ("support", AT, 4, 2, 1400)


def test_the_failing_step_is_the_innermost_that_failed(dataset: Dataset) -> None:
    tree = read_tree(dataset, "nested")
    assert tree.failing is not None
    assert tree.steps[tree.failing].id == "lookup"
    assert [tree.steps[i].id for i in tree.above(tree.failing)] == ["agent"]
    lines = excerpt(tree, 2_000).text.splitlines()
    marked = lines.index(next(line for line in lines if "▶" in line))
    assert "▶ #3 TOOL lookup · at 200 ms · 1.0 s · ERROR · id lookup" in lines[marked]
    assert [line.strip() for line in lines[marked + 1 : marked + 4]] == [
        "status: 503 from orders",
        'input (12 characters): {"order": 7}',
        'output (24 characters): {"error": "unavailable"}',
    ]


@pytest.mark.parametrize("focus", ["plan", "#2"])
def test_another_step_can_be_asked_for(dataset: Dataset, focus: str) -> None:
    tree = read_tree(dataset, "nested", focus)
    assert tree.failing == 1
    assert "▶ #2 GENERATION plan" in excerpt(tree).text


def test_orphans_and_circles_are_told_once_each(dataset: Dataset) -> None:
    orphan = read_tree(dataset, "orphan")
    assert outline(orphan) == [(0, "lost"), (0, "root")]
    assert orphan.failing == 0
    assert "its parent is not there" in excerpt(orphan).text
    circle = read_tree(dataset, "circle")
    assert outline(circle) == [(0, "self"), (0, "one"), (1, "two"), (2, "three")]
    assert excerpt(circle).text.count("its parents form a circle") == 2


def test_a_deep_trace_is_indented_no_further_than_some_levels(dataset: Dataset) -> None:
    tree = read_tree(dataset, "deep")
    assert tree.steps[-1].depth == 1_499
    told = excerpt(tree, 60_000, masking=unmasked).text
    assert len(told) <= 60_000
    assert max(len(line) - len(line.lstrip()) for line in told.splitlines()) == 2 * DEEPEST
    assert "depth 1499" in told


def test_of_thousands_of_steps_the_failing_one_is_shown(dataset: Dataset) -> None:
    tree = read_tree(dataset, "wide")
    assert tree.of == 6_000
    told = excerpt(tree, 3_000).text
    assert len(told) <= 3_000
    assert "w5432 · " in told
    assert "input (10 characters): input 5432" in told
    assert "steps not shown" in told


def test_of_huge_texts_both_ends_are_shown_and_their_length(dataset: Dataset) -> None:
    tree = read_tree(dataset, "huge")
    for characters in (FEWEST_CHARACTERS, 5_000, 50_000):
        told = excerpt(tree, characters).text
        assert characters * 0.6 < len(told) <= characters
        assert "input (2,000,000 characters): x y" in told
        assert "characters left out…" in told


def test_of_versions_the_newest_counts_and_what_is_deleted_or_foreign_is_out(dataset: Dataset) -> None:
    tree = read_tree(dataset, "versions")
    assert outline(tree) == [(0, "v")]
    assert (tree.steps[0].level, tree.failing) == ("DEFAULT", None)


def test_a_step_without_an_end_stands_out(dataset: Dataset) -> None:
    tree = read_tree(dataset, "silent")
    assert tree.failing is not None
    assert tree.steps[tree.failing].id == "hangs"
    assert "without an end" in excerpt(tree).text


def test_the_traces_own_texts_and_scores_are_told_masked(dataset: Dataset) -> None:
    told = excerpt(read_tree(dataset, "told")).text
    assert "input (19 characters): What is the matter?" in told
    assert "user [e-mail]" in told
    assert "helpful = False (write to [e-mail])" in told
    assert "tags vip" in told
    assert "bob@example.com" in excerpt(read_tree(dataset, "told"), masking=unmasked).text


def test_a_trace_without_steps_is_told(dataset: Dataset) -> None:
    tree = read_tree(dataset, "empty")
    assert (tree.steps, tree.of, tree.failing) == ((), 0, None)
    assert "trace empty · support" in excerpt(tree).text


@pytest.mark.parametrize("unknown", ["nowhere", "foreign", "judged", "old", "", "x" * 5_000, "' OR 1 = 1 --"])
def test_a_trace_that_is_not_ours_is_unknown_in_the_same_words(dataset: Dataset, unknown: str) -> None:
    with pytest.raises(NoData) as one:
        read_tree(dataset, unknown)
    with pytest.raises(NoData) as other:
        read_tree(dataset, "certainly-nowhere")
    assert str(one.value) == str(other.value)


def test_nothing_of_another_project_is_in_a_tree_or_its_evidence(dataset: Dataset) -> None:
    tree = read_tree(dataset, "nested")
    assert CANARY not in repr(tree)


def test_the_evidence_holds_no_texts(dataset: Dataset) -> None:
    tree = read_tree(dataset, "hostile", id="q7")
    assert tree.evidence.id == "q7"
    assert not {"input", "output"} & set(tree.evidence.columns)
    assert tree.evidence.row_count == 1
