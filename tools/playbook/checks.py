"""The critic's checks: what a finding must survive. Pure functions of its numbers and its evidence.

Decisive checks decide the verdict; the others are told and leave it. A check that could not be made has `passed` None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from hansei.contracts import Check, Evidence, Finding, Unit, Verdict
from hansei.tools.playbook import rivals
from hansei.tools.playbook.assess import Facts, evidence_for, series
from hansei.tools.playbook.mix import decompose
from hansei.tools.playbook.model import Metric
from hansei.tools.playbook.multiplicity import FALSE_DISCOVERY_RATE
from hansei.tools.playbook.parts import kinds_of_traffic, top_users
from hansei.tools.playbook.rivals import rival_checks
from hansei.tools.playbook.telling import name
from hansei.tools.report.catalogue import say
from hansei.tools.report.formats import (
    format_change,
    format_count,
    format_p,
    format_ratio,
    format_relative,
    format_value,
)
from hansei.tools.statistics import Sums

MIN_AFFECTED = 5
"""Fewer affected traces than this are an anecdote: three failures of three calls prove nothing."""

_SAME = 0.005
"""Two figures of the same thing may differ by this share: rows can arrive between two queries."""

_KEPT = 0.4
"""An effect survives an objection when at least this share of it is left."""

TOLD = frozenset({"one_day"}) | rivals.TOLD
"""Checks that are told and leave the verdict."""

UNMEASURABLE = frozenset({"enough_data", "has_reference"})
"""Checks whose failure says that nothing can be said, not that the finding is wrong."""


def check_all(metric: Metric, finding: Finding, facts: Facts, q: float | None) -> list[Check]:
    """Every check that this kind of finding can be put to, in the order in which they are told."""
    if metric.bound is not None and finding.baseline is None:
        checks = _counted(metric, metric.bound, finding)
    else:
        checks = [_has_reference(finding), _enough_data(metric, finding, facts)]
    if finding.baseline is not None:
        checks += [_large_enough(metric, finding), _not_by_chance(finding, q)]
    if metric.shape == "count":
        checks.append(_weekdays(finding, facts))
    if (again := evidence_for(finding.evidence, "rederive")) is not None:
        checks.append(_rederived(metric, finding, facts, again))
    if finding.comparison.against == "baseline" and (kinds := kinds_of_traffic(finding.evidence)) is not None:
        checks.append(_mix(metric, finding, kinds))
    if (users := top_users(finding.evidence)) is not None:
        checks.append(_one_user(finding, facts, users))
    if finding.comparison.against == "baseline" and finding.baseline is not None and metric.shape != "count":
        checks.append(_one_day(metric, finding, facts))
    return [*checks, *rival_checks(metric, finding, facts)]


def derived_again(metric: Metric, finding: Finding, facts: Facts) -> list[Check]:
    """The check that the critic's road gives the same figure; empty when it was not asked."""
    found = evidence_for(finding.evidence, "rederive")
    return [] if found is None else [_rederived(metric, finding, facts, found)]


def verdict_of(checks: Sequence[Check]) -> Verdict:
    """confirmed when nothing failed; not_measurable when there was too little to go by; refuted otherwise."""
    failed = [check.name for check in checks if check.passed is False and check.name not in TOLD]
    if not failed:
        return "confirmed"
    return "not_measurable" if UNMEASURABLE & set(failed) else "refuted"


def _counted(metric: Metric, bound: float, finding: Finding) -> list[Check]:
    """What a share must be put to that is a finding by itself."""
    n, least = format_count(finding.current.n), format_count(metric.min_n)
    share, shown = format_value(finding.current.value, finding.unit), format_value(bound, finding.unit)
    return [
        Check(
            name="enough_data", passed=finding.current.n >= metric.min_n, detail=say("check.counted", n=n, least=least)
        ),
        Check(
            name="large_enough", passed=finding.current.value >= bound,
            detail=say("check.by_itself", share=share, bound=shown),
        ),
    ]  # fmt: skip


def _has_reference(finding: Finding) -> Check:
    if finding.baseline is None:
        return Check(name="has_reference", passed=False, detail=say("check.no_reference"))
    return Check(
        name="has_reference",
        passed=True,
        detail=say("check.reference", n=format_count(finding.baseline.n)),
    )


def _enough_data(metric: Metric, finding: Finding, facts: Facts) -> Check:
    n, least = finding.current.n, metric.min_n
    if metric.shape == "count":
        total = n + (finding.baseline.n if finding.baseline else 0)
        return Check(
            name="enough_data",
            passed=total >= least,
            detail=say("check.enough_traces", n=format_count(total), least=format_count(least)),
        )
    reference = finding.baseline.n if finding.baseline else 0
    enough = n >= least and reference >= least
    detail = say("check.enough", n=format_count(n), reference=format_count(reference), least=format_count(least))
    if metric.shape == "share" and metric.worse > 0:
        measured = evidence_for(finding.evidence, "measure")
        days = series(measured, facts.periods) if measured else None
        hit = max(days.current.affected, days.before.affected) if days else 0
        enough = enough and hit >= MIN_AFFECTED
        detail += say("check.happened", n=format_count(hit), least=MIN_AFFECTED)
    return Check(name="enough_data", passed=enough, detail=detail)


