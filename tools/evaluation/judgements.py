"""An evaluation's results as a report tells them: no judge's share without how far it can be believed."""

from __future__ import annotations

from hansei.contracts.calibration import Calibration
from hansei.contracts.evaluation import CriterionResult, EvaluationResult
from hansei.contracts.report import Judgement, Report
from hansei.tools.report.compose import compose

DRIFTS = 0.01
"""Chance below which a judge is said to agree with people less in some weeks, versions or models than in others."""


def with_judgements(report: Report, evaluation: EvaluationResult) -> Report:
    """The report with what an evaluation of the same window came to. Its findings stay as they are."""
    return compose(report.model_copy(update={"judgements": [judgement_of(one) for one in evaluation.results]}))


def judgement_of(result: CriterionResult) -> Judgement:
    """What one criterion comes to, as a report tells it."""
    found, one = result.calibration, result.criterion
    known = found if isinstance(found, Calibration) else None
    measured = known if known is not None and known.is_measured else None
    return Judgement(
        criterion=one.name,
        definition=one.definition,
        kind=one.kind,
        n=result.n,
        failing=result.rate,
        mean=result.mean,
        shares=result.shares,
        compared=one.compared,
        pairwise=result.pairwise,
        unscored=result.unscored,
        calibration="not_needed" if found == "not needed" else "calibrated" if measured else "uncalibrated",
        labels=known.labels if known else 0,
        tpr=measured.tpr if measured else None,
        tnr=measured.tnr if measured else None,
        corrected=measured.corrected if measured else None,
        agreement=measured.agreement if measured and measured.confusion else None,
        kappa=measured.kappa_interval if measured and measured.confusion else None,
        numeric=measured.numeric if measured else None,
        drifts=[one.by for one in known.drift if one.p < DRIFTS] if known else [],
    )
