"""A fixed finding that comes back without standing out: measured again, told when it is sure, and counted anew."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.sample_report import sample_report

from hansei.contracts import Estimate, Window
from hansei.contracts.since import Known
from hansei.nodes.again import FIXED_AGAIN, MOST_AGAIN, to_measure
from hansei.tools.ledger import judge
from hansei.tools.ledger.entries import Entry, Measured, RunEntry
from hansei.tools.ledger.fold import fold
from hansei.tools.ledger.recording import run_entry
from hansei.tools.statistics import Sums

AT = datetime(2026, 11, 27, tzinfo=UTC)
REPORT = sample_report()
RUN = run_entry(REPORT)
SEEN = next(one for one in RUN.found if one.metric == "error_rate")
NEXT = Window(start=REPORT.window.end, end=REPORT.window.end + timedelta(days=7))


def _entry(key: str, run: RunEntry) -> Entry:
    return Entry(key=key, scope="acme", kind="run", at=AT, body=run.model_dump(mode="json"))


def _known(**update: Any) -> Known:
    known = fold("acme", [_entry("first", RUN)]).problems[SEEN.id].known
    return known.model_copy(update={"state": "fixed", **update})


def _state(monkeypatch: pytest.MonkeyPatch, known: Known, share: float, half: float, n: int = 2000) -> str:
    """The state of a fixed finding when its error rate is measured as `share`, within `half` to either side."""
    now = Estimate(value=share, n=n, low=share - half, high=share + half)
    numbers = SimpleNamespace(current=now, series=SimpleNamespace(current=Sums(n, n, share * n, affected=1)))
    monkeypatch.setattr(judge, "measured", lambda *_: (numbers, known.segment))
    asked = REPORT.findings[0].evidence[0].model_copy(update={"purpose": "measure"})
    facts: Any = SimpleNamespace(periods=SimpleNamespace(window=NEXT))
    since = judge.since_last([known], [], {known.id: [asked]}, facts, "run", NEXT, AT)
    return since.items[0].state if since.items else "not told"


def test_it_is_told_when_it_is_surely_back_in_part_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    known = _known()
    assert known.expected is not None
    usual, worst = known.expected.value, known.worst.value
    part = usual + 0.4 * (worst - usual)
    assert _state(monkeypatch, known, usual, 0.005) == "not told"
    assert _state(monkeypatch, known, part, 0.01 * (worst - usual)) == "regressed"
    assert _state(monkeypatch, known, part, 0.5 * (worst - usual)) == "not told"
    assert _state(monkeypatch, known, usual + 0.1 * (worst - usual), 0.0) == "not told"
    assert _state(monkeypatch, known, part, 0.01 * (worst - usual), n=3) == "not told"


def test_what_is_back_begins_anew() -> None:
    fixed = Measured(
        id=SEEN.id, state="fixed", now=SEEN.expected, excess_traces=None, excess_cost=None, verdict=None, result_hash=""
    )
    back = fixed.model_copy(update={"state": "regressed", "now": SEEN.current, "excess_traces": 30.0})
    weeks = [NEXT, Window(start=NEXT.end, end=NEXT.end + timedelta(days=7))]
    runs = [
        RunEntry(run_id=f"run-{n}", window=week, baseline=NEXT, found=[], matched={}, measured=[one])
        for n, (week, one) in enumerate(zip(weeks, (fixed, back), strict=True))
    ]
    book = fold("acme", [_entry("first", RUN), *(_entry(run.run_id, run) for run in runs)])
    known = book.problems[SEEN.id].known
    assert (known.state, known.since, known.expected) == ("regressed", weeks[1].start, SEEN.expected)
    before = fold("acme", [_entry("first", RUN), _entry("fixed", runs[0])]).problems[SEEN.id].known
    assert before.state == "fixed"
    assert known.traces == pytest.approx(before.traces + 30)


def test_open_findings_are_measured_first_and_only_they_are_missed() -> None:
    fixed = [_known(id=f"fixed-{n}", severity="critical") for n in range(20)]
    still = [_known(id=f"open-{n}", severity="low", state="ongoing") for n in range(MOST_AGAIN)]
    few, left = to_measure([*fixed, *still[:3]])
    assert ([one.id for one in few[:3]], len(few), left) == (["open-0", "open-1", "open-2"], 3 + FIXED_AGAIN, 0)
    many, left = to_measure([*fixed, *still, _known(id="one-more", severity="low", state="unclear")])
    assert (len(many), left, {one.state for one in many} & {"fixed"}) == (MOST_AGAIN, 1, set())
