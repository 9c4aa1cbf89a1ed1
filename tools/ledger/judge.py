"""What became of earlier findings: a pure function of what the ledger knew and of the evidence of this run.

Absence proves nothing. A finding that did not stand out again may be gone, may have become what is usual (the baseline
now holds it too), or may have lost its traffic. So its metric is measured again and held against what was expected when
it was found:

- fixed: there is enough traffic, the interval reaches the expected range, and it excludes that half of the excess is
  left;
- ongoing: the run found it anew, or the interval lies beyond the expected range;
- unclear: too little traffic, or an interval that allows for both;
- regressed: it was fixed, and the run found it anew, or its interval lies beyond the expected range again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from hansei.contracts import SEVERITIES, Comparison, Estimate, Evidence, Finding, Periods, Segment, Window
from hansei.contracts.since import Effect, Known, LedgerState, Since, SinceItem, SinceReason
from hansei.tools import statistics
from hansei.tools.ledger.asking import moment_of, spans
from hansei.tools.ledger.effect import Days, difference, verdict
from hansei.tools.ledger.fold import expired, so_far
from hansei.tools.ledger.identity import is_problem, matches, place_of
from hansei.tools.playbook.assess import Facts, Numbers, evidence_for, measure_numbers, series
from hansei.tools.playbook.catalogue import detector_of
from hansei.tools.playbook.model import Candidate, Metric
from hansei.tools.statistics import Sums

DAY = timedelta(days=1)

REPLACED = 0.05
"""A version whose share of what took its place is below this has been replaced."""

ORDER: tuple[LedgerState, ...] = ("fixed", "regressed", "new", "ongoing", "unclear")
"""In which a report tells them."""

HALF = 0.5

BACK = 0.2
"""Of what was wrong, so much must be there again for certain before a fixed finding is said to be back."""

OWN, PLACE = "own", "place"
"""What a finding's ledger evidence is named after: its own rows, and what these took the place of."""


def evidence_id(known: Known, part: str) -> str:
    """Begins the ids of a finding's ledger evidence, unlike those of any finding of the report."""
    return f"ledger.{known.id}.{part}"


def since_last(
    known: Sequence[Known], findings: Sequence[Finding], again: Mapping[str, Sequence[Evidence]], facts: Facts,
    run_id: str, window: Window, started: datetime, not_measured: int = 0,
) -> Since:  # fmt: skip
    """All of it, what is fixed first.

    Args:
        known: what the ledger knew.
        findings: the report's confirmed ones.
        again: the ledger's id → what was asked about it in this run.
        facts: the spans of this run.
        run_id, window: of the last run before it.
        started: of this run; mutings that ended before are over.
        not_measured: how many open findings were left out.
    """
    matched = matches(known, findings)
    found = {mine: finding for finding in findings if (mine := matched.get(finding.id))}
    items = [
        item(one, found.get(one.id), again.get(one.id, ()), facts, started)
        for one in known
        if one.id in found or one.state != "fixed" or again.get(one.id)
    ]
    # What is fixed and stays so is not told again.
    items = [one for one in items if one.known is None or is_open(one.known) or one.state != "fixed"]
    items += [_new(finding, facts) for finding in findings if is_problem(finding) and finding.id not in matched]
    severities = {one.id: one.severity for one in known} | {one.id: one.severity for one in findings}

    def place(one: SinceItem) -> tuple[int, int, str]:
        mine = severities.get(one.finding_id or one.id, "low")
        return ORDER.index(one.state), SEVERITIES.index(mine), one.id

    return Since(run_id=run_id, window=window, items=sorted(items, key=place), not_measured=not_measured)


def is_open(known: Known) -> bool:
    """Whether it is not fixed, or is waited for what a fix has done."""
    return known.state != "fixed" or (known.acted is not None and known.settled is None)


def again_from_report(since: Since, findings: Sequence[Finding], facts: Facts, answers: Mapping[int, Evidence],
                      started: datetime) -> Since:  # fmt: skip
    """`since_last` once more, from fresh answers to the queries that stand in a report."""
    known = [one.known for one in since.items if one.known is not None]
    again = {one.id: [answers.get(id(item), item) for item in one.evidence] for one in since.items}
    return since_last(known, findings, again, facts, since.run_id, since.window, started, since.not_measured)


def _new(finding: Finding, facts: Facts) -> SinceItem:
    window = facts.periods.window
    cost, traces = _costs_of(finding, window)
    return SinceItem(
        known=None, id=finding.id, state="new", reason="found", finding_id=finding.id, now=finding.current,
        measured_on=finding.segment, excess_traces=traces, excess_cost=cost,
        age_days=_age(finding.onset or window.start, window), cost=max(0.0, cost or 0.0),
        traces=max(0.0, traces or 0.0),
    )  # fmt: skip


