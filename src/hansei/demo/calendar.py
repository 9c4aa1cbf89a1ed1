"""When things happen in the simulated company: the spans that are compared, releases, and since when what is broken.

Everything hangs on one fixed instant, so the data is the same on every day it is made. The simulation counts time in
whole milliseconds since 1970 (UTC), which is the precision of Langfuse's v3 tables.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime, timedelta

from hansei.contracts import Periods

BASE_TIME = datetime(2026, 11, 16, tzinfo=UTC)
"""End of the data, a Monday at midnight."""

DAYS = 28
WEEK = timedelta(days=7)
PERIODS = Periods.ending(BASE_TIME, WEEK, WEEK)

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_ms(moment: datetime) -> int:
    """Milliseconds since 1970 of an aware time."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def to_datetime(ms: int) -> datetime:
    """The time, in UTC, that is `ms` milliseconds after 1970."""
    return _EPOCH + timedelta(milliseconds=ms)


END = to_ms(BASE_TIME)
START = END - DAYS * DAY
WINDOW_START = to_ms(PERIODS.window.start)
BASELINE_START = to_ms(PERIODS.baseline.start)


def _in_window(days: int, hours: float = 0) -> int:
    return WINDOW_START + days * DAY + int(hours * HOUR)


# Since when each planted change is there.
SEARCH_DOCS_FASTER = _in_window(0, 10)
WRITE_SQL_SLOWER = _in_window(1)
RUN_QUERY_EMPTY_HANDED = _in_window(1, 3)
RUNAWAYS = _in_window(1, 7)
ANSWER_V7 = _in_window(1, 8.5)
FETCH_PAGE_HANGS = _in_window(1, 11)
WEB_SEARCH_LOOPS = _in_window(1, 13)
LOOKUP_ORDER_TIMEOUTS = _in_window(2, 9.25)
SUMMARISE_V4 = _in_window(2, 15)
COPILOT_LEFT = _in_window(3)


class Rollout:
    """A value that is replaced at certain instants, such as the release of an app."""

    def __init__(self, first: str, *changes: tuple[int, str]) -> None:
        self._since = [since for since, _ in changes]
        self._values = [first, *(value for _, value in changes)]

    def at(self, ms: int) -> str:
        """The value at that instant."""
        return self._values[bisect_right(self._since, ms)]


RELEASES = {
    "support-agent": Rollout(
        "2.2.3",
        (_in_window(-18, 9), "2.3.0"),
        (_in_window(-5, 13), "2.3.1"),
        (SEARCH_DOCS_FASTER, "2.3.2"),
        (LOOKUP_ORDER_TIMEOUTS, "2.4.0"),
    ),
    "research-agent": Rollout("1.8.2", (_in_window(-9, 14), "1.9.0")),
    "sql-copilot": Rollout("0.14.1", (_in_window(-12, 8), "0.14.2")),
    "quick-answer": Rollout("3.0.0"),
    "deep-research-brief": Rollout("3.0.0"),
}
"""Release of each app over time, by trace name."""

VERSIONS = {
    "support-agent": "support-graph-12",
    "research-agent": "research-graph-7",
    "sql-copilot": "copilot-5",
    "quick-answer": None,
    "deep-research-brief": None,
}
"""Version of each app's code as its traces name it, by trace name; it stays the same over the four weeks."""
