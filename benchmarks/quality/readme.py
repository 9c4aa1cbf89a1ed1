"""The scorecard's figures as the README shows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from benchmarks.quality.table import Line, Rate, Result, judge

_NAMES = {
    "recall_strong": "strong faults found",
    "recall_medium": "medium faults found",
    "recall_weak": "weak faults found",
    "right_segment": "right segment named, of those found",
    "onset_within_a_day": "onset within a day",
    "precision_critical_high": "critical and high findings that are true",
    "false_per_clean_world": "false findings in a world with traps only",
    "false_discovery_aa": "worlds with nothing in them that have a finding",
    "values_true": "values equal to the truth",
    "coverage": "95 % intervals that cover",
    "lies_refuted": "made-up findings refuted",
    "truths_refuted": "true findings refuted",
}
_SORTS = {"faulty": "with faults", "clean": "with traps only", "aa": "with nothing in them"}


def table(results: Sequence[Result], code: str = "") -> str:
    """What the README shows: which worlds were measured, and each figure that has a threshold.

    Args:
        code: the present version of the code; results of another one are told as such. "": it does not matter.
    """
    counted = Counter(str(result["condition"]) for result in results)
    sizes = sorted(int(result["traces"]) for result in results)
    faults = sum(len(result["planted"]) for result in results)
    worlds = ", ".join(f"{counted[sort]} {words}" for sort, words in _SORTS.items() if counted[sort])
    lines = [
        f"{len(results)} worlds of {sizes[0]:,} to {sizes[-1]:,} traces: {worlds}. {faults} faults were planted.",
        *["Measured on an earlier version of the code."]
        * any(code not in ("", one.get("code", code)) for one in results),
        "",
        "| figure | value (95 % interval) | cases | threshold | |",
        "|---|---|---|---|---|",
        *(_row(line) for line in judge(list(results), strict=True) if line.name in _NAMES),
    ]
    return "\n".join(lines) + "\n"


def _row(line: Line) -> str:
    figure, (low, high) = line.figure, line.figure.interval
    state = {"holds": "", "broken": "**missed**", "too few": "too few cases"}[line.state]
    if not figure.n:
        return f"| {_NAMES[line.name]} | not measured | 0 | {line.threshold} | {state} |"
    if isinstance(figure, Rate):
        value, cases = f"{figure.value:.2f} ({low:.2f}–{high:.2f})", f"{figure.hits} in {figure.n} worlds"
    else:
        value, cases = f"{figure.value:.1%} ({low:.1%}–{high:.1%})", f"{figure.hits} of {figure.n}"
    return f"| {_NAMES[line.name]} | {value.replace('%', ' %')} | {cases} | {line.threshold} | {state} |"
