"""What verdicts come to: shares and means with their intervals, and what could not be scored."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from hansei.contracts import Estimate
from hansei.contracts.evaluation import UNCALIBRATED, Criterion, CriterionResult, Verdict
from hansei.contracts.spent import Usage
from hansei.tools.evaluation.checks import NOT_APPLICABLE
from hansei.tools.evaluation.choosing import Chosen
from hansei.tools.evaluation.finding_traces import SOUND
from hansei.tools.evaluation.sequential import anytime_interval
from hansei.tools.statistics import wilson

EXAMPLES = 5


def result_of(
    criterion: Criterion, chosen: Sequence[Chosen], verdicts: Sequence[Verdict], *, missing: str = "",
    usage: Usage | None = None, kept: int = 0, drawn_from: int | None = None,
) -> CriterionResult:  # fmt: skip
    """What one criterion comes to on the chosen traces.

    Args:
        criterion: what was judged.
        chosen: the traces, with what each stands for; those that stand for none are left out.
        verdicts: of this criterion; others are left out.
        missing: why traces have no verdict at all.
        usage: of the model.
        kept: how many verdicts were kept from before.
        drawn_from: with the sequential plan, the population: the interval of a share holds whenever judging stopped.
    """
    beside = [one for one in chosen if one.stratum == SOUND]
    chosen = [one for one in chosen if one.weight > 0]
    wanted = {one.id for one in chosen}
    by_trace = {one.trace_id: one for one in verdicts if one.criterion == criterion.name and one.trace_id in wanted}
    reasons = Counter(one.unscored for one in by_trace.values() if one.unscored)
    absent = sum(one.id not in by_trace for one in chosen)
    if absent:
        reasons[missing or "not_judged"] += absent
    not_applicable = reasons.pop(NOT_APPLICABLE, 0)
    scored = [(one, by_trace[one.id]) for one in chosen if one.id in by_trace and not by_trace[one.id].unscored]
    failing = [verdict for _, verdict in scored if verdict.value is False]
    fields: dict[str, object] = {}
    if criterion.type == "boolean":
        fields["rate"] = share_of([(one, verdict.value is False) for one, verdict in scored])
        if drawn_from is not None and scored:
            held = anytime_interval(len(failing), len(scored), drawn_from)
            fields["rate"] = Estimate(value=held.value, n=len(scored), low=held.low, high=held.high)
        fields["sound"] = _rate_of([one.id for one in beside], criterion.name, verdicts)
    elif criterion.type == "numeric":
        fields["mean"] = mean_of([(one, float(verdict.value or 0)) for one, verdict in scored])
    else:
        shares = {
            name: share_of([(one, verdict.value == name) for one, verdict in scored]) for name in criterion.categories
        }
        fields["shares"] = {name: share for name, share in shares.items() if share is not None}
    return CriterionResult.model_validate(
        {
            "criterion": criterion, "n": len(scored), "failing": len(failing), "unscored": sum(reasons.values()),
            "not_applicable": not_applicable, "reasons": dict(sorted(reasons.items())),
            "calibration": "not needed" if criterion.kind == "code" else UNCALIBRATED,
            "usage": usage or Usage(), "kept": kept, "examples": failing[:EXAMPLES], **fields,
        }
    )  # fmt: skip


def _rate_of(traces: Sequence[str], criterion: str, verdicts: Sequence[Verdict]) -> Estimate | None:
    """The failing share of traces that were drawn alike; None: none has a value."""
    wanted = set(traces)
    failed = [
        one.value is False
        for one in verdicts
        if one.criterion == criterion and one.trace_id in wanted and not one.unscored
    ]
    if not failed:
        return None
    interval = wilson(sum(failed) / len(failed), len(failed))
    return Estimate(value=interval.value, n=len(failed), low=interval.low, high=interval.high)


def compared_result(
    criterion: Criterion, found: Mapping[str, Any] | None, missing: str, usage: Usage | None
) -> CriterionResult:
    """What a pairwise criterion comes to.

    Args:
        criterion: what was judged.
        found: as the node that compares leaves it: pairwise, reasons, kept; None: nothing was compared.
        missing: why not.
        usage: of the model.
    """
    told: Mapping[str, Any] = found or {"pairwise": None, "reasons": {missing: 1}, "kept": 0}
    reasons, pairwise = dict(told["reasons"]), told["pairwise"]
    unscored = sum(reasons.values())
    return CriterionResult.model_validate(
        {
            "criterion": criterion, "n": pairwise["pairs"] - unscored if pairwise else 0, "unscored": unscored,
            "reasons": reasons, "pairwise": pairwise, "kept": told["kept"], "calibration": UNCALIBRATED,
            "usage": usage or Usage(),
        }
    )  # fmt: skip


def share_of(marked: Sequence[tuple[Chosen, bool]]) -> Estimate | None:
    """The share of the population that is marked, with a 95 % interval; None: nothing is known.

    Strata count as much as they hold of the population (Cochran, Sampling Techniques, 3rd ed., 1977, chapter 5); the
    interval is Wilson's, with as many trials as give the stratified estimate's variance.
    """
    if not marked:
        return None
    strata = _strata([(one, float(hit)) for one, hit in marked])
    whole = sum(weight for weight, _ in strata)
    share = sum(weight * sum(values) / len(values) for weight, values in strata) / whole
    trials = float(len(marked))
    if len(strata) > 1:
        # Laplace's share of each stratum, so that one without a hit is not taken for certain.
        variance = 0.0
        for weight, values in strata:
            part = (sum(values) + 1) / (len(values) + 2)
            variance += (weight / whole) ** 2 * part * (1 - part) / len(values)
        smooth = (share * len(marked) + 1) / (len(marked) + 2)
        trials = min(trials, smooth * (1 - smooth) / variance)
    interval = wilson(share, trials)
    return Estimate(value=share, n=len(marked), low=interval.low, high=interval.high)


def mean_of(measured: Sequence[tuple[Chosen, float]]) -> Estimate | None:
    """The mean over the population with a 95 % interval (Student's t); None: fewer than two values."""
    if len(measured) < 2:
        return None
    from scipy.special import stdtrit

    strata = _strata(measured)
    whole = sum(weight for weight, _ in strata)
    mean = sum(weight * sum(values) / len(values) for weight, values in strata) / whole
    pooled = sum((value - sum(values) / len(values)) ** 2 for _, values in strata for value in values)
    freedom = max(1, len(measured) - len(strata))
    deviation = math.sqrt(sum((weight / whole) ** 2 * pooled / freedom / len(values) for weight, values in strata))
    reach = float(stdtrit(freedom, 0.975)) * deviation
    return Estimate(value=mean, n=len(measured), low=mean - reach, high=mean + reach)


def _strata(measured: Sequence[tuple[Chosen, float]]) -> list[tuple[float, list[float]]]:
    """Of each stratum, how many traces it stands for and its values. Traces without a value stand for none."""
    weights: Counter[str] = Counter()
    values: dict[str, list[float]] = {}
    for one, value in measured:
        weights[one.stratum] += 1
        values.setdefault(one.stratum, []).append(value * 1.0)
    of = {one.stratum: one.weight for one, _ in measured}
    return [(weights[name] * of[name], values[name]) for name in sorted(values)]


def usage_by_criterion(used: Mapping[str, Usage]) -> dict[str, Usage]:
    """Of each judge, from the meter's nodes: ``judge <criterion>``."""
    return {node.partition(" ")[2]: usage for node, usage in used.items() if node.startswith("judge ")}