def _signed(metric: Metric, finding: Finding) -> float:
    """The effect, positive in the direction that the finding claims."""
    better = finding.direction == "improvement" or (metric.shape == "count" and finding.direction == "hotspot")
    return (finding.effect or 0.0) * metric.worse * (-1 if better else 1)


def _size(difference: float, unit: Unit) -> str:
    """A difference without its sign: “14 points”, “0.3 s”."""
    return format_change(abs(difference), unit).lstrip("+")


def _large_enough(metric: Metric, finding: Finding) -> Check:
    assert finding.baseline is not None
    effect = _signed(metric, finding)
    least = max(metric.min_effect, metric.min_relative * abs(finding.baseline.value))
    if finding.direction == "improvement" and metric.shape == "share" and metric.worse > 0:
        least = max(metric.min_effect, 0.4 * abs(finding.baseline.value))
    return Check(
        name="large_enough",
        passed=effect > 0 and effect >= least * (1 - 1e-9),
        detail=say(
            "check.large" if effect > 0 else "check.large_other",
            size=_size(finding.effect or 0.0, finding.unit),
            least=_size(least, finding.unit),
        ),
    )


def _not_by_chance(finding: Finding, q: float | None) -> Check:
    if finding.p_value is None or q is None:
        return Check(name="not_by_chance", passed=False, detail=say("check.untested"))
    return Check(
        name="not_by_chance",
        passed=q <= FALSE_DISCOVERY_RATE,
        detail=say("check.chance", p=format_p(finding.p_value), q=format_p(q, symbol="q"), bound=FALSE_DISCOVERY_RATE),
    )


def _weekdays(finding: Finding, facts: Facts) -> Check:
    weeks = facts.periods.window.length % timedelta(days=7)
    return Check(
        name="same_weekday",
        passed=finding.p_value is not None,
        detail=say("check.weekday_odd" if weeks else "check.weekday"),
    )


def _rederived(metric: Metric, finding: Finding, facts: Facts, found: Evidence) -> Check:
    rows = {(row["source"], row["period"]): row for row in found.records()}
    other = "baseline" if finding.comparison.against == "baseline" else "rest"
    sampled = any(source == "analyst" for source, _ in rows)
    pairs: list[tuple[float, float]] = []
    for period, estimate in (("window", finding.current), (other, finding.baseline)):
        critic = rows.get(("critic", period))
        if critic is None or critic["value"] is None or estimate is None:
            if estimate is not None and metric.shape != "count":
                return Check(name="rederived", passed=False, detail=say(f"check.no_rows_{period}"))
            continue
        value = float(critic["value"])
        if metric.shape == "count" and not sampled:
            value /= (facts.periods.window if period == "window" else facts.periods.baseline).days
        pairs.append((value, float(rows["analyst", period]["value"]) if sampled else estimate.value))
    same = all(abs(a - b) <= _SAME * max(abs(a), abs(b)) + 1e-9 for a, b in pairs)
    shown, first = (say("check.and").join(format_value(pair[side], finding.unit) for pair in pairs) for side in (0, 1))
    key = f"check.{'same' if same else 'other'}{'_part' if sampled else ''}"
    return Check(name="rederived", passed=same, detail=say(key, shown=shown, first=first))


def _mix(metric: Metric, finding: Finding, rows: Sequence[Mapping[str, Any]]) -> Check:
    """How much of the change is within the strata, and how much a shift of the mix."""
    parts = decompose(rows)
    if parts is None:
        return Check(name="mix_shift", passed=True, detail=say("check.one_kind"))
    passed = parts.within_share >= 0.5
    words = {
        "share": format_value(max(0.0, min(1.0, parts.within_share)), "ratio"),
        "label": " / ".join(name(part, 40) for part in parts.label) or say("place.whole"),
        "old": format_ratio(parts.old, 1.0), "new": format_ratio(parts.new, 1.0),
    }  # fmt: skip
    key = "check.mix" if passed else "check.mix_shifted"
    relative = metric.shape == "mean" and parts.reference > 0
    if relative or metric.shape == "share":
        key += "_points"
        of = parts.reference if relative else 1.0
        total = format_relative(parts.reference, parts.reference + parts.total) if relative else ""
        words |= {
            "total": total or format_change(parts.total, "ratio"),
            "mix": format_change(parts.mix / of, "ratio"), "within": format_change(parts.within / of, "ratio"),
        }  # fmt: skip
    return Check(name="mix_shift", passed=passed, detail=say(key, **words))