def item(
    known: Known, finding: Finding | None, evidence: Sequence[Evidence], facts: Facts, started: datetime
) -> SinceItem:
    """What became of one finding of the ledger."""
    window = facts.periods.window
    since, muted = known.since, None if known.muted is None or expired(known.muted, started) else known.muted
    state: LedgerState
    reason: SinceReason
    now: Estimate | None
    if finding is not None:
        back = known.state == "fixed"
        state, reason, now, on = "regressed" if back else "ongoing", "found", finding.current, finding.segment
        since = (finding.onset or window.start) if back else since
        cost, traces = _costs_of(finding, window)
        numbers = None if back else measured(known, evidence, facts)[0]
        if numbers is not None:
            # What it costs is counted against what was expected when it came: a later reference may hold it too.
            own = _excess(known, numbers)
            cost, traces = (cost if own[0] is None else own[0]), (traces if own[1] is None else own[1])
    else:
        numbers, on = measured(known, evidence, facts)
        now = numbers.current if numbers else None
        state, reason = decide(known, now) if evidence_for(evidence, "measure") else (_still(known), "not_measured")
        if known.state == "fixed":
            back = reason == "measured" and _is_back(known, now)
            state, since = ("regressed", window.start) if back else ("fixed", since)
        cost, traces = _excess(known, numbers) if numbers and state != "fixed" else (None, None)
    totals = so_far(known, cost, traces, window)
    return SinceItem(
        known=known, id=known.id, state=state, reason=reason, finding_id=finding.id if finding else None, now=now,
        measured_on=on, excess_traces=traces, excess_cost=cost, age_days=_age(since, window), cost=totals[0],
        traces=totals[1], muted=muted, effect=effect_of(known, evidence, facts.periods), evidence=list(evidence),
    )  # fmt: skip


def _still(known: Known) -> LedgerState:
    return "ongoing" if known.state in ("new", "regressed") else known.state


def _age(since: datetime, window: Window) -> float:
    return round(max(0.0, (window.end - since) / DAY), 3)


def _costs_of(finding: Finding, window: Window) -> tuple[float | None, float | None]:
    weekly = finding.impact.cost_per_week
    return None if weekly is None else weekly * window.days / 7, finding.impact.excess_traces


def measured(known: Known, evidence: Sequence[Evidence], facts: Facts) -> tuple[Numbers | None, Segment]:
    """The finding's figures now, and the rows that they are of: its own, or, when these have been replaced, what they
    took the place of."""
    _, metric = detector_of(known.metric)
    own = _numbers(metric, known, known.segment, evidence, OWN, facts)
    place = _numbers(metric, known, place_of(known), evidence, PLACE, facts)
    if place is None:
        return own, known.segment
    rows = own.current.n if own else 0
    if rows < REPLACED * place.current.n:
        return place, place_of(known)
    return own, known.segment


def _numbers(
    metric: Metric, known: Known, segment: Segment, evidence: Sequence[Evidence], part: str, facts: Facts
) -> Numbers | None:
    mine = [one for one in evidence if one.id.startswith(f"{evidence_id(known, part)}.")]
    if not mine:
        return None
    candidate = Candidate(
        detector="", metric=metric.name, direction=known.direction, segment=segment,
        comparison=Comparison(against="baseline", segment=segment), parameters=known.parameters,
    )  # fmt: skip
    return measure_numbers(metric, candidate, mine, facts)


def decide(known: Known, now: Estimate | None) -> tuple[LedgerState, SinceReason]:
    """The state that a measured value speaks for."""
    _, metric = detector_of(known.metric)
    least = 0 if metric.shape == "count" else metric.min_n
    if now is None or now.n < least:
        return "unclear", "too_little"
    sign = _sign(known, metric)
    expected, tolerance = expected_of(known, metric)
    excess = max(tolerance, sign * (known.worst.value - expected))
    best, pessimistic = sorted((sign * (now.low - expected), sign * (now.high - expected)))
    if best > tolerance:
        return "ongoing", "measured"
    if pessimistic <= max(tolerance, HALF * excess):
        return "fixed", "measured"
    return ("ongoing", "measured") if sign * (now.value - expected) > HALF * excess else ("unclear", "between")


def _is_back(known: Known, now: Estimate | None) -> bool:
    """Whether a finding that was fixed is there again without standing out: the whole interval lies beyond the expected
    range, and so much further that a fifth of the former excess is back. Less may be what is usual by now."""
    _, metric = detector_of(known.metric)
    sign = _sign(known, metric)
    expected, tolerance = expected_of(known, metric)
    excess = sign * (known.worst.value - expected)
    return now is not None and min(sign * (now.low - expected), sign * (now.high - expected)) > max(
        tolerance, BACK * excess
    )


