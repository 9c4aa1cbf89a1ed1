"""The scorecard's figures from the worlds' results, held against the thresholds."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Result = dict[str, Any]
THRESHOLDS = Path(__file__).with_name("thresholds.json")


@dataclass(frozen=True)
class Share:
    """`hits` of `n`, with Wilson's 95 % interval."""

    hits: int
    n: int

    @property
    def value(self) -> float:
        return self.hits / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        if not self.n:
            return 0.0, 1.0
        z, p, n = 1.959964, self.value, self.n
        centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return max(0.0, (centre - half) / (1 + z * z / n)), min(1.0, (centre + half) / (1 + z * z / n))


@dataclass(frozen=True)
class Rate:
    """Events per world, with the exact 95 % interval of a Poisson count."""

    hits: int
    n: int

    @property
    def value(self) -> float:
        return self.hits / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        from scipy.stats import chi2

        if not self.n:
            return 0.0, math.inf
        low = float(chi2.ppf(0.025, 2 * self.hits)) / 2 if self.hits else 0.0
        return low / self.n, float(chi2.ppf(0.975, 2 * self.hits + 2)) / 2 / self.n


Figure = Share | Rate


def share(flags: Iterable[bool]) -> Share:
    """How many of the flags are true."""
    found = list(flags)
    return Share(sum(found), len(found))


def figures(results: list[Result]) -> dict[str, Figure]:
    """All figures by name, in the order in which they are printed."""
    planted = [one for result in results for one in result["planted"]]
    hits = [one for one in planted if one["finding"]]
    findings = [one for result in results for one in result["findings"]]
    loud = [one for one in findings if one["severity"] in ("critical", "high")]
    probes = [one for result in results for one in result["probes"]]
    lies = [one for result in results for one in result["lies"]]
    clean = [result for result in results if result["condition"] == "clean"]
    alike = [result for result in results if result["condition"] == "aa"]
    false = _false
    out: dict[str, Figure] = {
        f"recall_{strength}": share(bool(one["finding"]) for one in planted if one["strength"] == strength)
        for strength in ("strong", "medium", "weak")
    }
    out |= {
        "right_segment": share(one["place"] == "right" for one in hits),
        "onset_within_a_day": share(one["onset_right"] for one in hits if "onset_right" in one),
        "precision_critical_high": share(one["ruling"] != "false" for one in loud),
        "false_per_clean_world": Rate(sum(map(false, clean)), len(clean)),
        "false_per_faulty_world": Rate(
            sum(false(result) for result in results if result["condition"] == "faulty"),
            sum(result["condition"] == "faulty" for result in results),
        ),
        "false_discovery_aa": share(false(result) > 0 for result in alike),
        "values_true": share(one["values"]["right"] for one in findings if one["values"]["checked"]),
        "values_checked": share(one["values"]["checked"] for one in findings),
        "coverage": share(bool(one["covered"]) for one in probes),
        "coverage_findings": share(flag for one in findings if one["ruling"] == "hit" for flag in one["covered"]),
        "lies_refuted": share(one["verdict"] != "confirmed" for one in lies if one["what"] != "true"),
    }
    for what in ("wrong_number", "wrong_segment", "mix_shift", "duplicates"):
        out[f"lies_{what}"] = share(one["verdict"] != "confirmed" for one in lies if one["what"] == what)
    out["truths_refuted"] = share(one["verdict"] != "confirmed" for one in lies if one["what"] == "true")
    return out


def _false(result: Result) -> int:
    return sum(one["ruling"] == "false" for one in result["findings"])


@dataclass(frozen=True)
class Line:
    """A figure against its threshold. `state`: holds, broken, open (the interval holds both), too few, or told."""

    name: str
    figure: Figure
    threshold: str
    state: str


def judge(results: list[Result], *, strict: bool) -> list[Line]:
    """Each figure with its state.

    Args:
        strict: the point estimate must keep to the threshold, and there must be as many cases as the thresholds' file
            asks for. Otherwise a figure is broken only when its whole interval is beyond the threshold.
    """
    rules = json.loads(THRESHOLDS.read_text(encoding="utf-8"))
    return [_line(name, figure, rules.get(name), strict) for name, figure in figures(results).items()]


def _line(name: str, figure: Figure, rule: dict[str, Any] | None, strict: bool) -> Line:
    if rule is None:
        return Line(name, figure, "", "told")
    low, high = rule.get("at_least", -math.inf), rule.get("at_most", math.inf)
    threshold = " ".join([f"≥ {low:g}"] * (low > -math.inf) + [f"≤ {high:g}"] * (high < math.inf))
    below, above = figure.interval
    if not figure.n or (strict and figure.n < rule["cases"]):
        return Line(name, figure, threshold, "too few")
    if low <= figure.value <= high:
        return Line(name, figure, threshold, "holds")
    return Line(name, figure, threshold, "broken" if strict or above < low or below > high else "open")


def exit_code(lines: list[Line], failed: int, *, strict: bool) -> int:
    """0: every threshold is kept; 1: one is broken; 2: it could not be measured."""
    states = {line.state for line in lines}
    if "broken" in states:
        return 1
    return 2 if failed or (strict and "too few" in states) else 0


def show(lines: list[Line]) -> str:
    """The table as text."""
    out = [f"{'figure':<26} {'value':>7}  {'95 % interval':<16} {'cases':>11}  {'threshold':<16} state"]
    for line in lines:
        low, high = line.figure.interval
        cases = f"{line.figure.hits}/{line.figure.n}"
        value = f"{line.name:<26} {line.figure.value:>7.3f}  [{low:.3f}, {high:.3f}]"
        out.append(f"{value} {cases:>12}  {line.threshold:<16} {line.state}")
    return "\n".join(out)


def told(results: list[Result]) -> str:
    """Every miss, wrong place, false alarm, wrong figure and misjudged draft, one line each: where to look."""
    return "\n".join(
        f"{result['condition']}:{result['seed']} {line}"
        for result in results
        for line in (*_about_planted(result), *_about_findings(result), *_about_lies(result))
    )


def _about_planted(result: Result) -> Iterator[str]:
    for one in result["planted"]:
        name = f"{one['strength']} {one['fault']} {one['spot']} change {one['change']:.3f} on {one['onset']}"
        if not one["finding"]:
            yield f"missed {name}; {one['missed']}"
        elif one["place"] != "right":
            yield f"{one['place']} {name}: told of {one['segment']}"
        elif one.get("onset_right") is False:
            yield f"onset {name}: told {one['found_onset']}"


def _about_findings(result: Result) -> Iterator[str]:
    for one in result["findings"]:
        name = f"{one['severity']} {one['direction']} {one['metric']} {one['segment']}: {one['title']}"
        if one["ruling"] == "false":
            yield f"false {name}"
        if one["values"].get("right") is False:
            yield f"value {name}: {one['values']['told_and_true']}"


def _about_lies(result: Result) -> Iterator[str]:
    for one in result["lies"]:
        if (one["verdict"] == "confirmed") != (one["what"] == "true"):
            yield f"lie {one['what']} {one['metric']} {one['segment']}: {one['verdict']} {one['failed']}"