def changes_by_app(kinds: Sequence[Mapping[str, Any]], *, sign: int, least: int) -> dict[str, float]:
    """How much of y each app has beyond its own rate in the reference, in the direction of `sign`.

    Args:
        kinds: of traffic, whose first name is the app: see `kinds_of_traffic`.
        least: fewest x on either side for an app to be among them.
    """
    sums: dict[str, list[float]] = {}
    for row in kinds:
        mine = sums.setdefault(str(row["stratum"][0]), [0.0] * 4)
        for place, column in enumerate(("x", "y", "reference_x", "reference_y")):
            mine[place] += float(row[column])
    return {
        app: sign * (y - x * before_y / before_x)
        for app, (x, y, before_x, before_y) in sums.items()
        if min(x, before_x) >= least
    }


def _one_user(finding: Finding, facts: Facts, rows: Sequence[Mapping[str, Any]]) -> Check:
    if not rows:
        return Check(name="one_user", passed=None, detail=say("check.no_users"))
    if "user_id" in finding.segment or int(rows[0]["users"]) < 2:
        return Check(name="one_user", passed=None, detail=say("check.about_one_user"))
    measured = evidence_for(finding.evidence, "measure")
    days = series(measured, facts.periods) if measured else None
    if days is None or days.before.x <= 0:
        return Check(name="one_user", passed=None, detail=say("check.no_user_reference"))
    top = rows[0]
    left = days.current.x - float(top["x"])
    before = days.before.x - float(top["reference_x"])
    if left <= 0:
        return Check(name="one_user", passed=False, detail=say("check.all_user", who=name(str(top["user_id"]), 40)))
    rest = (days.current.y - float(top["y"])) / left
    reference = (days.before.y - float(top["reference_y"])) / before if before > 0 else days.before.ratio
    whole = days.current.ratio - days.before.ratio
    share = (rest - reference) / whole if whole else 1.0
    who = name(str(top["user_id"]), 40)
    holds = share >= _KEPT
    told = say(
        "check.holds_user" if holds else "check.without_user", who=who, share=format_value(max(0.0, share), "ratio")
    )
    return Check(name="one_user", passed=holds, detail=told)


def _one_day(metric: Metric, finding: Finding, facts: Facts) -> Check:
    measured = evidence_for(finding.evidence, "measure")
    if measured is None:
        return Check(name="one_day", passed=None, detail=say("check.no_series"))
    days = series(measured, facts.periods)
    before = days.before.ratio
    excess = [sums.y - before * sums.x for sums in days.window]
    total = sum(excess)
    if total == 0 or len(excess) < 2:
        return Check(name="one_day", passed=None, detail=say("check.short"))
    top = max(range(len(excess)), key=lambda i: excess[i] / total)
    rest = Sums.total(sums for i, sums in enumerate(days.window) if i != top)
    left = (rest.ratio - before) / (days.current.ratio - before) if rest.x > 0 else 0.0
    share = excess[top] / total
    day = (facts.periods.window.start + timedelta(days=top)).strftime("%Y-%m-%d")
    holds = left >= _KEPT
    told = say("check.holds_day" if holds else "check.one_day", day=day, share=format_value(min(1.0, share), "ratio"))
    return Check(name="one_day", passed=holds, detail=told)


def left_without(finding: Finding, found: Evidence, facts: Facts) -> float:
    """Which share of a finding's effect is left without the traces of another finding; 0 when no row is left."""
    history = finding.parameters.get("history_days", 0)
    measured = evidence_for(finding.evidence, "measure")
    if measured is None:
        return 1.0
    whole = series(measured, facts.periods, history_days=history)
    rest = series(found, facts.periods, history_days=history)
    effect = whole.current.ratio - whole.before.ratio
    if rest.current.x <= 0 or effect == 0:
        return 0.0
    left = _on_the_same_days(rest.window, whole.window) - whole.before.ratio
    if rest.before.x < whole.before.x:
        # Left out of the reference too: the rest is compared with itself, and counts by its share of the whole.
        reference = rest.before.ratio if rest.before.x > 0 else whole.before.ratio
        left = (rest.current.ratio - reference) * rest.current.x / whole.current.x
    return left / effect


def _on_the_same_days(rest: Sequence[Sums], whole: Sequence[Sums]) -> float:
    """The ratio of what is left, each day with the weight that it had: a cause that came in the middle of the window
    takes its traces from the days since then, and what is left is mostly of the days before it."""
    kept = [(day.ratio, all_of_it.x) for day, all_of_it in zip(rest, whole, strict=True) if day.x > 0]
    return sum(ratio * x for ratio, x in kept) / sum(x for _, x in kept)
