"""How far the scores that evaluators gave can be believed: held against people's annotations of the same name.

An evaluator is a model: Langfuse's (source EVAL) or Hansei's own, whose scores come over the API. Hansei's checks are
none: they need no model and no calibration. People's are annotations (source ANNOTATION). Where both scored the same
traces they can be compared, with all the labels there are, since nobody tuned the evaluator on some of them here; else
the scores are uncalibrated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hansei.contracts import Estimate, HeldAgainstPeople
from hansei.tools.statistics import wilson

OF_CHECKS = "startsWith(id, 'hansei-check-')"
OF_EVALUATORS = f"(source = 'EVAL' OR startsWith(id, 'hansei-') AND NOT {OF_CHECKS})"
OF_PEOPLE = "(source = 'ANNOTATION' AND NOT startsWith(id, 'hansei-'))"

FEWEST = 5
"""Labels of either kind of a yes-or-no score below which there are no rates."""

FEWEST_NUMBERS = 10
"""Labels of a score that is a number below which there is no correlation."""

COLUMNS = ("both", "yes_yes", "yes_no", "no_yes", "no_no", "j", "p", "jj", "pp", "jp")
"""Of `sums_of_pairs`."""

_Z = 1.959964


def sums_of_pairs(judge: str, people: str, yes: str) -> str:
    """SQL of `COLUMNS` over rows that hold both values of a trace, as integers: `both` counts them, the next four do by
    whether either says yes (the evaluator first), the others are the sums of a correlation.

    Args:
        judge, people: the columns.
        yes: what is more than this is a yes.
    """
    table = ", ".join(
        f"countIf(({judge} > {yes}) = {one} AND ({people} > {yes}) = {other}) AS {name}"
        for name, one, other in (("yes_yes", 1, 1), ("yes_no", 1, 0), ("no_yes", 0, 1), ("no_no", 0, 0))
    )
    products = (("j", judge), ("p", people), ("jj", f"{judge} * {judge}"), ("pp", f"{people} * {people}"),
                ("jp", f"{judge} * {people}"))  # fmt: skip
    return f"count() AS both, {table}, " + ", ".join(f"toFloat64(sum({sql})) AS {name}" for name, sql in products)


def held_against_people(row: Mapping[str, Any], *, is_share: bool, is_bad_high: bool) -> HeldAgainstPeople | None:
    """What the columns of `sums_of_pairs` come to; None: there are too few labels.

    Args:
        row: the columns.
        is_share: whether the score is yes or no; else it is a number.
        is_bad_high: whether a yes is what should be found, such as of a score `toxic`.
    """
    both = int(row.get("both") or 0)
    if not is_share:
        correlation = _correlation(row, both)
        return HeldAgainstPeople(labels=both, correlation=correlation) if correlation else None
    if not both:
        return None
    hit, miss, alarm, clear = (int(row[name]) for name in ("yes_yes", "no_yes", "yes_no", "no_no"))
    if not is_bad_high:
        hit, miss, alarm, clear = clear, alarm, miss, hit
    bad, good = hit + miss, clear + alarm
    if min(bad, good) < FEWEST:
        return None
    return HeldAgainstPeople(labels=both, tpr=_share(hit, bad), tnr=_share(clear, good))


def _share(count: int, n: int) -> Estimate:
    found = wilson(count / n, n)
    return Estimate(value=found.value, n=n, low=found.low, high=found.high)


def _correlation(row: Mapping[str, Any], n: int) -> Estimate | None:
    """Pearson's correlation with Fisher's interval (Metron 1 (1921) 3)."""
    if n < FEWEST_NUMBERS:
        return None
    j, p, jj, pp, jp = (float(row[name]) for name in ("j", "p", "jj", "pp", "jp"))
    spread = (jj - j * j / n) * (pp - p * p / n)
    if spread <= 0:
        return None  # either gave one number only
    value = max(-1.0, min(1.0, (jp - j * p / n) / math.sqrt(spread)))
    middle, reach = math.atanh(max(-1 + 1e-9, min(1 - 1e-9, value))), _Z / math.sqrt(n - 3)
    return Estimate(
        value=value, n=n, low=min(value, math.tanh(middle - reach)), high=max(value, math.tanh(middle + reach))
    )  # fmt: skip
