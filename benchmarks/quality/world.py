"""Worlds: a company with faults and traps planted in it, as rows to be written, and the truth about them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Literal

from benchmarks.quality import strengths
from benchmarks.quality.company import Company, add_texts, make_company
from benchmarks.quality.faults import FAULTS, TEXT_FAULTS, VISITOR_FAULTS, Fault, Spot
from benchmarks.quality.strengths import STRENGTHS, Sample, Strength
from benchmarks.quality.traps import DILUTING, Trapped, alter_visits, choose_traps, rows_of_traps
from benchmarks.quality.visits import Drawn, Visit, draw_rows, make_visits, periods_of

from hansei.contracts import Direction, Kind, Periods
from hansei.demo.rows import Rows

Condition = Literal["faulty", "clean", "aa"]
"""faulty: faults, and traps in half of the worlds; clean: traps only; aa: nothing at all, both periods are alike."""


@dataclass
class Planted:
    """A fault that is in a world."""

    number: int
    fault: str
    kinds: tuple[Kind, ...]
    direction: Direction
    strength: Strength
    rows: str
    spot: Spot
    onset: datetime | None
    """First moment of it; None: always there."""
    change: float
    """Points of a share, or the factor, as the fault means it."""
    metric: str = ""
    """See `Fault.metric`."""


@dataclass
class World:
    """Rows to write and what is known about them. Nothing here reaches Hansei but the rows."""

    condition: Condition
    seed: int
    company: Company
    periods: Periods
    planted: list[Planted]
    traps: list[Trapped]
    drawn: Drawn
    """What counts."""
    extra: Rows
    """What must not count: older versions, deleted rows, other projects …"""
    marks: dict[str, set[int]] = field(default_factory=dict)
    """Trace → numbers of the faults that it is exposed to."""
    skipped: list[str] = field(default_factory=list)
    """Faults for which the company has no place where their strength would make sense."""

    def write_truth(self, path: Path) -> None:
        """The truth as JSON, for people; the scorer has it in memory."""
        told = {
            "condition": self.condition, "seed": self.seed, "schema": self.company.schema, "size": self.company.size,
            "window": str(self.periods.window), "baseline": str(self.periods.baseline),
            "planted": [asdict(one) for one in self.planted], "traps": [asdict(one) for one in self.traps],
            "skipped": self.skipped,
        }  # fmt: skip
        path.write_text(json.dumps(told, indent=1, default=str), encoding="utf-8")


TEXTS = 0.5
"""How many companies record texts."""

VISITORS = 0.35
"""How many have a fault of some of their visitors."""


def make_world(condition: Condition, seed: int, *, small: bool = False, only: tuple[str, ...] = ()) -> World:
    """A world; everything follows from the seed.

    Args:
        condition: what is in it.
        seed: of the company, its luck, its faults and its traps.
        small: a company of at most 3,000 traces.
        only: the ids of the only faults to plant, at medium strength.
    """
    company = make_company(seed, small=small)
    texts = Random(f"text faults {seed}")
    if texts.random() < TEXTS or {fault.id for fault in TEXT_FAULTS} & {*only}:
        add_texts(company)
    rng = Random(f"{condition} {seed}")
    periods = periods_of(company)
    visits = make_visits(company, periods, 0)
    trapped: list[Trapped] = []
    if condition == "clean" or (condition == "faulty" and rng.random() < 0.5 and not only):
        trapped = choose_traps(company, rng, changing_traffic=condition == "clean")
    busy = {(trap.app, "") for trap in trapped if trap.app}
    planted: list[Planted] = []
    skipped: list[str] = []
    if condition == "faulty":
        planter = _Planter(company, periods, visits, busy, diluted=any(trap.id in DILUTING for trap in trapped))
        visits = planter.plant_visitors(only, Random(f"visitors {seed}"))
        visits = planter.plant(only, rng)
        if company.languages:
            visits = planter.plant_texts(only, texts)
        planted, skipped = planter.planted, planter.skipped
    visits = alter_visits(company, visits, trapped, rng)
    drawn = draw_rows(company, visits, 0)
    extra = rows_of_traps(company, periods, drawn, trapped, rng)
    return World(
        condition,
        seed,
        company,
        periods,
        planted,
        trapped,
        drawn,
        extra,
        {visit.id: visit.marks for visit in visits if visit.marks},
        skipped,
    )


class _Planter:
    def __init__(
        self,
        company: Company,
        periods: Periods,
        visits: list[Visit],
        busy: set[tuple[str, str]],
        *,
        diluted: bool,
    ) -> None:
        self._company, self._periods, self._visits = company, periods, visits
        self._taken, self._diluted = busy, diluted
        self.planted: list[Planted] = []
        self.skipped: list[str] = []

    def plant_visitors(self, only: tuple[str, ...], rng: Random) -> list[Visit]:
        """Plants one of the faults of some visitors in a third of the companies, with luck of its own."""
        self._rng = rng
        fault = rng.choice(VISITOR_FAULTS)
        for chosen in VISITOR_FAULTS:
            if chosen.id in only or (not only and chosen is fault and rng.random() < VISITORS):
                strength: Strength = "medium" if only else rng.choice(STRENGTHS)
                if not any(self._try(chosen, strength) for _ in range(6)):
                    self.skipped.append(chosen.id)
        return self._visits

    def plant(self, only: tuple[str, ...], rng: Random) -> list[Visit]:
        """Plants four to eight faults in places of their own; returns the visits, changed."""
        self._rng = rng
        faults = [fault for fault in FAULTS if not only or fault.id in only]
        # Traffic first: it decides how many calls the others have.
        chosen = sorted(self._rng.sample(faults, len(faults)), key=lambda fault: fault.traffic == 0)
        if not only and self._rng.random() < 0.6:
            chosen = [fault for fault in chosen if not fault.traffic]
        elif not only:
            kept = chosen[0]
            chosen = [kept, *(fault for fault in chosen if not fault.traffic)]
        wanted = self._rng.randint(4, 8)
        for fault in chosen:
            if len(self.planted) >= wanted:
                break
            strength: Strength = "medium" if only else self._rng.choice(STRENGTHS)
            if not any(self._try(fault, strength) for _ in range(6)):
                self.skipped.append(fault.id)
        return self._visits

    def plant_texts(self, only: tuple[str, ...], rng: Random) -> list[Visit]:
        """Plants one to three of the faults that texts tell, with luck of their own, where there is room for them."""
        self._rng = rng
        wanted = len(self.planted) + rng.randint(1, 3)
        for fault in rng.sample(TEXT_FAULTS, len(TEXT_FAULTS)):
            if len(self.planted) < wanted and (not only or fault.id in only):
                strength: Strength = "medium" if only else rng.choice(STRENGTHS)
                if not any(self._try(fault, strength) for _ in range(6)):
                    self.skipped.append(fault.id)
        return self._visits

    def _try(self, fault: Fault, strength: Strength) -> bool:
        company = self._company
        spot = fault.place(company, self._rng)
        if spot is None or (self._diluted and fault.id == "app_fails"):
            return False
        if fault.traffic and company.baseline_days + company.history_days < 7:
            return False  # without each weekday at least once before, nobody can tell a fall from a weekend
        places = self._places(fault, spot)
        if places & self._taken or not places:
            return False
        onset_day = self._rng.randrange(0, max(1, company.window_days - 2))
        sample = self._sample(fault, spot, onset_day)
        if min(sample.window * sample.after_onset, sample.baseline) < 60:
            return False
        change = self._size(fault, spot, sample, strength)
        if not change <= fault.most:
            return False
        self._taken |= places
        onset = None if fault.always else self._periods.window.start + timedelta(days=onset_day)
        self.planted.append(
            Planted(
                len(self.planted),
                fault.id,
                fault.kinds,
                fault.direction,
                strength,
                fault.rows,
                spot,
                onset,
                change,
                fault.metric,
            )
        )
        self._apply(fault, spot, onset_day, change)
        return True

    def _places(self, fault: Fault, spot: Spot) -> set[tuple[str, str]]:
        """Two faults never share a step of an app, a score, or a deployment of an app."""
        if fault.score:
            own = {(spot.app or "", f"score {spot.score}")}
            if spot.deploys == "prompt":
                own.add((spot.app or "", spot.step or ""))
            # Scores are compared by prompt too: two scores of one app moving at once are one problem.
            return own | {(spot.app or "", "scores")}
        if fault.traffic:
            return {(spot.app or "", "traffic")}
        if fault.misses:
            deployed = {(spot.app or "", spot.step)} if spot.step else set()
            return {(spot.app or "", "language"), *deployed}
        if fault.runaways:
            return {
                (spot.app or "", step.name) for app in self._company.apps for step in app.steps if app.name == spot.app
            }
        own = {
            (app.name, step.name)
            for app, step in self._company.pairs
            if spot.app in (None, app.name) and spot.step in (None, step.name) and spot.model in (None, step.model)
        }
        if spot.deploys == "release":
            own.add((spot.app or "", "release"))
        return own

    def _sample(self, fault: Fault, spot: Spot, onset_day: int) -> Sample:
        window = after = baseline = 0.0
        effect = 1.0
        for visit in self._visits:
            if visit.day < -self._company.baseline_days or not spot.has(visit):
                continue
            calls = self._calls(fault, spot, visit)
            effect = max(effect, *(step.design_effect for step in visit.steps if spot.has(visit, step)), 1.0)
            if visit.day < 0:
                baseline += calls
            else:
                window += calls
                after += calls * (visit.day >= onset_day)
        share = 1.0 if fault.always else after / window if window else 0.0
        effect = effect if fault.rows == "observations" else 1.0
        if spot.only:
            # The test that tells it from its place holds it against the rest of it, which may be the smaller part.
            wider = replace(spot, only=None)
            mine = [visit for visit in self._visits if visit.day >= 0 and wider.has(visit) and not spot.has(visit)]
            baseline = min(baseline, sum(self._calls(fault, wider, visit) for visit in mine))
        slices = strengths.CARRIED_SLICES if spot.only and spot.only[0] != "arm" else strengths.SLICES
        return Sample(window, baseline, max(share, 1e-9), effect, slices)

    def _calls(self, fault: Fault, spot: Spot, visit: Visit) -> float:
        steps = [step for step in visit.steps if spot.has(visit, step)]
        if fault.misses:
            return float(visit.language != "")
        if fault.rows == "observations":
            return sum(step.mean_calls for step in steps)
        if fault.rows == "scores":
            return sum(score.share for score in visit.scores if score.name == spot.score)
        return 1.0 if steps else 0.0

    def _size(self, fault: Fault, spot: Spot, sample: Sample, strength: Strength) -> float:
        company = self._company
        apps = [app for app in company.apps if spot.app in (None, app.name)]
        if fault.score:
            score = next(score for score in apps[0].scores if score.name == spot.score)
            if score.type == "NUMERIC":
                return strengths.mean_change(sample, score.spread, strength)
            # A share of good answers falls as a share of bad ones rises.
            usual = score.level if score.lower_is_better else 1 - score.level
            return strengths.share_change(sample, usual, strength, least=strengths.MATTERS["score"])
        if fault.traffic:
            per_day = sample.window / company.window_days
            weeks = max(1, (company.baseline_days + company.history_days) // 7)
            return strengths.traffic_change(
                per_day, company.window_days, weeks, company.day_noise, strength, sample, self._part(spot)
            )
        if fault.runaways:
            return strengths.share_change(sample, apps[0].runaways, strength, least=0.005)
        if fault.misses:
            return strengths.share_change(sample, apps[0].misses, strength)
        steps = [
            step
            for app, step in company.pairs
            if app in apps and spot.step in (None, step.name) and spot.model in (None, step.model)
        ]
        assert fault.size is not None
        # Where several steps are meant, the most varied of them.
        return max(fault.size(sample, strength, step) for step in steps)

    def _part(self, spot: Spot) -> float:
        """Which share of its app's visits a spot has; 1 where it is the whole app."""
        if spot.only is None:
            return 1.0
        wider = replace(spot, only=None)
        around = [visit for visit in self._visits if visit.day >= 0 and wider.has(visit)]
        return sum(spot.has(visit) for visit in around) / max(1, len(around))

    def _apply(self, fault: Fault, spot: Spot, onset_day: int, change: float) -> None:
        number = len(self.planted) - 1
        kept: list[Visit] = []
        for visit in self._visits:
            after = fault.always or visit.day >= onset_day
            if not spot.has(visit):
                kept.append(visit)
                continue
            if after and visit.day >= 0:
                visit.marks.add(number)
            if fault.traffic and after:
                kept += _more_or_fewer(visit, fault.traffic * change, self._rng)
                continue
            if after and spot.deploys:
                _deploy(visit, spot)
            if after != fault.ended:
                _harm(fault, spot, visit, change)
            kept.append(visit)
        self._visits = kept


