"""Numbers and times for people: 18 %, 2.3 s, $412, 1.24 M tokens, p < 0.001, 12 Nov 2026.

All functions are pure. Rounding never changes the meaning: what is not zero is not shown as zero, less than 100 %
is not shown as 100 %, a p-value stays on its side of 0.05 and 0.01, and two different values side by side
(`format_pair`, `format_interval`) get as many digits as it takes to tell them apart. None, NaN and infinity are
“not measured”. The minus sign is U+2212. Times are UTC.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

from hansei.contracts import Estimate, Unit, Window
from hansei.tools.report.catalogue import Catalogue, catalogue

MINUS = "\N{MINUS SIGN}"

COUNTED: frozenset[Unit] = frozenset({"tokens", "traces/day", "steps"})
"""Units that are nouns: where space is short their numbers may stand alone, as `format_count` gives them."""

Shown = Unit | Literal["count"]

_MOST_EXTRA_DIGITS = 6
_P_THRESHOLDS = (Decimal("0.001"), Decimal("0.01"), Decimal("0.05"))


def format_value(value: float | None, unit: Shown, language: str | None = None) -> str:
    """A value with its unit: ``18 %``, ``850 ms``, ``$0.0031``, ``1.24 M tokens``, ``0.81``.

    Args:
        value: in the unit; a ratio as a fraction of 1, a time in seconds.
        unit: as in the contracts, or count: a number of things, without their name.
        language: code of a catalogue; None: the one that is being spoken.
    """
    words = catalogue(language)
    amount = _decimal(value)
    if amount is None:
        return words.text("number.not_measured")
    return _join(*_parts(amount, unit, words))


def format_change(value: float | None, unit: Unit, language: str | None = None) -> str:
    """A difference with its sign: ``+14 points`` (of a ratio), ``−0.3 s``, ``+$412``; zero has none: ``0 s``."""
    words = catalogue(language)
    amount = _decimal(value)
    if amount is None:
        return words.text("number.not_measured")
    sign, number, pattern = _parts(amount, unit, words, meaning="points")
    return _join("+" if amount > 0 else sign, number, pattern)


def format_pair(first: float | None, second: float | None, unit: Shown, language: str | None = None) -> tuple[str, str]:
    """Two values to be shown side by side, with enough digits to look different when they are."""
    one, two = _decimal(first), _decimal(second)
    if one is None or two is None:
        return format_value(first, unit, language), format_value(second, unit, language)
    words = catalogue(language)
    extra = _extra_digits(one, two, unit, words)
    return _join(*_parts(one, unit, words, extra=extra)), _join(*_parts(two, unit, words, extra=extra))


def format_interval(low: float | None, high: float | None, unit: Shown, language: str | None = None) -> str:
    """A range that names its unit once where it can: ``16–21 %``, ``850 ms–1.2 s``, ``−3 % to 5 %``."""
    lowest, highest = _decimal(low), _decimal(high)
    if lowest is None or highest is None:
        return catalogue(language).text("number.not_measured")
    return _range(lowest, highest, unit, catalogue(language), _extra_digits(lowest, highest, unit, catalogue(language)))


def format_estimate(estimate: Estimate | None, unit: Unit, language: str | None = None) -> str:
    """A value and its 95 % interval with equally many digits: ``18 % (16–21 %)``, ``3,120 tokens (3,060–3,190)``."""
    words = catalogue(language)
    if estimate is None:
        return words.text("number.not_measured")
    value, low, high = _decimal(estimate.value), _decimal(estimate.low), _decimal(estimate.high)
    if value is None or low is None or high is None:
        return format_value(estimate.value, unit, language)
    extra = _extra_digits(low, high, unit, words)
    interval = _range(low, high, "count" if unit in COUNTED else unit, words, extra)
    return words.text("interval.estimate", value=_join(*_parts(value, unit, words, extra=extra)), interval=interval)


def format_count(value: float | None, language: str | None = None) -> str:
    """A number of things: ``3,120``, ``1.24 M``; not whole: ``12.4``."""
    return format_value(value, "count", language)


def format_ratio(part: float | None, whole: float | None, language: str | None = None) -> str:
    """`part` of `whole` in per cent; “not measured” when there is no whole."""
    return format_value(part / whole if part is not None and whole else None, "ratio", language)


def format_relative(before: float | None, after: float | None, language: str | None = None) -> str:
    """The change from `before` to `after` in per cent of `before`: ``+20 %``; “not measured” without a before."""
    words = catalogue(language)
    one, two = _decimal(before), _decimal(after)
    if not one or two is None:
        return words.text("number.not_measured")
    change = two / one - 1
    sign, number, pattern = _parts(change, "ratio", words, meaning="percent")
    return _join("+" if change > 0 else sign, number, pattern)


def format_p(value: float | None, language: str | None = None, symbol: str = "p") -> str:
    """A p-value (or, with `symbol`, a q-value): ``p < 0.001``, ``p = 0.013``."""
    amount = _decimal(value)
    if amount is None:
        return catalogue(language).text("number.not_measured")
    if amount < _P_THRESHOLDS[0]:
        return f"{symbol} < 0.001"
    return f"{symbol} = {_plain(_rounded(amount, 2, keep_off=(*_P_THRESHOLDS, Decimal(1))))}"


def format_date(moment: datetime, language: str | None = None) -> str:
    """A day in UTC: ``12 Nov 2026``."""
    return _date(moment, catalogue(language), "time.date")


def format_day(moment: datetime, language: str | None = None) -> str:
    """A day in UTC without its year: ``12 Nov``."""
    return _date(moment, catalogue(language), "time.day")


def format_moment(moment: datetime, language: str | None = None) -> str:
    """A time in UTC: ``12 Nov 2026, 09:30 UTC``."""
    utc = _utc(moment)
    return catalogue(language).text("time.moment", date=format_date(utc, language), time=utc.strftime("%H:%M"))


def format_onset(day: datetime, hour: datetime | None, language: str | None = None) -> str:
    """When a change began, in UTC: ``12 Nov 2026``, or with its hour, where that is known: ``…, about 09:00 UTC``."""
    if hour is None:
        return format_date(day, language)
    return _hour("time.hour", format_date(hour, language), hour, language)


def format_onset_short(day: datetime, hour: datetime | None, language: str | None = None) -> str:
    """The same for a table's cell: ``12 Nov 2026`` or ``12 Nov, 09:00 UTC``."""
    if hour is None:
        return format_date(day, language)
    return _hour("time.hour_short", format_day(hour, language), hour, language)


