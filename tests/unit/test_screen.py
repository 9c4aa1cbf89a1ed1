"""The screen on made-up cells: it names the narrowest cause, tells causes apart, and is quiet when nothing happened."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.support.parts import ALWAYS, MEAN, PARTS, SHARE, Part, cells_of, changed, segments, steady

from hansei.tools.playbook.expectation import Question
from hansei.tools.playbook.reference import reference_for
from hansei.tools.playbook.screen import both_ways, explain, stand_out


def test_the_narrow_slice_is_named_and_not_what_it_is_part_of() -> None:
    cells = cells_of(changed({"rate": 0.2}, name="refund", trace_name="support"))
    hits, slices = explain(cells, SHARE)
    assert segments(hits) == [{"tool_name": "refund"}]
    assert hits[0].observed == pytest.approx(0.2, abs=0.03)
    assert hits[0].expected == pytest.approx(0.02, abs=0.01)
    # All, two apps, five steps, two more for the step that both have, one model: everything else is one of these again.
    assert slices == 11


def test_a_tool_that_fails_in_one_app_only_is_named_with_the_app() -> None:
    hits, _ = explain(cells_of(changed({"rate": 0.2}, name="lookup", trace_name="research")), SHARE)
    assert segments(hits) == [{"tool_name": "lookup", "trace_name": "research"}]


def test_a_tool_that_fails_everywhere_is_named_alone() -> None:
    hits, _ = explain(cells_of(changed({"rate": 0.2}, name="lookup")), SHARE)
    assert segments(hits) == [{"tool_name": "lookup"}]


def test_an_app_with_one_step_is_told_with_that_step() -> None:
    parts = (*PARTS[:3], Part("digest", "TOOL", "lookup"))
    found, _ = explain(cells_of(changed({"rate": 0.2}, parts=parts, trace_name="digest")), SHARE)
    assert segments(found) == [{"trace_name": "digest", "tool_name": "lookup"}]


def test_a_release_that_changes_the_one_step_that_costs_anything_is_told_with_that_step() -> None:
    parts = [
        Part("support", "TOOL", "lookup", cost=0.0),
        Part("support", "GENERATION", "answer", model="large", cost=5.0),
    ]
    dearer = [replace(part, release="2", cost=1.4 * part.cost) for part in parts]
    cells = cells_of([tuple(parts)] * 9 + [tuple(dearer)] * 5)
    cells.sums["n"][cells.sums["cost"] == 0] = 0
    assert segments(explain(cells, MEAN)[0]) == [{"observation_name": "answer", "release": "2"}]


def test_an_app_of_which_every_step_fails_is_named_itself() -> None:
    hits, _ = explain(cells_of(changed({"rate": 0.15}, trace_name="research")), SHARE)
    assert segments(hits) == [{"trace_name": "research"}]


def test_when_all_fails_the_whole_project_is_named() -> None:
    hits, _ = explain(cells_of(changed({"rate": 0.15})), SHARE)
    assert segments(hits) == [{}]


def test_two_steps_that_fail_where_hardly_anything_ever_did_are_two_causes() -> None:
    """A single failure before, elsewhere, says nothing about where failures belong."""
    rare = Part("support", "TOOL", "export", calls=12, rate=0.0)
    quiet = [rare, *(replace(part, rate=0.0, calls=60) for part in PARTS)]
    once = [replace(rare, rate=1.0, calls=1), *quiet]
    broken = {"refund": 0.25, "write": 0.12}
    after = [replace(part, rate=broken.get(part.name, 0.0)) for part in quiet]
    hits, _ = explain(cells_of([once, *[quiet] * 6, *[after] * 7]), SHARE)
    assert segments(hits) == [{"tool_name": "refund"}, {"observation_name": "write"}]


def test_two_faults_at_once_are_both_named() -> None:
    after = [replace(p, rate={"refund": 0.25, "search": 0.15}.get(p.name, p.rate)) for p in PARTS]
    hits, _ = explain(cells_of([PARTS] * 7 + [after] * 7), SHARE)
    assert sorted(map(str, segments(hits))) == ["{'tool_name': 'refund'}", "{'tool_name': 'search'}"]


def test_a_step_that_costs_more_is_named_by_the_mean() -> None:
    hits, _ = explain(cells_of(changed({"cost": 6.0}, name="answer")), MEAN)
    assert segments(hits) == [{"observation_name": "answer"}]
    assert hits[0].observed == pytest.approx(6.0, rel=0.05)


def test_a_deficit_is_found_by_its_sign() -> None:
    cells = cells_of(changed({"cost": 6.0}, name="write"))
    assert segments(explain(cells, MEAN)[0]) == []
    assert segments(explain(cells, replace(MEAN, sign=-1))[0]) == [{"observation_name": "write"}]


def test_a_model_that_gets_dearer_is_named_and_not_the_step_that_spends_most_on_it() -> None:
    """In the plain sum, the scatter of the dear step drowns what the cheap ones show."""
    cheap = [replace(p, model="large", cost=p.cost / 40, calls=400) for p in PARTS if p.type == "GENERATION"]
    dear = Part("planning", "GENERATION", "plan", model="large", calls=12, cost=60.0)
    other = Part("planning", "GENERATION", "sum up", model="small", calls=80, cost=5.0)
    days = changed({}, parts=[*cheap, dear, other])
    raised = [tuple(replace(p, cost=p.cost * (1.4 if p.model == "large" else 1)) for p in day) for day in days[7:]]
    hits, _ = explain(cells_of([*days[:7], *raised]), MEAN)
    assert segments(hits) == [{"model": "large"}]


@pytest.mark.parametrize("seed", range(4))
def test_the_app_is_named_when_another_one_calls_a_step_of_that_name_as_well(seed: int) -> None:
    """The other app's calls are too few to be cleared by themselves, yet nothing speaks against them."""
    few = Part("research", "TOOL", "refund", calls=40)
    days = changed({"rate": 0.12}, parts=[*PARTS, few], trace_name="support", name="refund")
    hits, _ = explain(cells_of(days, seed), SHARE)
    assert segments(hits) == [{"tool_name": "refund", "trace_name": "support"}]