def _harm(fault: Fault, spot: Spot, visit: Visit, change: float) -> None:
    if fault.runaways:
        visit.runaways += change
        return
    if fault.misses:
        visit.misses = min(0.97, visit.misses + change)
        return
    for score in visit.scores:
        if fault.score and score.name == spot.score:
            low = 0.02 if score.type == "BOOLEAN" else -10.0
            score.level = max(low, min(0.98, score.level + fault.score * change))
    if fault.change is not None:
        for step in visit.steps:
            if spot.has(visit, step):
                fault.change(step, change)


def _more_or_fewer(visit: Visit, change: float, rng: Random) -> list[Visit]:
    if change < 0:
        return [] if rng.random() < -change else [visit]
    copies = int(change) + (rng.random() < change % 1)
    return [visit, *(_copied(visit, number, rng) for number in range(copies))]


def _copied(visit: Visit, number: int, rng: Random) -> Visit:
    from copy import deepcopy

    other = deepcopy(visit)
    other.id = f"{visit.id}x{number}"
    other.at += timedelta(seconds=rng.randrange(1, 60))
    return other


def _deploy(visit: Visit, spot: Spot) -> None:
    if spot.deploys == "release":
        visit.release = f"{visit.release}.1"
    for step in visit.steps:
        if spot.deploys == "prompt" and spot.has(visit, step) and step.prompt is not None:
            step.prompt = (step.prompt[0], step.prompt[1] + 1)
