"""Judges of categories, numbers and pairs held against people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from hansei.contracts import Window
from hansei.contracts.calibration import Calibration
from hansei.contracts.evaluation import Compared, Criterion, CriterionResult, EvaluationResult, Verdict
from hansei.tools.evaluation.agreement import Confusion, Numbers
from hansei.tools.evaluation.calibrating import calibrated
from hansei.tools.evaluation.calibrating_pairs import calibration_of_pairs, pairs_to_label
from hansei.tools.evaluation.calibrating_values import calibration_of_values, drawn_to_label
from hansei.tools.evaluation.calibration import split_of
from hansei.tools.evaluation.labelling import TO_LABEL
from hansei.tools.evaluation.labels import Label, Rule, Said, rule_of
from hansei.tools.evaluation.pairs import Tally

AT = datetime(2026, 11, 2, tzinfo=UTC)
TONE = Criterion(name="tone", kind="judge", type="categorical", definition="d", categories=["kind", "curt", "rude"])
DEPTH = Criterion(name="depth", kind="judge", type="numeric", definition="d", lowest=0, highest=10)
CLEARER = Criterion(
    name="clearer", kind="pairwise", definition="d", compared=Compared(dimension="release", first="1", second="2")
)


def _label(trace: str, said: Said, week: int = 0) -> Label:
    return Label(trace, said, AT + timedelta(weeks=week), "default")


def _verdict(trace: str, value: float | str, criterion: Criterion) -> Verdict:
    return Verdict(trace_id=trace, criterion=criterion.name, version=criterion.version, value=value)


def test_kappa_and_rates_of_categories_are_those_of_the_books() -> None:
    """Fleiss, Levin, Paik, Statistical Methods for Rates and Proportions, 3rd ed., table 18.1: kappa 0.676."""
    counts = ((75, 1, 4), (5, 4, 1), (0, 0, 10))
    found = Confusion(("psychotic", "neurotic", "organic"), counts)
    assert (found.n, found.agreement.value) == (100, pytest.approx(0.89))
    assert found.kappa is not None
    assert found.kappa.value == pytest.approx(0.676, abs=0.0005)
    assert found.kappa.low < 0.6 < 0.676 < found.kappa.high < 0.85
    tpr, tnr = found.rates("neurotic")
    assert tpr is not None
    assert tnr is not None
    assert (tpr.value, tnr.value) == (pytest.approx(0.4), pytest.approx(89 / 90))
    assert Confusion(("a", "b"), ((9, 0), (0, 0))).kappa is None, "chance alone agrees fully"
    perfect = Confusion(("a", "b"), ((10, 0), (0, 10))).kappa
    assert perfect is not None
    assert 0.6 < perfect.low < 1 == perfect.value, "twenty labels without a mistake are no certainty"


def test_numbers_are_compared_by_rank_by_distance_and_by_their_mean() -> None:
    judge, people = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0), (2.0, 1.0, 4.0, 3.0, 6.0, 5.0)
    found = Numbers(judge, people, span=10)
    assert found.spearman is not None
    assert found.spearman.value == pytest.approx(1 - 6 * 6 / (6 * 35))
    assert (found.within.value, found.bias.value) == (1.0, 0.0)
    assert Numbers(judge, people, span=9).within.value == 0.0
    above = Numbers(tuple(one + 2 for one in people), people, span=10)
    assert (above.bias.value, above.within.value) == (pytest.approx(2.0), 0.0)
    assert above.spearman is not None
    assert 0 < above.spearman.low < 1 == above.spearman.value
    assert Numbers((3.0,) * 6, people, span=10).spearman is None


def test_the_interval_of_kappa_holds_the_truth() -> None:
    chance = np.random.default_rng(3)
    truth = np.full((3, 3), 0.02) + np.diag([0.4, 0.3, 0.12])
    same, expected = np.trace(truth), (truth.sum(axis=0) * truth.sum(axis=1)).sum()
    kappa = (same - expected) / (1 - expected)
    held = 0
    for _ in range(200):
        drawn = chance.multinomial(60, truth.ravel()).reshape(3, 3)
        found = Confusion(("a", "b", "c"), tuple(map(tuple, drawn.tolist()))).kappa
        held += found is not None and found.low <= kappa <= found.high
    assert held >= 180  # of 200; below with 95 % each is a chance of 1 in 1,000


def test_a_judge_of_categories_is_told_by_category_and_only_from_test_labels() -> None:
    traces = [f"t{n}" for n in range(60)]
    people = {one: _label(one, ("kind", "curt")[n % 2]) for n, one in enumerate(traces)}
    judge = {
        one: _verdict(one, "curt" if n % 10 == 0 else ("kind", "curt")[n % 2], TONE) for n, one in enumerate(traces)
    }
    found = calibration_of_values(TONE, judge, people, [])
    assert found is not None
    tested = [one for one in traces if split_of(one) == "test"]
    assert (found.labels, found.tested, found.is_measured) == (60, len(tested), True)
    missed = sum(n % 10 == 0 for n, one in enumerate(traces) if one in tested)
    by_name = {one.name: one for one in found.categories}
    kind = by_name["kind"]
    assert found.confusion["kind"]["curt"] == missed > 0
    assert kind.tpr is not None
    assert kind.tpr.value == pytest.approx(1 - missed / kind.people)
    assert (by_name["rude"].people, by_name["rude"].tpr) == (0, None)
    assert found.agreement is not None
    assert found.agreement.value == pytest.approx(1 - missed / len(tested))
    assert {one.trace_id for one in found.disagreements} == {
        one for n, one in enumerate(traces) if n % 10 == 0 and split_of(one) != "test"
    }
    assert calibration_of_values(TONE, judge, {}, []) is None
    few = calibration_of_values(TONE, judge, dict(list(people.items())[:8]), [])
    assert few is not None
    assert (few.is_measured, "at least 10 are needed" in few.note) == (False, True)
    unlabelled = drawn_to_label(judge, dict(list(people.items())[:20]))
    assert len(unlabelled) == 40
    assert {one.verdict for one in unlabelled} == {"kind", "curt"}


def test_a_judge_of_numbers_drifts_when_it_moves_away_from_people() -> None:
    traces = [f"t{n}" for n in range(80)]
    people = {one: _label(one, float(n % 10), week=n // 40) for n, one in enumerate(traces)}
    judge = {
        one: _verdict(one, float(n % 10) + (3.0 if n >= 40 and n % 10 < 7 else 0.0), DEPTH)
        for n, one in enumerate(traces)
    }
    found = calibration_of_values(DEPTH, judge, people, [])
    assert found is not None
    assert found.numeric is not None
    assert (found.numeric.tolerance, found.numeric.bias.value > 0.5) == (1.0, True)
    assert (found.tpr, found.confusion) == (None, {})
    [drift] = found.drift
    assert (drift.by, drift.p < 0.01) == ("week", True)
    assert next(one.agreement.value for one in drift.groups) == 1.0


def test_a_judge_is_not_measured_on_the_examples_that_it_was_shown() -> None:
    tested = [f"t{n}" for n in range(300) if split_of(f"t{n}") == "test"]
    examples = [{"trace": one, "verdict": "fail", "why": "It is."} for one in tested[:3]]
    criterion = Criterion.model_validate({"name": "c", "kind": "judge", "definition": "d", "examples": examples})
    verdicts = [
        Verdict(trace_id=one, criterion="c", version=criterion.version, value=n % 2 > 0) for n, one in enumerate(tested)
    ]
    result = CriterionResult(criterion=criterion, n=len(tested), unscored=0, calibration="uncalibrated")
    evaluation = EvaluationResult(
        hansei_version="0", run_id="r", started_at=AT, project_id="p", model="m", plan="uniform", population=300,
        traces=300, window=Window(start=AT, end=AT + timedelta(days=1)), results=[result],
    )  # fmt: skip
    labels = {"c": {one: _label(one, True) for one in tested}}
    [found] = calibrated(evaluation, verdicts, labels).results
    assert isinstance(found.calibration, Calibration)
    assert (found.calibration.labels, found.calibration.tested) == (len(tested) - 3, len(tested) - 3)
    [unlabelled] = calibrated(evaluation, verdicts, {}).results
    assert not {one.trace_id for one in unlabelled.to_label} & set(tested[:3])


def _pair(n: int, said: str, **more: str) -> Verdict:
    return Verdict(
        trace_id=f"a{n}", against=f"b{n}", criterion="clearer", version=CLEARER.version, value=said, **more
    )  # fmt: skip


def test_pairs_are_held_against_what_people_prefer() -> None:
    pairs, labels = list[Verdict](), dict[str, Label]()
    for n in range(60):
        people = (5.0, 3.0) if n % 3 == 0 else (2.0, 4.0) if n % 3 == 1 else (3.0, 3.0)
        labels |= {f"a{n}": _label(f"a{n}", people[0]), f"b{n}": _label(f"b{n}", people[1])}
        pairs.append(_pair(n, ("first", "second", "tie")[n % 3] if n % 5 else "first"))
    pairs.append(_pair(60, "first"))
    found = calibration_of_pairs(pairs, labels)
    assert found is not None
    assert (found.labels, found.is_measured, found.drift) == (60, True, [])
    tested = [n for n in range(60) if split_of(f"a{n}") == "test"]
    right = sum(bool(n % 5) or n % 3 == 0 for n in tested)
    assert found.agreement is not None
    assert found.agreement.value == pytest.approx(right / len(tested))
    both = [n for n in tested if n % 3 != 2]
    assert found.decided is not None
    assert found.decided.n == len(both)
    assert found.decided.value == pytest.approx(sum(bool(n % 5) or n % 3 == 0 for n in both) / len(both))
    assert calibration_of_pairs(pairs, {}) is None


def test_a_judge_of_pairs_drifts_over_weeks_and_models() -> None:
    """In the second week it prefers the wrong one half of the time; an earlier run's model did so in both."""
    labels = dict[str, Label]()
    for n in range(80):
        labels |= {f"a{n}": _label(f"a{n}", 5.0, n // 40), f"b{n}": _label(f"b{n}", 1.0, n // 40)}
    now = [_pair(n, "second" if n >= 40 and n % 2 else "first", judged_by="large") for n in range(80)]
    before = [_pair(n, "second" if n % 2 else "first", judged_by="small") for n in range(80)]
    found = calibration_of_pairs(now, labels, [*before, _pair(90, "first", judged_by="small")])
    assert found is not None
    drifts = {one.by: one for one in found.drift}
    assert [group.agreement.value for group in drifts["week"].groups] == [1.0, 0.5]
    assert {group.name: group.agreement.value for group in drifts["judged_by"].groups} == {"large": 0.75, "small": 0.5}
    assert max(one.p for one in found.drift) < 0.01


def test_both_traces_of_a_pair_are_labelled_and_what_measures_is_drawn_by_chance() -> None:
    pairs = [_pair(n, "first") for n in range(200)]
    odd = [n for n in range(200) if split_of(f"a{n}") != "test"]
    others = {f"a{n}": {"error": True} for n in odd[:4]} | {f"b{n}": {"error": True} for n in odd[4:]}
    half = odd[5]  # of this one only the second trace lacks a label
    labels = {id: _label(id, 3.0) for id in ("a7", "b7", f"a{half}")}
    found = pairs_to_label(pairs, others, labels)
    assert len(found) == len({one.trace_id for one in found}) == TO_LABEL - 1, "no pair is cut in two"
    assert "a7" not in {one.trace_id for one in found}
    assert {split_of(f"a{one.trace_id[1:]}") == "test" for one in found if one.why == "drawn"} == {True}
    assert sum(one.why == "drawn" for one in found) == pytest.approx(0.6 * TO_LABEL, abs=2)
    # A check finds something in the trace that the judge prefers: there it is most likely wrong.
    assert {one.trace_id[1:] for one in found if one.why == "unlikely"} >= {str(n) for n in odd[:4]}
    assert [(one.trace_id, one.against) for one in found[:2]] == [
        (found[0].trace_id, found[1].trace_id), (found[1].trace_id, found[0].trace_id),
    ]  # fmt: skip
    alone = pairs_to_label(pairs, {}, labels)
    assert next(one.trace_id for one in alone if one.why == "unlikely") == f"b{half}", "one label makes a pair of it"
    assert pairs_to_label([], others, labels) == []


def test_a_liking_for_a_place_is_told_by_place() -> None:
    def both(one: str, turned: str) -> tuple[Verdict, Verdict]:
        return _verdict("a b as_named", one, CLEARER), _verdict("a b turned", turned, CLEARER)

    given = (
        [both("first", "second")] * 3 + [both("second", "first")] + [both("first", "tie")] + [both("tie", "tie")] * 5
    )
    told = Tally.of(given, "stopped").pairwise
    assert (told.pairs, told.tie, told.first) == (10, 5, 0)
    shares = [one and one.value for one in (told.order_dependent, told.first_place, told.second_place)]
    assert shares == [pytest.approx(0.5), pytest.approx(0.3), pytest.approx(0.1)]


@pytest.mark.parametrize(
    ("criterion", "feedback", "score", "said"),
    [
        (TONE, None, (None, "curt", "CATEGORICAL"), "curt"),
        (TONE, None, (None, "cruel", "CATEGORICAL"), None),
        (TONE, "thumbs", (1.0, "", "BOOLEAN"), None),
        (DEPTH, None, (7.0, "", "NUMERIC"), 7.0),
        (DEPTH, None, (11.0, "", "NUMERIC"), None),
        (DEPTH, "stars>=4", (1.0, "", "BOOLEAN"), None),
        (CLEARER, None, (4.0, "", "NUMERIC"), 4.0),
        (CLEARER.model_copy(update={"true_means": "fail"}), None, (4.0, "", "NUMERIC"), -4.0),
        (CLEARER, None, (None, "", "CATEGORICAL"), None),
        (CLEARER, "stars>=4", (4.0, "", "NUMERIC"), True),
        (CLEARER, "stars", (2.0, "", "NUMERIC"), 2.0),
    ],
)
def test_what_a_score_says_to_each_kind_of_judge(
    criterion: Criterion, feedback: str | None, score: tuple[float | None, str, str], said: Said | None
) -> None:
    rule: Rule = rule_of(criterion, feedback)
    assert rule.said(*score) == said
    own = criterion.kind != "pairwise" or feedback is None
    assert (rule.score, rule.any_source) == ((criterion.name, False) if own else ("stars", True))
