"""Evaluators that no longer agree with users are found; answers that get worse in both their eyes are not.

The project is a small one, written as v3 or v4.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from tests.support.faults import rated
from tests.support.in_memory import Analyse
from tests.support.schemas import both
from tests.support.world import PERIODS, Fault, Visit, make_world

from hansei.demo.tables import Schema


def judged(*, wrong: float, day: int = -7) -> Fault:
    """An evaluator says what the user says, but for that share of the support app's traces."""

    def fault(visit: Visit) -> None:
        if visit.app == "support" and visit.day >= day and visit.scores:
            errs = visit.random.random() < wrong
            visit.judged = [("judge", (1.0 - value if errs else value), "NUMERIC") for _, value, _ in visit.scores]

    return fault


@pytest.mark.parametrize("schema", both("v3"))
def test_a_judge_that_goes_astray(engine: Analyse, schema: Schema) -> None:
    rows = make_world(judged(wrong=0.1), judged(wrong=0.5, day=2), per_day=120)
    (found,) = [one for one in engine(rows, schema).findings if one.kind == "judge_disagreement"]
    assert (found.direction, found.segment["score_name"]) == ("regression", "judge / helpful")
    assert found.onset == PERIODS.window.start + timedelta(days=2)
    values = {(score.trace_id, score.source): score for score in rows.scores}
    pairs = [
        (s, values[s.trace_id, "API"])
        for s in rows.scores
        if s.source == "EVAL" and s.timestamp >= PERIODS.window.start
    ]
    assert found.current.n == len(pairs)
    assert found.current.value == pytest.approx(sum(a.value != b.value for a, b in pairs) / len(pairs))
    assert "kappa" in found.summary


def test_worse_answers_in_the_eyes_of_both_are_no_disagreement(engine: Analyse) -> None:
    rows = make_world(rated("support", 0.5, day=0), judged(wrong=0.1), per_day=120)
    felt = {score.trace_id: score.value for score in rows.scores if score.source == "API"}
    mine = [score for score in rows.scores if score.source == "EVAL"][::3]
    rows.scores += [  # of a third of the traces people say the same as the user, a day later
        replace(one, id=f"people-{one.id}", source="ANNOTATION", value=felt[one.trace_id],
                timestamp=one.timestamp + timedelta(hours=1))
        for one in mine
    ]  # fmt: skip
    for score in rows.scores:  # some are of Hansei's own judge, which writes over the API
        if score.source == "EVAL" and score.timestamp >= PERIODS.window.start + timedelta(days=3):
            score.id, score.source = f"hansei-{score.id}", "API"
    example = next(score for score in rows.scores if score.source == "API")
    rows.scores += [  # a check of Hansei's looked at every trace
        replace(example, id=f"hansei-check-{one.id}", name="no_error", trace_id=one.id, timestamp=one.timestamp,
                value=1.0, data_type="BOOLEAN", string_value="True")
        for one in rows.traces
    ]  # fmt: skip
    report = engine(rows, "v4")
    findings = report.findings
    assert "judge_disagreement" not in {one.kind for one in findings}
    marked = {one.segment["score_name"]: "an evaluator's, calibrated" in one.title for one in findings
              if one.kind == "quality"}  # fmt: skip
    assert marked == {"helpful": False, "judge": True}, "an evaluator's score is no headline without saying so"
    assert report.health is not None
    signs = {one.subject: one for one in report.health.signs if one.name == "score"}
    assert (signs["helpful"].of_evaluators, signs["helpful"].believed) == (0.0, None)
    assert list(signs)[-1] == "no_error", "checks come after all others, however many values they have"
    assert signs["no_error"].of_evaluators == 0.0, "they are no evaluators"
    held, known = (
        signs["judge"].believed,
        [one for one in mine if one.timestamp < PERIODS.window.end - timedelta(hours=1)],
    )
    assert held is not None
    assert held.correlation is not None
    assert signs["judge"].of_evaluators == pytest.approx(0.75, abs=0.01)
    pairs = np.array([(one.value, felt[one.trace_id]) for one in known], dtype=float)
    assert held.labels == len(known)
    assert held.correlation.value == pytest.approx(np.corrcoef(pairs.T)[0, 1])
    assert held.correlation.low < held.correlation.value < held.correlation.high
