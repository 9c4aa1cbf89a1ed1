"""Traffic: traces per day, against the same weekdays of up to four weeks before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hansei.contracts import Comparison, Finding, Segment
from hansei.tools import statistics
from hansei.tools.playbook import telling
from hansei.tools.playbook.assess import DAY
from hansei.tools.playbook.cells import Floats, is_blank, segment_of
from hansei.tools.playbook.model import Candidate, Detector, Metric, Screening, Words
from hansei.tools.playbook.profile import HISTORY_DAYS, Profile, history_start
from hansei.tools.report.catalogue import say
from hansei.tools.report.formats import format_count, format_relative, format_value

PER_DAY = Metric(
    name="traces_per_day",
    kind="traffic",
    unit="traces/day",
    shape="count",
    relation="traces",
    y="1",
    worse=-1,
    min_n=100,
    min_relative=0.2,
    per="days",
    again="count()",
)

_GROUPINGS = ((), ("trace_name",), ("environment",), ("trace_name", "environment"))
_P = 1e-3
"""Screen: a far looser bound than the one on false alarms that follows."""


def screen(profile: Profile) -> Screening:
    """The traces of the window's days, and of the four weeks before it."""
    if not (profile.runs.has_baseline or len(profile.earlier)):
        return Screening.nothing("there are no traces before the window to compare with")
    window = profile.periods.window
    if window.length % DAY:
        return Screening.nothing("the window is no whole number of days, so days cannot be compared")
    days = window.length // DAY
    known = math.ceil((window.start - history_start(profile.periods)) / DAY)
    first = min(int(cells.day.min()) for cells in (profile.runs, profile.earlier) if len(cells))
    history = min(-first, known)
    moved: list[_Moved] = []
    slices, unknown = 0, 0
    for units in _GROUPINGS:
        for values, counts in _daily(profile, units, history, days).items():
            if is_blank(units, values):
                continue
            test = statistics.count_test(list(counts[:history]), list(counts[history:]))
            if test is None:
                unknown += 1
                continue
            slices += 1
            now = float(counts[history:].sum())
            moved.append(_Moved(segment_of(units, values), now, test.expected * days, test.p, test.factor))
    if unknown and not slices:
        return Screening.nothing("no weekday of the window occurs in the days before it")
    return Screening(_told_once(moved), slices)


def _daily(
    profile: Profile, units: Sequence[str], history: int, window: int
) -> dict[tuple[tuple[str, ...], ...], Floats]:
    """Traces by day of each slice: of `history` days before the window, then of the window's."""
    found: dict[tuple[tuple[str, ...], ...], Floats] = {}
    for cells in (profile.earlier, profile.runs):
        if not len(cells):
            continue
        index, names = cells.group(units)
        for i, values in enumerate(names):
            mine = index == i
            counts = np.bincount(cells.day[mine] + history, weights=cells.sums["n"][mine], minlength=history + window)
            found.setdefault(values, np.zeros(history + window))[:] += counts[: history + window]
    return found


@dataclass(frozen=True)
class _Moved:
    """A slice's traffic in the window against what was expected, its p-value, and how much its days scatter."""

    segment: Segment
    now: float
    expected: float
    p: float
    factor: float

    @property
    def change(self) -> float:
        """Relative to what was expected."""
        return self.now / self.expected - 1 if self.expected > 0 else math.inf

    @property
    def counts(self) -> bool:
        """Whether it passes the screen."""
        large = max(self.now, self.expected) >= PER_DAY.min_n
        return large and abs(self.change) >= PER_DAY.min_relative and self.p <= _P

    def shows(self, change: float) -> bool:
        """Whether this part shares a wider slice's change, or is too small to tell."""
        deviation = math.sqrt(max(self.expected, 1.0) * self.factor)
        if abs(change) * self.expected < 3 * deviation:
            return True
        return self.change * math.copysign(1, change) >= 0.25 * abs(change)


def _told_once(slices: list[_Moved]) -> list[Candidate]:
    """The widest slices of which every part moved; what lies inside one of them is told with it."""
    kept: list[_Moved] = []
    for slice_ in sorted(slices, key=lambda s: (len(s.segment), s.p, sorted(s.segment.items()))):
        inside = [part for part in slices if slice_.segment.items() < part.segment.items()]
        told = any(wide.segment.items() <= slice_.segment.items() for wide in kept)
        if slice_.counts and not told and all(part.shows(slice_.change) for part in inside):
            kept.append(slice_)
    return [_candidate(slice_.segment, slice_.change < 0, slice_.p) for slice_ in kept]


def _candidate(segment: dict[str, str], less: bool, p: float) -> Candidate:
    return Candidate(
        detector="traffic",
        metric=PER_DAY.name,
        direction="regression" if less else "hotspot",
        segment=segment,
        comparison=Comparison(against="baseline", segment=segment),
        parameters={"history_days": float(HISTORY_DAYS)},
        strength=round(-math.log10(max(p, 1e-300)), 2),
    )


def tell(finding: Finding) -> Words:
    """Traffic in words."""
    place = telling.where(finding.segment)
    less = finding.direction == "regression"
    before = finding.baseline.value if finding.baseline else None
    title = say(
        "traffic.fell" if less else "traffic.grew", place=place, before=format_count(before and round(before)),
        now=format_count(round(finding.current.value)),
    )  # fmt: skip
    change = format_relative(before, finding.current.value).lstrip("+−")
    moved = ""
    if finding.impact.excess_traces is not None:
        count = format_count(round(finding.impact.excess_traces))
        moved = say("traffic.missing" if less else "traffic.on_top", n=count)
    summary = telling.sentences(
        say("traffic.fell_by" if less else "traffic.grew_by", change=change, since=telling.since(finding)),
        say("traffic.measured", n=format_count(finding.current.n)),
        moved,
    )
    if less:
        return Words(title, summary, None, say("traffic.find_out", place=place))
    share = format_value(abs(finding.impact.share_of_traces or 0), "ratio")
    return Words(title, summary, None, say("traffic.limits", share=share))


DETECTOR = Detector(
    name="traffic",
    question="Where did traffic fall or grow beyond its weekly pattern?",
    metrics=(PER_DAY,),
    tell=tell,
    screen_profile=screen,
    parameters={"history_days": "days before the window that tell what is usual"},
)
