"""An evaluation's results as a report tells them: no judge's share without how far it can be believed."""

from __future__ import annotations

from hansei.contracts.calibration import Calibration
from hansei.contracts.evaluation import CriterionResult, EvaluationResult
from hansei.contracts.report import Judgement, Report
from hansei.tools.report.compose import compose


def with_judgements(report: Report, evaluation: EvaluationResult) -> Report:
    """The report with what an evaluation of the same window came to. Its findings stay as they are."""
    told = [_judgement(one) for one in evaluation.results if one.criterion.type == "boolean" and one.pairwise is None]
    return compose(report.model_copy(update={"judgements": told}))


def _judgement(result: CriterionResult) -> Judgement:
    found, one = result.calibration, result.criterion
    calibrated = found if isinstance(found, Calibration) and found.tpr is not None and found.tnr is not None else None
    return Judgement(
        criterion=one.name,
        definition=one.definition,
        kind="code" if one.kind == "code" else "judge",
        failing=result.rate,
        unscored=result.unscored,
        calibration="not_needed" if found == "not needed" else "calibrated" if calibrated else "uncalibrated",
        labels=found.labels if isinstance(found, Calibration) else 0,
        tpr=calibrated.tpr if calibrated else None,
        tnr=calibrated.tnr if calibrated else None,
        corrected=calibrated.corrected if calibrated else None,
    )
