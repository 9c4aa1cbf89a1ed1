"""Excerpts of traces of any shape fit their bound and show the failing step."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.test_inquiry_untrusted import HOSTILE

from hansei.contracts import Evidence
from hansei.tools.langfuse.masking import Mask, mask, unmasked
from hansei.tools.langfuse.trace_excerpt import FEWEST_CHARACTERS, Excerpt, excerpt
from hansei.tools.langfuse.trace_tree import Score, Step, TraceTree
from hansei.tools.langfuse.untrusted import Text

SEARCH = settings(derandomize=True, deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
AT = datetime(2026, 11, 10, tzinfo=UTC)
EVIDENCE = Evidence(id="q1", purpose="trace", sql="SELECT 1", parameters={}, columns=[], rows=[], row_count=0,
                    rows_read=0, seconds=0.0, result_hash="")  # fmt: skip
TEXTS = st.builds(Text.of, HOSTILE) | st.builds(
    lambda ends, length: Text(ends, ends, 2 * len(ends) + length), HOSTILE, st.integers(1, 10**7)
)


@st.composite
def trees(draw: st.DrawFn) -> TraceTree:
    """Trees of up to some steps, with hostile texts everywhere."""
    steps: list[Step] = []
    for i in range(draw(st.integers(0, 12))):
        parent = draw(st.none() | st.integers(0, i - 1)) if i else None
        steps.append(
            Step(
                id=draw(HOSTILE),
                parent=parent,
                depth=0 if parent is None else steps[parent].depth + 1,
                type=draw(HOSTILE),
                name=draw(HOSTILE),
                start=AT + timedelta(seconds=i),
                offset_ms=i * 1000,
                latency_ms=draw(st.none() | st.integers(-5, 10**9)),
                finished=draw(st.booleans()),
                level=draw(st.sampled_from(["DEFAULT", "ERROR", "WARNING", "</data>"])),
                status_message=draw(HOSTILE),
                model=draw(HOSTILE),
                prompt_name=draw(HOSTILE),
                prompt_version=draw(HOSTILE),
                total_cost=draw(st.none() | st.floats(0, 1e12)),
                input_tokens=draw(st.none() | st.integers(0, 2**60)),
                output_tokens=draw(st.none() | st.integers(0, 2**60)),
                input=draw(TEXTS),
                output=draw(TEXTS),
            )
        )
    scores = draw(st.lists(st.builds(Score, HOSTILE, st.none() | st.floats(), *[HOSTILE] * 5), max_size=4))
    return TraceTree(
        trace_id=draw(HOSTILE), name=draw(HOSTILE), timestamp=AT, user_id=draw(HOSTILE), session_id=draw(HOSTILE),
        environment=draw(HOSTILE), release=draw(HOSTILE), version=draw(HOSTILE),
        tags=tuple(draw(st.lists(HOSTILE, max_size=3))), input=draw(TEXTS), output=draw(TEXTS), steps=tuple(steps),
        of=len(steps) + draw(st.sampled_from([0, 1, 10**6])), scores=tuple(scores),
        failing=draw(st.none() | st.integers(0, len(steps) - 1)) if steps else None, evidence=EVIDENCE,
    )  # fmt: skip


@SEARCH
@given(trees(), st.integers(FEWEST_CHARACTERS, 4_000), st.sampled_from([mask, unmasked]))
def test_an_excerpt_fits_and_marks_the_failing_step(tree: TraceTree, characters: int, masking: Mask) -> None:
    told = excerpt(tree, characters, masking=masking)
    assert len(told.text) <= characters
    assert told.text.count("\n") == len(told.lines) - 1, "a text has begun a line of its own"
    assert "</data" not in told.text.lower()
    marked = [line.step for line in told.lines if line.kind == "step" and line.failing]
    assert marked == ([] if tree.failing is None else [tree.failing])


@SEARCH
@given(trees())
def test_every_step_is_shown_or_counted(tree: TraceTree) -> None:
    told = excerpt(tree, 2_000)
    shown = sum(line.kind == "step" for line in told.lines)
    counted = sum(int(line.text.split()[1].replace(",", "")) for line in told.lines if line.kind == "gap")
    assert shown + counted == tree.of


@SEARCH
@given(trees())
def test_weights_order_all_steps(tree: TraceTree) -> None:
    order = tree.by_weight()
    assert sorted(order) == list(range(len(tree.steps)))
    if tree.failing is not None:
        above = list(tree.above(tree.failing))
        assert order[: 1 + len(above)] == [tree.failing, *above]


def chain(texts: int) -> TraceTree:
    """A trace of 40 steps, one below the other two by two, the 21st failing, with texts of that many characters."""
    steps = tuple(
        Step(
            id=f"s{i}", parent=i - 1 if i % 2 else None, depth=i % 2, type="TOOL", name=f"step{i}", start=AT,
            offset_ms=i, latency_ms=1, finished=True, level="ERROR" if i == 20 else "DEFAULT", status_message="",
            model="", prompt_name="", prompt_version="", total_cost=None, input_tokens=None, output_tokens=None,
            input=Text.of(f"<{i}>" + "i " * (texts // 2)), output=Text.of("o " * (texts // 2)),
        )
        for i in range(40)
    )  # fmt: skip
    return TraceTree("t", "app", AT, "", "", "", "", "", (), Text(), Text(), steps, 40, (), 20, EVIDENCE)


def texts_of(told: Excerpt, step: int) -> int:
    return sum(len(line.text) for line in told.lines if line.kind == "text" and line.step == step)


def test_the_failing_step_gets_the_most_room_then_its_neighbours() -> None:
    told = excerpt(chain(3_000), 8_000)
    of_each = {line.step: texts_of(told, line.step) for line in told.lines if line.step is not None}
    assert of_each[20] > 0.4 * 8_000
    assert of_each[20] > of_each[21] > of_each[22] > of_each[39] == 0


def test_what_fits_is_whole() -> None:
    told = excerpt(chain(20), 20_000)
    assert all(line.whole for line in told.lines)
    assert sum(line.kind == "text" for line in told.lines) == 80


def test_too_little_room_is_an_error() -> None:
    with pytest.raises(ValueError, match="1000"):
        excerpt(chain(1), FEWEST_CHARACTERS - 1)
