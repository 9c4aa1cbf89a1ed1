"""Whether a slice changed as a whole, in one part alone or in each part by itself: the likelier is told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.parts import MEAN, PARTS, SHARE, Part, cells_of, changed, segments

from hansei.tools.playbook.screen import explain


@pytest.mark.parametrize("seed", range(4))
def test_an_app_in_which_a_step_never_fails_is_not_told_with_the_one_in_which_it_does(seed: int) -> None:
    """In proportion to nothing, its calls could have changed as well: only, that not one fails speaks against it."""
    quiet = Part("research", "TOOL", "refund", calls=70, rate=0.0)
    parts = [replace(part, calls=165, rate=0.008) if part.name == "refund" else part for part in PARTS]
    days = changed({"rate": 0.045}, parts=[*parts, quiet], trace_name="support", name="refund")
    assert segments(explain(cells_of(days, seed), SHARE)[0]) == [{"tool_name": "refund", "trace_name": "support"}]


@pytest.mark.parametrize("seed", range(4))
def test_apps_whose_step_of_one_name_changes_differently_are_told_one_by_one(seed: int) -> None:
    rates = {"support": 0.3, "research": 0.08}
    after = [replace(part, rate=rates[part.trace_name]) if part.name == "lookup" else part for part in PARTS]
    hits, _ = explain(cells_of([PARTS] * 7 + [after] * 7, seed), SHARE)
    assert [hit.segment["trace_name"] for hit in hits] == ["support", "research"]
    assert {hit.segment["tool_name"] for hit in hits} == {"lookup"}


def test_a_model_is_told_and_not_the_step_that_shows_its_change_best() -> None:
    calls = [
        Part("support", "GENERATION", "compare", calls=146, rate=0.003, model="large"),
        Part("research", "GENERATION", "compare", calls=150, rate=0.006, model="large"),
        Part("support", "GENERATION", "rewrite", calls=146, rate=0.016, model="large"),
    ]
    failing = [replace(part, rate=part.rate + 0.03) for part in calls]
    others = [part for part in PARTS if part.type == "TOOL"]
    days = [[*calls, *others]] * 7 + [[*failing, *others]] * 7
    told = [segments(explain(cells_of(days, seed), SHARE)[0]) for seed in range(10)]
    # Chance may make a step look as if nothing had happened to it.
    assert told.count([{"model": "large"}]) >= 7


def test_what_is_told_of_rows_that_stand_in_several_cells_is_told_once() -> None:
    """As a score does, that counts for each prompt of its trace."""
    steps = [Part("support", "TOOL", name, calls=60) for name in "abcdef"]
    after = [replace(part, rate={"a": 0.3, "b": 0.15}.get(part.name, part.rate)) for part in steps]
    cells = cells_of([[*steps, *PARTS[3:]]] * 7 + [[*after, *PARTS[3:]]] * 7)
    assert len(explain(cells, SHARE)[0]) == 2
    assert segments(explain(cells, replace(SHARE, repeats=("trace_name",)))[0]) == [{"tool_name": "a"}]


@pytest.mark.parametrize("seed", range(3))
def test_several_faulty_steps_of_an_app_with_many_are_told_one_by_one(seed: int) -> None:
    """Each of the others is too small to speak against the whole app by itself."""
    steps = [Part("support", "TOOL", name, calls=50) for name in "abcdefghij"]
    worse = {"a": 0.25, "b": 0.15, "c": 0.14, "d": 0.2}
    after = [replace(part, rate=worse.get(part.name, part.rate)) for part in steps]
    hits, _ = explain(cells_of([[*steps, *PARTS[3:]]] * 7 + [[*after, *PARTS[3:]]] * 7, seed), SHARE)
    assert sorted(map(str, segments(hits))) == [f"{{'tool_name': '{name}'}}" for name in "abcd"]


def test_a_change_is_not_told_release_by_release_because_one_ran_for_some_days_before_it() -> None:
    before = [replace(part, calls=400) if part.name == "answer" else part for part in PARTS]
    cheaper = [replace(part, cost=part.cost * 0.7) if part.name == "answer" else part for part in before]
    newer = [replace(part, release="2") for part in cheaper]
    hits, _ = explain(cells_of([before] * 9 + [cheaper] * 2 + [newer] * 3), replace(MEAN, sign=-1))
    assert segments(hits) == [{"observation_name": "answer"}]
