"""Who uses which app when: users, sessions, and the rhythm of days and hours."""

from __future__ import annotations

from bisect import bisect
from dataclasses import dataclass
from itertools import accumulate
from random import Random

from hansei.demo.calendar import COPILOT_LEFT, DAY, DAYS, END, HOUR, MINUTE, SECOND, START, WINDOW_START

USERS = 640
_STAGING_SHARE = 0.08
_COPILOT_REMAINS = 0.55
_GOLDEN = 0.6180339887498949

# Activity by local hour, midnight first.
_HOURS = (2, 1, 1, 1, 1, 2, 5, 12, 25, 38, 42, 40, 34, 38, 42, 40, 36, 30, 24, 22, 20, 15, 9, 4)


@dataclass(frozen=True, slots=True)
class User:
    """A customer or a colleague."""

    id: str
    language: str
    plan: str
    utc_offset: int  # hours


@dataclass(frozen=True, slots=True)
class App:
    """How much an app is used: `share` of all traces, activity on a weekend day against a weekday, turns a session."""

    name: str
    share: float
    weekend: float
    turns: float
    share_in_window: float | None = None  # for the mix shift; None: as before


APPS = (
    App("support-agent", share=0.45, weekend=0.75, turns=2.6),
    App("research-agent", share=0.16, weekend=0.55, turns=1.4),
    App("sql-copilot", share=0.24, weekend=0.45, turns=2.2),
    App("quick-answer", share=0.12, weekend=0.8, turns=1.5, share_in_window=0.112),
    App("deep-research-brief", share=0.03, weekend=0.6, turns=1.1, share_in_window=0.045),
)


@dataclass(frozen=True, slots=True)
class Visit:
    """One use of an app, which leaves one trace."""

    app: str
    at: int  # milliseconds since 1970
    user: User
    session_id: str
    turn: int
    environment: str


def make_users(rng: Random) -> list[User]:
    """The company's users: about one in five of them in Japan."""
    users = []
    for number in range(USERS):
        where = rng.random()
        if where < 0.22:
            language, offset = ("ja" if rng.random() < 0.93 else "en"), 9
        elif where < 0.50:
            language, offset = rng.choices(("de", "fr", "en"), (0.5, 0.25, 0.25))[0], 1
        else:
            language, offset = ("en" if rng.random() < 0.9 else "es"), -5
        plan = rng.choices(("free", "pro", "enterprise"), (0.55, 0.33, 0.12))[0]
        users.append(User(f"user-{number:04d}-{rng.getrandbits(24):06x}", language, plan, offset))
    return users


def plan_visits(rng: Random, count: int) -> list[Visit]:
    """Exactly `count` visits in the order of time. The last one starts twenty seconds before the end of the data."""
    users = make_users(rng)
    by_hour = [_active_users(users, hour) for hour in range(24)]
    slots, weights = _slots(rng)
    cumulative = list(accumulate(weights))
    visits: list[Visit] = []
    place = rng.random()
    while len(visits) < count:
        # Steps of the golden ratio fill the weeks evenly, so days differ by the noise of `_slots`, not by the draw.
        place = (place + _GOLDEN) % 1
        app, environment, hour_start = slots[bisect(cumulative, place * cumulative[-1], hi=len(slots) - 1)]
        odds = by_hour[hour_start // HOUR % 24]
        user = users[bisect(odds, rng.random() * odds[-1], hi=len(users) - 1)]
        session_id = f"session-{rng.getrandbits(48):012x}"
        at = hour_start + rng.randrange(HOUR)
        for turn in range(_turns(rng, app.turns)):
            if at < END - MINUTE and len(visits) < count:
                visits.append(Visit(app.name, at, user, session_id, turn, environment))
            at += int((25 + rng.expovariate(1 / 80)) * SECOND)
    last = max((visit for visit in visits if visit.app == "support-agent"), key=lambda visit: visit.at)
    visits.remove(last)
    visits.append(
        Visit(last.app, END - 20 * SECOND, last.user, last.session_id, last.turn, last.environment),
    )
    return sorted(visits, key=lambda visit: visit.at)


def _active_users(users: list[User], utc_hour: int) -> list[float]:
    """Cumulative odds of each user being the one who comes in that hour. A few users come much more often."""
    odds = (_HOURS[(utc_hour + user.utc_offset) % 24] / (number + 12) ** 0.6 for number, user in enumerate(users))
    return list(accumulate(odds))


def _slots(rng: Random) -> tuple[list[tuple[App, str, int]], list[float]]:
    """Every app, environment and hour in which a session may begin, and how likely each is."""
    rhythm = [sum(_HOURS[(hour + offset) % 24] * share for offset, share in _REGIONS) for hour in range(24)]
    slots: list[tuple[App, str, int]] = []
    weights: list[float] = []
    for day in range(DAYS):
        day_start = START + day * DAY
        is_weekend = day % 7 >= 5  # the data starts on a Monday
        for app in APPS:
            share = app.share_in_window if app.share_in_window and day_start >= WINDOW_START else app.share
            level = share / app.turns * (app.weekend if is_weekend else 1) * rng.lognormvariate(0, 0.06)
            for environment, part in (("production", 1 - _STAGING_SHARE), ("staging", _STAGING_SHARE)):
                if app.name == "sql-copilot" and environment == "production" and day_start >= COPILOT_LEFT:
                    part *= _COPILOT_REMAINS
                for hour in range(24):
                    slots.append((app, environment, day_start + hour * HOUR))
                    weights.append(level * part * rhythm[hour])
    return slots, weights


_REGIONS = ((9, 0.22), (1, 0.28), (-5, 0.50))


def _turns(rng: Random, mean: float) -> int:
    """Turns of one session: geometric, at most 12."""
    turns = 1
    while turns < 12 and rng.random() < 1 - 1 / mean:
        turns += 1
    return turns