def expected_of(known: Known, metric: Metric) -> tuple[float, float]:
    """What was expected when the finding was made, and how far from it is still within the expected range: what does
    not matter to a person, or the expectation's own interval."""
    if known.expected is None:
        return metric.bound or 0.0, 0.0
    expected = known.expected
    sign = _sign(known, metric)
    own = sign * ((expected.high if sign > 0 else expected.low) - expected.value)
    tolerance = max(metric.min_effect, metric.min_relative * abs(expected.value), own)
    # However wide that is: half of what was wrong is not within the expected range.
    return expected.value, min(tolerance, HALF * abs(known.worst.value - expected.value))


def _sign(known: Known, metric: Metric) -> int:
    """1: the finding is about more than expected; -1: about less."""
    if metric.shape == "count" and known.expected is not None:
        return 1 if known.worst.value > known.expected.value else -1
    return metric.worse


def _excess(known: Known, numbers: Numbers) -> tuple[float | None, float | None]:
    """US dollars and traces of the window beyond what was expected; None: not known."""
    _, metric = detector_of(known.metric)
    expected, _ = expected_of(known, metric)
    sums, now = numbers.series.current, numbers.current
    beyond = (now.value - expected) * metric.worse
    cost = beyond * sums.x if metric.unit == "usd" else None
    if metric.shape == "share" and metric.worse > 0:
        return cost, max(0.0, sums.affected * (1 - expected / now.value)) if now.value > 0 else 0.0
    if metric.shape == "share":
        return cost, max(0.0, beyond * sums.x)
    if metric.shape == "quantile" and sums.x > 0:
        return cost, max(0.0, (sums.ratio - (1 - metric.level)) * sums.x)
    return cost, None


def effect_of(known: Known, evidence: Sequence[Evidence], periods: Periods) -> Effect | None:
    """What the fix has done so far; None when nothing was done, or it cannot be measured yet."""
    acted, asked = known.acted, evidence_for(evidence, "effect")
    if acted is None or asked is None:
        return None
    moment = moment_of(evidence_for(evidence, "began"), acted)
    compared = spans(acted, moment, periods.window.end) if moment is not None else None
    if compared is None:
        return None
    # First by what was agreed on; only where that was too little, by all that has come since.
    agreed = timedelta(days=acted.days)
    short = Window(start=compared.window.start, end=min(compared.window.end, compared.window.start + agreed))
    first = _effect(known, asked, compared, short)
    if first is None or first.verdict != "too_early" or short == compared.window:
        return first
    return _effect(known, asked, compared, compared.window)


def _effect(known: Known, asked: Evidence, compared: Periods, after: Window) -> Effect | None:
    acted, (_, metric) = known.acted, detector_of(known.metric)
    assert acted is not None
    names = dict.fromkeys(str(row["sibling"]) for row in asked.records())
    parts = {name: _days(asked, name, compared, after) for name in names}
    mine = acted.segment.get(acted.siblings, "") if acted.siblings else ""
    treated = parts.pop(mine, None)
    if treated is None:
        return None
    others = {name: days for name, days in parts.items() if name not in acted.not_among}
    relative = metric.shape == "mean" and metric.unit in ("usd", "tokens", "steps")
    found = difference(treated, others, relative=relative)
    if found is None:
        return None
    expected = 1 - metric.level if metric.shape == "quantile" else expected_of(known, metric)[0]
    gap = metric.worse * (treated.first.ratio - expected)
    needed = gap if gap > 0 else None
    complete = after.length >= timedelta(days=acted.days)
    said, more = verdict(
        found, treated, metric.worse, needed, complete=complete,
        traces_a_day=treated.last.clusters / after.days, left=acted.days - after.days,
    )  # fmt: skip
    return Effect(
        before=compared.baseline, after=after, treated_before=_estimate(treated.first),
        treated_after=_estimate(treated.last), siblings=list(found.siblings), siblings_before=found.before,
        siblings_after=found.after, relative=relative, effect=found.value,
        unit="ratio" if metric.shape == "quantile" else metric.unit, low=found.low, high=found.high, needed=needed,
        verdict=said, more_traces=more,
    )  # fmt: skip


def _days(asked: Evidence, name: str, compared: Periods, after: Window) -> Days:
    mine = [row for row in asked.rows if str(row[asked.columns.index("sibling")]) == name]
    part = asked.model_copy(update={"rows": mine})
    days = series(part, Periods(window=after, baseline=compared.baseline))
    return Days(days.reference, days.window)


def _estimate(sums: Sums) -> Estimate:
    interval = statistics.mean_interval(sums, statistics.Dispersion())
    return Estimate(value=interval.value, n=round(sums.x), low=interval.low, high=interval.high)
