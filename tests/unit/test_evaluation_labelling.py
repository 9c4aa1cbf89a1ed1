"""Drift of a judge, disagreements for review, and which traces to label next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from hansei.contracts import Window
from hansei.contracts.calibration import Unlabelled
from hansei.contracts.evaluation import Compared, Criterion, CriterionResult, EvaluationResult
from hansei.tools.evaluation.calibrating_values import drifts_of
from hansei.tools.evaluation.calibration import split_of
from hansei.tools.evaluation.labelling import TO_LABEL, Pair, disagreements, drift, next_to_label
from hansei.tools.evaluation.queueing import Queue, queue_of
from hansei.tools.writeback import InQueue

START = datetime(2026, 9, 7, 12, tzinfo=UTC)  # a Monday


def _pairs(agreeing: list[int], of: int = 20, **more: str) -> list[Pair]:
    """As many labels a week as `of`, with so many on which both agree."""
    return [
        Pair(f"w{week}-{number}", number < count, True, START + timedelta(weeks=week), **more)
        for week, count in enumerate(agreeing)
        for number in range(of)
    ]


def test_a_judge_that_drifts_is_told_from_one_that_does_not() -> None:
    steady = drift(_pairs([18, 17, 19, 18]), "week")
    falling = drift(_pairs([19, 17, 14, 10]), "week")
    assert steady is not None
    assert falling is not None
    assert [group.name for group in falling.groups] == ["2026-W37", "2026-W38", "2026-W39", "2026-W40"]
    assert (falling.groups[3].n, falling.groups[3].agreement.value) == (20, 0.5)
    assert falling.p < 0.01 < 0.5 < steady.p
    assert falling == drift(reversed(_pairs([19, 17, 14, 10])), "week")


def test_a_slow_decline_is_seen_by_its_trend() -> None:
    """No week differs from the others by much; that each is a little worse than the one before tells."""
    slow = drift(_pairs([18, 17, 17, 16, 15, 14, 13, 12]), "week")
    mixed = drift(_pairs([17, 12, 18, 14, 16, 13, 17, 15]), "week")
    assert slow is not None
    assert mixed is not None
    assert slow.p < 0.02 < mixed.p


def test_models_and_versions_are_held_against_each_other() -> None:
    pairs = _pairs([19], judged_by="large-1") + _pairs([9], judged_by="small-1")
    found = drift(pairs, "judged_by")
    assert found is not None
    assert [group.name for group in found.groups] == ["large-1", "small-1"]
    assert found.p < 0.01
    assert drift(_pairs([4], of=4), "version") is None
    assert drift([*_pairs([18], version="a"), *_pairs([3], of=4, version="b")], "version") is None


def test_weeks_of_earlier_runs_count_as_far_as_the_same_model_judged_them() -> None:
    weeks = _pairs([19, 18, 17, 9], judged_by="large-1")
    of_another = _pairs([0, 0, 0, 0], judged_by="small-1")
    now = [one for one in weeks if one.at >= START + timedelta(weeks=3)]
    found = {one.by: one for one in drifts_of(now, [*weeks, *of_another])}
    assert [round(group.agreement.value * 20) for group in found["week"].groups] == [19, 18, 17, 9]
    assert found["week"].p < 0.01
    assert [group.agreement.n for group in found["judged_by"].groups] == [80, 80]
    assert drifts_of(now, []) == []


def test_chance_alone_is_seldom_called_drift() -> None:
    chance = np.random.default_rng(2)
    alarms = 0
    for _ in range(60):
        found = drift(_pairs(chance.binomial(20, 0.8, size=6).tolist()), "week")
        assert found is not None
        alarms += found.p < 0.05
    assert alarms <= 7


def test_disagreements_are_of_both_kinds_and_leave_the_test_labels_alone() -> None:
    pairs = [Pair(f"m{n}", False, True, START + timedelta(hours=n)) for n in range(200)]
    pairs += [Pair(f"a{n}", True, False, START) for n in range(20)]
    pairs += [Pair(f"s{n}", True, True, START) for n in range(20)]
    found = disagreements(pairs, 20)
    assert len(found) == 20
    assert not any(split_of(one.trace_id) == "test" or one.judge == one.human for one in found)
    missed = [one for one in found if one.human]
    assert len(missed) >= 10
    assert missed == sorted(missed, key=lambda one: one.at, reverse=True)
    assert any(one.judge for one in found)


def test_both_verdicts_are_labelled_and_what_measures_is_drawn_by_chance() -> None:
    judged = {f"t{n}": n % 20 == 0 for n in range(1000)}
    others = {f"t{n}": {"error": n % 20 == 0 or n % 50 == 3, "late": n % 2 == 0} for n in range(1000)}
    found = next_to_label(judged, others)
    assert len(found) == len({one.trace_id for one in found}) == TO_LABEL
    assert sum(one.found for one in found) == TO_LABEL // 2
    assert sum(one.why == "drawn" for one in found) == 30
    assert {split_of(one.trace_id) for one in found if one.why == "drawn"} == {"test"}
    odd = [one for one in found if one.why == "unlikely" and not one.found]
    # It let those pass on which a check that it mostly agrees with fails: there it is most likely wrong.
    assert all(others[one.trace_id]["error"] for one in odd[:5])
    assert found == next_to_label(dict(reversed(judged.items())), others)
    again = next_to_label(judged, others, [one.trace_id for one in found])
    assert not {one.trace_id for one in again} & {one.trace_id for one in found}


def test_a_judge_that_finds_little_leaves_room_for_the_rest() -> None:
    few = next_to_label({f"t{n}": n < 4 for n in range(300)}, {})
    assert (len(few), sum(one.found for one in few)) == (TO_LABEL, 4)
    all_found = next_to_label({f"t{n}": n >= 4 for n in range(300)}, {})
    assert (len(all_found), sum(one.found for one in all_found)) == (TO_LABEL, 46)
    assert next_to_label({}, {}) == []
    assert len(next_to_label({"a": True, "b": False}, {}, ["a"])) == 1


def _to_label(count: int) -> EvaluationResult:
    criterion = Criterion(name="made_up", kind="judge", definition="d")
    result = CriterionResult(
        criterion=criterion, n=count, unscored=0, calibration="uncalibrated",
        to_label=[Unlabelled(trace_id=f"t{n:03}", verdict="pass", why="drawn") for n in range(count)],
    )  # fmt: skip
    return EvaluationResult(
        hansei_version="0", run_id="r", started_at=START, project_id="p", model="m", plan="uniform", population=count,
        traces=count, window=Window(start=START, end=START + timedelta(days=1)), results=[result],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("there", "most", "planned", "proposed"),
    [
        (InQueue(), 50, [], 50),
        (InQueue(frozenset({"t000", "t001", "x"}), waiting=30), 50, [], 20),
        (InQueue(frozenset({"t000"}), waiting=0), 50, [], 50),  # it was labelled
        (InQueue(frozenset({"x"}), waiting=60), 50, [], 0),
        (InQueue(), 10, ["t000", "t001"], 8),
        (InQueue(frozenset({"t000"}), waiting=1), 10, ["t000", "t001"], 8),  # the first one was sent and not noted
        (InQueue(), 0, [], 0),
    ],
)
def test_no_more_wait_in_a_queue_than_may(there: InQueue, most: int, planned: list[str], proposed: int) -> None:
    writes, notes = queue_of(_to_label(80), Queue("q", there, most), planned)
    traces = [str(one.body["object_id"]) for one in writes if one.kind == "queue_item"]
    assert len(traces) == proposed
    assert not set(traces) & (there.traces | set(planned))
    assert bool(notes) == (proposed < 50)


def test_a_pair_goes_into_a_queue_whole_or_not_at_all() -> None:
    """People give each trace a number; a judge of traces has its own list, which is taken in turn with the pairs."""
    compared = Compared(dimension="release", first="1", second="2")
    clearer = Criterion(name="clearer", kind="pairwise", definition="Says more.", compared=compared)
    pairs = [
        Unlabelled(trace_id=mine, verdict="first", why="drawn", against=other)
        for n in range(4)
        for mine, other in ((f"a{n}", f"b{n}"), (f"b{n}", f"a{n}"))
    ]
    alone = Unlabelled(trace_id="a9", verdict="tie", why="unlikely", against="b9")  # b9 is labelled
    of_pairs = CriterionResult(
        criterion=clearer, n=5, unscored=0, calibration="uncalibrated", to_label=[*pairs, alone]
    )  # fmt: skip
    evaluation = _to_label(2)
    evaluation.results.append(of_pairs)
    for most, proposed in [(5, ["a0", "a9", "b0", "t000", "t001"]), (6, ["a0", "a1", "b0", "b1", "t000", "t001"])]:
        writes, notes = queue_of(evaluation, Queue("q", InQueue(), most))
        traces = sorted(str(one.body["object_id"]) for one in writes if one.kind == "queue_item")
        assert (traces, len(notes)) == (proposed, 1)
    config = next(one.body for one in writes if one.kind == "score_config" and one.body["name"] == "clearer")
    assert (config["data_type"], config["min_value"], config["max_value"]) == ("NUMERIC", 1.0, 5.0)
    assert "Says more." in config["description"]