def _hour(key: str, date: str, hour: datetime, language: str | None) -> str:
    return catalogue(language).text(key, date=date, time=_utc(hour).strftime("%H:%M"))


def format_span(window: Window, language: str | None = None) -> str:
    """A span in UTC. Whole days are named by their first and last day, other spans by their first and last moment."""
    words = catalogue(language)
    if _is_midnight(window.start) and _is_midnight(window.end):
        last = window.end - timedelta(days=1)
        if last == window.start:
            return words.text("time.one_date", date=format_date(last, language))
        return words.text("time.dates", start=format_date(window.start, language), end=format_date(last, language))
    return words.text(
        "time.moments", start=format_moment(window.start, language), end=format_moment(window.end, language)
    )


def format_duration(length: timedelta | float, language: str | None = None) -> str:
    """A length of time: ``7 days``, ``24 hours``, ``36 hours``, ``90 minutes``; odd lengths as in `format_value`.

    Args:
        length: a timedelta, or seconds.
    """
    seconds = length.total_seconds() if isinstance(length, timedelta) else length
    words = catalogue(language)
    for key, size, least in (("time.days", 86_400, 2), ("time.hours", 3_600, 2), ("time.minutes", 60, 1)):
        if seconds >= least * size and seconds % size == 0:
            return words.text(key, count=f"{int(seconds // size):,}")
    return format_value(seconds, "s", language)


# How a number becomes (sign, digits, pattern): the pattern is the unit with one place for the digits.
_Parts = tuple[str, str, str]


def _parts(
    value: Decimal,
    unit: Shown,
    words: Catalogue,
    *,
    extra: int = 0,
    meaning: Literal["share", "points", "percent"] = "share",
) -> _Parts:
    """`extra` digits beyond the usual; `meaning` of a ratio: a share of a whole, a difference of two, or a growth."""
    sign, amount = _sign(value), abs(value)
    if unit == "s":
        return (sign, *_time(amount, words, extra))
    if unit == "usd":
        return (sign, *_money(amount, words, extra))
    if unit == "ratio":
        number = _rounded(amount * 100, 2 + extra, keep_off=(Decimal(100),) if meaning == "share" else ())
        key = "number.points" if meaning == "points" else "number.percent"
        return sign, _plain(number), _pattern(key, number == 1, words)
    if unit == "score":
        number = _rounded(amount, (2 if amount < 1 else 3) + extra, keep_off=(Decimal(1),))
        return sign, _plain(number), words.texts["number.score"]
    key = f"number.{unit.replace('/', '_per_')}"
    digits, scale = _scaled(amount, words, digits=3 + extra)
    return sign, digits, _pattern(key, digits == "1" and scale == "{}", words).format(scale)