def test_two_faulty_steps_of_an_app_are_not_told_as_the_app() -> None:
    steps = [Part("support", "TOOL", name, calls=30) for name in "abcdef"]
    after = [replace(p, rate={"a": 0.3, "b": 0.15}.get(p.name, p.rate)) for p in steps]
    hits, _ = explain(cells_of([[*steps, *PARTS[3:]]] * 7 + [[*after, *PARTS[3:]]] * 7), SHARE)
    assert sorted(map(str, segments(hits))) == ["{'tool_name': 'a'}", "{'tool_name': 'b'}"]


@pytest.mark.parametrize("seed", range(5))
def test_a_shift_of_the_mix_explains_nothing(seed: int) -> None:
    """The dear, failing app doubles, the cheap one halves: every average moves, and no part of it."""
    parts = [replace(p, rate=0.1 if p.trace_name == "research" else 0.01) for p in PARTS]
    after = [replace(p, calls=p.calls * 2 if p.trace_name == "research" else p.calls // 2) for p in parts]
    cells = cells_of([parts] * 7 + [after] * 7, seed)
    rate = [cells.sums["errors"][at].sum() / cells.sums["n"][at].sum() for at in (~cells.in_window, cells.in_window)]
    assert rate[1] > 1.3 * rate[0]
    for question in (SHARE, MEAN, replace(SHARE, sign=-1), replace(MEAN, sign=-1)):
        assert segments(explain(cells, question)[0]) == []


def test_a_new_prompt_version_is_compared_with_the_former_ones() -> None:
    cells = cells_of(changed({"prompt": ("answer", "7"), "rate": 0.2}, day=2, name="answer"))
    (hit,), _ = explain(cells, SHARE)
    assert hit.segment == {"prompt_name": "answer", "prompt_version": "7"}
    reference = reference_for(cells, hit, "n")
    assert (reference.against, reference.segment) == ("baseline", {"prompt_name": "answer"})


def test_a_new_release_is_compared_with_the_app_that_it_runs() -> None:
    new = [replace(p, release="2", rate=0.15) if p.trace_name == "support" else p for p in PARTS]
    cells = cells_of([PARTS] * 7 + [[*PARTS[3:], *PARTS[:3], *new[:3]]] * 7)
    (hit,), _ = explain(cells, SHARE)
    assert hit.segment == {"release": "2"}
    assert reference_for(cells, hit, "n").segment == {"trace_name": "support"}


def test_a_step_that_a_release_changes_is_compared_with_itself_in_its_own_app() -> None:
    other = Part("research", "GENERATION", "answer", model="large", cost=40.0)
    new = [replace(p, release="2", cost=p.cost * (2 if p.name == "answer" else 1)) for p in PARTS[:3]]
    cells = cells_of([[*PARTS, other]] * 7 + [[*PARTS, other, *new]] * 7)
    (hit,), _ = explain(cells, MEAN)
    assert hit.segment == {"observation_name": "answer", "release": "2"}
    assert reference_for(cells, hit, "n").segment == {"observation_name": "answer", "trace_name": "support"}


def test_a_step_in_a_rare_environment_is_expected_to_be_as_in_its_own_app() -> None:
    """Where a context has little of its own, the app's other environments say more than another app does."""
    other = Part("research", "GENERATION", "answer", model="small", cost=60.0)
    rare = replace(PARTS[2], environment="staging", calls=8)
    parts = [*PARTS, other, rare]
    days = changed({"prompt": ("answer", "7"), "cost": 8.0}, parts=parts, trace_name="support", name="answer")
    cells = cells_of(days)
    hits, _ = explain(cells, MEAN)
    assert segments(hits) == [{"prompt_name": "answer", "prompt_version": "7"}]


def test_a_new_model_is_compared_with_the_calls_of_its_prompt_where_a_framework_names_all_calls_alike() -> None:
    roles = [
        Part("graph", "GENERATION", "Chat", model="small", prompt=(role, "1"), cost=cost)
        for role, cost in (("supervisor", 1.0), ("coder", 4.0))
    ]
    dearer = [replace(p, model="large", cost=20.0) if p.prompt[0] == "coder" else p for p in roles]
    cells = cells_of([[*PARTS, *roles]] * 9 + [[*PARTS, *dearer]] * 5)
    (hit,), _ = explain(cells, MEAN)
    named = reference_for(cells, hit, "n").segment
    assert named["prompt_name"] == "coder"
    kept = cells.where(cells.codes["prompt"] != cells.values["prompt"].index(("supervisor", "1")))
    assert "prompt_name" not in reference_for(kept, hit, "n").segment


def test_what_was_there_before_is_compared_with_itself() -> None:
    cells = cells_of(changed({"rate": 0.2}, name="refund"))
    (hit,), _ = explain(cells, SHARE)
    assert reference_for(cells, hit, "n").segment == hit.segment


def test_a_prompt_that_was_there_before_is_named_by_its_step() -> None:
    """The same rows: the version is as old as the baseline, so it explains nothing that the step does not."""
    hits, _ = explain(cells_of(changed({"rate": 0.2}, name="answer")), SHARE)
    assert segments(hits) == [{"observation_name": "answer"}]


@pytest.mark.parametrize(
    "day",
    [
        0,
        3,
        5,
    ],
)
def test_the_first_errors_ever_are_seen(day: int) -> None:
    never = [replace(p, rate=0.0) for p in PARTS]
    hits, _ = explain(cells_of(changed({"rate": 0.1}, day=day, parts=never, name="refund")), SHARE)
    assert segments(hits) == [{"tool_name": "refund"}]
    assert 0 <= hits[0].expected < 0.005


@pytest.mark.parametrize(
    "share",
    [
        0.8,
        0.95,
    ],
)
def test_a_high_share_that_falls_is_seen_as_well_as_a_low_one_that_rises(share: float) -> None:
    """8 of 10 good ratings or 2 of 10 bad ones are the same news."""
    parts = [replace(p, calls=40, rate=share) for p in PARTS]
    drop = 3.6 * np.sqrt(2 * share * (1 - share) / 280)  # the same strength, whatever the share
    good = cells_of(changed({"rate": share - 1.6 * drop}, parts=parts, name="refund"), 2)
    bad = replace(good, sums={**good.sums, "errors": good.sums["n"] - good.sums["errors"]})
    question = replace(SHARE, min_relative=0.0)
    assert segments(explain(bad, question)[0]) == [{"tool_name": "refund"}]
    assert segments(explain(good, replace(question, sign=-1))[0]) == [{"tool_name": "refund"}]


def test_three_of_three_is_no_slice() -> None:
    rare = Part("support", "TOOL", "rare", calls=1, rate=1.0)
    hits, _ = explain(cells_of([PARTS] * 11 + [(*PARTS, rare)] * 3), SHARE)
    assert segments(hits) == []


def test_what_always_fails_stands_out_and_is_no_change() -> None:
    parts = [replace(p, rate=0.3) if p.name == "search" else p for p in PARTS]
    cells = cells_of([parts] * 14)
    assert segments(explain(cells, SHARE)[0]) == []
    assert segments(stand_out(cells, ALWAYS)[0]) == [{"tool_name": "search"}]


def test_what_is_told_as_a_change_does_not_stand_out_as_well() -> None:
    cells = cells_of(changed({"rate": 0.4}, name="search"))
    worse, _ = explain(cells, SHARE)
    assert segments(stand_out(cells, ALWAYS)[0]) == [{"tool_name": "search"}]
    assert segments(stand_out(cells, ALWAYS, explained=worse)[0]) == []


def test_what_was_explained_is_not_told_again() -> None:
    cells = cells_of(changed({"rate": 0.2}, name="refund"))
    hits, _ = explain(cells, SHARE)
    assert segments(explain(cells, SHARE, explained=hits)[0]) == []


@pytest.mark.parametrize("question", [SHARE, MEAN], ids=["share", "mean"])
def test_equal_weeks_hardly_ever_pass(question: Question) -> None:
    passed = sum(
        len(explain(cells_of(steady(), seed), replace(question, min_relative=0.0, min_effect=0.0, sign=sign))[0])
        for seed in range(60)
        for sign in (1, -1)
    )
    assert passed <= 6


def test_weeks_whose_days_scatter_hardly_ever_pass() -> None:
    passed = 0
    for seed in range(40):
        random = np.random.default_rng(1000 + seed)
        days = [[replace(p, rate=float(random.gamma(4, 0.02 / 4))) for p in PARTS] for _ in range(14)]
        passed += len(explain(cells_of(days, seed), SHARE)[0])
    assert passed <= 4


@pytest.mark.parametrize("order", range(4))
def test_the_order_of_rows_changes_nothing(order: int) -> None:
    after = [replace(p, rate={"refund": 0.2, "search": 0.1}.get(p.name, p.rate)) for p in PARTS]
    days = [PARTS] * 7 + [after] * 7
    one, other = explain(cells_of(days), SHARE), explain(cells_of(days, shuffled=order), SHARE)
    assert segments(one[0]) == segments(other[0])
    assert [hit.z for hit in one[0]] == pytest.approx([hit.z for hit in other[0]])
    assert one[1] == other[1]


def test_without_a_baseline_or_a_window_nothing_is_said() -> None:
    cells = cells_of(changed({"rate": 0.2}, name="refund"))
    for part in (cells.where(cells.in_window), cells.where(~cells.in_window)):
        assert explain(part, SHARE) == ([], 0)
    assert stand_out(cells.where(~cells.in_window), ALWAYS) == ([], 0)


def test_slices_of_the_same_rows_are_compared_once_whichever_way_they_are_looked_at() -> None:
    cells = cells_of(steady())
    whole, one_app = cells.sums["n"], [("trace_name",), ("step",), ("step", "trace_name")]
    assert cells.row_sets(whole, 30, [("trace_name",)]) == 2
    assert cells.row_sets(whole, 30, [("trace_name",), ("trace_name",)]) == 2
    assert cells.row_sets(whole, 30, one_app) == 2 + 5 + 2, "only “lookup” is of both apps"
    assert cells.row_sets(whole, 1e9, one_app) == 0
    worse = explain(cells, SHARE)[1]
    assert both_ways(cells, SHARE, replace(SHARE, sign=-1))[2] == worse > 0
