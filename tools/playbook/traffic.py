"""Traffic: traces per day, against the same weekdays of up to four weeks before."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from hansei.contracts import Comparison, Finding
from hansei.tools.playbook import telling
from hansei.tools.playbook.assess import DAY
from hansei.tools.playbook.attributes import Cohorts
from hansei.tools.playbook.cells import Cells
from hansei.tools.playbook.model import Candidate, Detector, Metric, Screening, Words
from hansei.tools.playbook.profile import Profile
from hansei.tools.playbook.traffic_slices import (
    LEAST,
    LEAST_RELATIVE,
    ONE_EACH,
    Days,
    moved_alone,
    moved_places,
    told_once,
)
from hansei.tools.playbook.visits import HISTORY_DAYS, history_start
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
    min_n=LEAST,
    min_relative=LEAST_RELATIVE,
    per="days",
    again="count()",
)


def screen(profile: Profile) -> Screening:
    """The traces of the window's days, and of the four weeks before it."""
    earlier = profile.visits.earlier
    if not (profile.runs.has_baseline or len(earlier)):
        return Screening.nothing("there are no traces before the window to compare with")
    window = profile.periods.window
    if window.length % DAY:
        return Screening.nothing("the window is no whole number of days, so days cannot be compared")
    known = math.ceil((window.start - history_start(profile.periods)) / DAY)
    least = math.ceil(profile.periods.baseline.length / DAY)
    days = Days(known, window.length // DAY, least)
    places, unknown = moved_places((earlier, profile.runs), days)
    if unknown and not places:
        return Screening.nothing("no weekday of the window occurs in the days before it")
    if profile.visits.carried:
        alone, explained, looked = moved_alone(places, profile.visits.carried, days)
    else:
        carried = _of_two_days(profile.cohorts)
        around, _ = moved_places(tuple(carried.values())[:1], ONE_EACH)
        alone, explained, looked = moved_alone(around, carried, ONE_EACH)
    told = [*told_once(alone), *told_once(places, but=explained)]
    found = [_candidate(one.segment, one.change < 0, one.p) for one in told]
    return Screening(found, len(places) + looked)


def _of_two_days(cohorts: Cohorts) -> dict[str, Cells]:
    """Of very many traces the steps of two days stand for them, which were read for the other detectors anyway."""
    return {
        key: replace(cells, day=np.where(cells.in_window, 0, -1))
        for key, cells in cohorts.cells.items()
        if key != "session_id" and len(np.unique(cells.day)) == 2 and cells.has_baseline
    }


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
    if before:
        change = format_relative(before, finding.current.value).lstrip("+−")
        by = say("traffic.fell_by" if less else "traffic.grew_by", change=change, since=telling.since(finding))
    else:
        by = say("traffic.began")
    moved = ""
    if finding.impact.excess_traces is not None:
        count = format_count(round(finding.impact.excess_traces))
        moved = say("traffic.missing" if less else "traffic.on_top", n=count)
    summary = telling.sentences(
        by,
        say("traffic.measured", n=format_count(finding.current.n)),
        moved,
    )
    someone = any(key in ("user_id", "tag") or key.startswith("metadata.") for key in finding.segment)
    if less:
        return Words(title, summary, None, say("traffic.left" if someone else "traffic.find_out", place=place))
    share = format_value(abs(finding.impact.share_of_traces or 0), "ratio")
    return Words(title, summary, None, say("traffic.quota" if someone else "traffic.limits", place=place, share=share))


DETECTOR = Detector(
    name="traffic",
    question="Where did traffic fall or grow beyond its weekly pattern?",
    metrics=(PER_DAY,),
    tell=tell,
    screen_profile=screen,
    parameters={"history_days": "days before the window that tell what is usual"},
)