def _extra_digits(first: Decimal, second: Decimal, unit: Shown, words: Catalogue) -> int:
    """How many digits beyond the usual it takes to tell two values apart."""
    for extra in range(_MOST_EXTRA_DIGITS):
        if _parts(first, unit, words, extra=extra) != _parts(second, unit, words, extra=extra):
            return extra
    return 0


def _range(low: Decimal, high: Decimal, unit: Shown, words: Catalogue, extra: int) -> str:
    one, two = (_parts(value, unit, words, extra=extra) for value in (low, high))
    if one == two:
        return _join(*one)
    if one[0] or two[0]:
        return words.text("interval.words", low=_join(*one), high=_join(*two))
    if one[2] == two[2]:
        return _join("", words.text("interval.dash", low=one[1], high=two[1]), one[2])
    return words.text("interval.dash", low=_join(*one), high=_join(*two))


def _time(amount: Decimal, words: Catalogue, extra: int) -> tuple[str, str]:
    if amount and (shown := _rounded(amount * 1000, 2 + extra)) < 1000:
        return _plain(shown), words.texts["number.milliseconds"]
    if (shown := _rounded(amount, 2 + extra)) < 120:
        return _plain(shown), words.texts["number.seconds"]
    if (shown := _rounded(amount, 3 + extra)) < 3600:
        minutes, seconds = divmod(shown, 60)
        if not seconds:
            return _plain(minutes), words.texts["number.minutes"]
        return words.text("number.minutes_seconds", minutes=_plain(minutes), seconds=_plain(seconds)), "{}"
    hours, minutes = divmod(_rounded(amount / 60, 3 + extra), 60)
    if not minutes:
        return _plain(hours), words.texts["number.hours"]
    return words.text("number.hours_minutes", hours=_plain(hours), minutes=_plain(minutes)), "{}"


def _money(amount: Decimal, words: Catalogue, extra: int) -> tuple[str, str]:
    pattern = words.texts["number.usd"]
    if amount >= 1_000_000:
        digits, scale = _scaled(amount, words, digits=3 + extra)
        return digits, pattern.format(scale)
    if amount >= 100:
        number = _rounded(amount, 3 + extra)
    elif amount >= 1:
        number = _quantized(amount, 2 + extra)
    else:
        number = _rounded(amount, 2 + extra)
    text = _plain(number)
    whole, _, cents = text.partition(".")
    return (f"{whole}.{cents:0<2}" if cents else whole), pattern


def _scaled(amount: Decimal, words: Catalogue, *, digits: int) -> tuple[str, str]:
    """Digits, and a pattern with the word for the power of ten; ``{}`` alone below a million."""
    if _rounded(amount, digits) >= 1_000_000:
        for scale in words.scales:
            # Rounded before it is compared: 999,999,999 is 1 B, not 1,000 M.
            if (shown := _rounded(amount / scale.factor, digits)) >= 1:
                return _plain(shown), scale.word
    return _plain(_rounded(amount, digits)), "{}"


def _rounded(amount: Decimal, digits: int, keep_off: tuple[Decimal, ...] = ()) -> Decimal:
    """Rounds to significant digits, never coarser than to a whole number, and never onto a value to keep off."""
    if not amount:
        return Decimal(0)
    decimals = max(0, digits - 1 - amount.adjusted())
    for more in range(30):
        shown = _quantized(amount, decimals + more)
        if shown and (shown == amount or shown not in keep_off):
            return shown
    return amount


def _quantized(amount: Decimal, decimals: int) -> Decimal:
    return amount.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP)


def _plain(number: Decimal) -> str:
    """Digits with thousands separators and without trailing zeros."""
    text = f"{number:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _pattern(key: str, is_one: bool, words: Catalogue) -> str:
    return words.texts.get(f"{key}.one", words.texts[key]) if is_one else words.texts[key]


def _join(sign: str, number: str, pattern: str) -> str:
    return sign + pattern.format(number)


def _sign(value: Decimal) -> str:
    return MINUS if value < 0 else ""


def _decimal(value: float | None) -> Decimal | None:
    # Through the shortest decimal text: 0.285 is meant as 0.285, not as 0.284999…
    return Decimal(str(value)) if value is not None and math.isfinite(value) else None


def _date(moment: datetime, words: Catalogue, key: str) -> str:
    utc = _utc(moment)
    return words.text(key, day=utc.day, month=words.months[utc.month - 1], year=utc.year)


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _is_midnight(moment: datetime) -> bool:
    return _utc(moment).time() == datetime.min.time()
