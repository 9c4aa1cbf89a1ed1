"""Time: durations as people write them, and the two spans that are compared."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from hansei.errors import UsageError

_DURATION = re.compile(r"(\d{1,5})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_duration(text: str) -> timedelta:
    """Reads ``30m``, ``12h``, ``7d`` or ``2w``.

    Raises:
        UsageError: for anything else, and for a span of zero.
    """
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None or int(match[1]) == 0:
        raise UsageError(f"“{text[:40]}” is not a duration.", "Write a number and a unit, such as 24h, 7d or 2w.")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def parse_instant(text: str) -> datetime:
    """Reads an ISO 8601 date or time; without an offset it is taken as UTC.

    Raises:
        UsageError: when it is no such time.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(
            f"“{text[:40]}” is not a date or time.", "Write ISO 8601, such as 2026-11-20 or 2026-11-20T09:00:00Z."
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


class Window(BaseModel):
    """A span of time, UTC: `start` is inside, `end` is not."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    start: datetime
    end: datetime

    @field_validator("start", "end")
    @classmethod
    def _in_utc(cls, moment: datetime) -> datetime:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)

    @model_validator(mode="after")
    def _forwards(self) -> Window:
        if self.end <= self.start:
            raise ValueError("a window must end after it starts")
        return self

    @property
    def length(self) -> timedelta:
        return self.end - self.start

    @property
    def days(self) -> float:
        """Length in days of 24 hours."""
        return self.length / timedelta(days=1)


class Periods(BaseModel):
    """The window that is judged, and the baseline just before it that it is compared with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    window: Window
    baseline: Window

    @classmethod
    def ending(cls, end: datetime, window: timedelta, baseline: timedelta) -> Periods:
        """The window of that length up to `end`, and the baseline before it.

        Fractions of a second are rounded up: the days of a window are told apart by their start in whole seconds.

        Raises:
            UsageError: they reach beyond the calendar.
        """
        try:
            end = end.replace(microsecond=0) + timedelta(seconds=1 if end.microsecond else 0)
            start = end - window
            return cls(window=Window(start=start, end=end), baseline=Window(start=start - baseline, end=start))
        except OverflowError:
            raise UsageError(
                "The window and its baseline reach beyond the calendar.", "Give shorter ones, or another --until."
            ) from None
