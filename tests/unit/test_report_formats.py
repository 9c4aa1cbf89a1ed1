"""Numbers and times as people read them."""

from __future__ import annotations

import json
import string
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hansei.contracts import Estimate, Unit, Window
from hansei.errors import UsageError
from hansei.tools.report import formats
from hansei.tools.report.catalogue import TEMPLATES, catalogue, languages

UNITS: tuple[Unit, ...] = ("ratio", "s", "usd", "tokens", "score", "traces/day", "steps")


@pytest.mark.parametrize(
    ("value", "unit", "english", "japanese"),
    [
        (0.18, "ratio", "18 %", "18%"),
        (0.285, "ratio", "29 %", "29%"),
        (0.004, "ratio", "0.4 %", "0.4%"),
        (0.0, "ratio", "0 %", "0%"),
        (1.0, "ratio", "100 %", "100%"),
        (0.9996, "ratio", "99.96 %", "99.96%"),
        (0.0000031, "ratio", "0.00031 %", "0.00031%"),
        (2.34, "s", "2.3 s", "2.3秒"),
        (0.85, "s", "850 ms", "850ミリ秒"),
        (0.99996, "s", "1 s", "1秒"),
        (0.0004, "s", "0.4 ms", "0.4ミリ秒"),
        (95, "s", "95 s", "95秒"),
        (125.4, "s", "2 min 5 s", "2分5秒"),
        (180, "s", "3 min", "3分"),
        (3599.9, "s", "1 h", "1時間"),
        (7320, "s", "2 h 2 min", "2時間2分"),
        (412.3, "usd", "$412", "$412"),
        (4.1, "usd", "$4.10", "$4.10"),
        (12.0, "usd", "$12", "$12"),
        (0.3, "usd", "$0.30", "$0.30"),
        (0.0031, "usd", "$0.0031", "$0.0031"),
        (12_400, "usd", "$12,400", "$12,400"),
        (1_243_000, "usd", "$1.24 M", "$124万"),
        (-412, "usd", "−$412", "−$412"),
        (1_240_000, "tokens", "1.24 M tokens", "124万トークン"),
        (999_999_999, "tokens", "1 B tokens", "10億トークン"),
        (3_120, "tokens", "3,120 tokens", "3,120トークン"),
        (1, "tokens", "1 token", "1トークン"),
        (0.81, "score", "0.81", "0.81"),
        (0.9999, "score", "0.9999", "0.9999"),
        (7.254, "score", "7.25", "7.25"),
        (3_120, "traces/day", "3,120 traces/day", "3,120トレース/日"),
        (12.44, "steps", "12.4 steps", "12.4ステップ"),
        (1, "steps", "1 step", "1ステップ"),
        (None, "s", "not measured", "未測定"),
        (float("nan"), "usd", "not measured", "未測定"),
        (float("inf"), "ratio", "not measured", "未測定"),
    ],
)
def test_value(value: float | None, unit: Unit, english: str, japanese: str) -> None:
    assert formats.format_value(value, unit) == english
    assert formats.format_value(value, unit, "ja") == japanese


def _digits(text: str) -> str:
    return "".join(character for character in text if character in string.digits)


@given(
    value=st.floats(min_value=1e-9, max_value=1e12), unit=st.sampled_from(UNITS), language=st.sampled_from(["en", "ja"])
)
def test_what_is_not_zero_is_not_shown_as_zero(value: float, unit: Unit, language: str) -> None:
    shown = formats.format_value(value, unit, language)
    assert _digits(shown).strip("0")
    assert formats.format_value(-value, unit, language) == "−" + shown


@given(value=st.floats(min_value=0.9, max_value=1, exclude_max=True))
def test_less_than_all_is_not_shown_as_all(value: float) -> None:
    assert formats.format_value(value, "ratio") != "100 %"
    assert formats.format_value(value, "score") != "1"


@given(
    first=st.integers(min_value=-10_000, max_value=10_000),
    second=st.integers(min_value=-10_000, max_value=10_000),
    unit=st.sampled_from(UNITS),
)
def test_two_values_side_by_side_look_different_when_they_are(first: int, second: int, unit: Unit) -> None:
    one, two = formats.format_pair(first / 7777, second / 7777, unit)
    assert (one == two) == (first == second)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.14, "ratio", "+14 points"),
        (-0.01, "ratio", "−1 point"),
        (0.9996, "ratio", "+100 points"),
        (0.0, "s", "0 s"),
        (-0.3, "s", "−300 ms"),
        (412, "usd", "+$412"),
        (-0.0, "usd", "$0"),
        (None, "usd", "not measured"),
    ],
)
def test_change(value: float | None, unit: Unit, text: str) -> None:
    assert formats.format_change(value, unit) == text


@pytest.mark.parametrize(
    ("low", "high", "unit", "text"),
    [
        (0.16, 0.21, "ratio", "16–21 %"),
        (0.16, 0.1602, "ratio", "16–16.02 %"),
        (0.2, 0.2, "ratio", "20 %"),
        (0.85, 1.2, "s", "850 ms–1.2 s"),
        (95, 130, "s", "95 s–2 min 10 s"),
        (-0.03, 0.05, "ratio", "−3 % to 5 %"),
        (400, 420, "usd", "$400–420"),
        (0.72, 0.81, "score", "0.72–0.81"),
        (None, 1.0, "s", "not measured"),
    ],
)
def test_interval(low: float | None, high: float, unit: Unit, text: str) -> None:
    assert formats.format_interval(low, high, unit) == text


def test_estimate() -> None:
    estimate = Estimate(value=0.182, n=1240, low=0.16, high=0.205)
    assert formats.format_estimate(estimate, "ratio") == "18 % (16–21 %)"
    assert formats.format_estimate(estimate, "ratio", "ja") == "18%(16〜21%)"
    tight = Estimate(value=0.1825, n=99_000, low=0.1821, high=0.1829)
    assert formats.format_estimate(tight, "ratio") == "18.3 % (18.2–18.3 %)"
    tokens = Estimate(value=3120, n=9, low=3060, high=3190)
    assert formats.format_estimate(tokens, "tokens") == "3,120 tokens (3,060–3,190)"
    unknown = Estimate(value=0.5, n=1, low=float("nan"), high=float("nan"))
    assert formats.format_estimate(unknown, "score") == "0.5"
    assert formats.format_estimate(None, "ratio") == "not measured"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.00001, "p < 0.001"),
        (0.0, "p < 0.001"),
        (0.001, "p = 0.001"),
        (0.0134, "p = 0.013"),
        (0.0496, "p = 0.0496"),
        (0.00999, "p = 0.00999"),
        (0.9999, "p = 0.9999"),
        (1.0, "p = 1"),
        (None, "not measured"),
    ],
)
def test_p_value_stays_on_its_side_of_a_threshold(value: float | None, text: str) -> None:
    assert formats.format_p(value) == text


def test_q_value_names_itself() -> None:
    assert formats.format_p(0.02, symbol="q") == "q = 0.02"


def test_counts_ratios_and_growth() -> None:
    assert formats.format_count(3120) == "3,120"
    assert formats.format_count(10_240_000) == "10.2 M"
    assert formats.format_count(10_240_000, "ja") == "1,024万"
    assert formats.format_ratio(1, 8) == "13 %"
    assert formats.format_ratio(1, 0) == "not measured"
    assert formats.format_relative(10, 12) == "+20 %"
    assert formats.format_relative(10, 9.96) == "−0.4 %"
    assert formats.format_relative(0, 5) == "not measured"


def test_times_are_utc() -> None:
    tokyo = datetime(2026, 11, 12, 8, 30, tzinfo=timezone(timedelta(hours=9)))
    assert formats.format_moment(tokyo) == "11 Nov 2026, 23:30 UTC"
    assert formats.format_moment(tokyo, "ja") == "2026年11月11日 23:30 UTC"
    assert formats.format_day(tokyo) == "11 Nov"
    assert formats.format_date(datetime(2026, 1, 2), "ja") == "2026年1月2日"


def test_a_span_of_whole_days_names_its_last_day() -> None:
    start = datetime(2026, 11, 9, tzinfo=UTC)
    assert formats.format_span(Window(start=start, end=start + timedelta(days=7))) == "9 Nov 2026 – 15 Nov 2026 (UTC)"
    assert formats.format_span(Window(start=start, end=start + timedelta(days=1))) == "9 Nov 2026 (UTC)"
    at_noon = Window(start=start + timedelta(hours=12), end=start + timedelta(hours=36))
    assert formats.format_span(at_noon) == "9 Nov 2026, 12:00 UTC – 10 Nov 2026, 12:00 UTC"


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(days=7), "7 days"),
        (timedelta(days=1), "24 hours"),
        (timedelta(hours=36), "36 hours"),
        (timedelta(minutes=90), "90 minutes"),
        (60, "1 minute"),
        (2.34, "2.3 s"),
        (61.5, "62 s"),
    ],
)
def test_duration(length: timedelta | float, text: str) -> None:
    assert formats.format_duration(length) == text


def test_an_unknown_language_is_the_users_mistake() -> None:
    with pytest.raises(UsageError) as caught:
        formats.format_value(1, "s", "../../secret")
    assert "en, ja" in caught.value.remedy


def test_no_catalogue_lacks_a_text_a_placeholder_or_a_month() -> None:
    assert languages() == ["en", "ja"]
    model = catalogue("en")
    for language in languages():
        words = catalogue(language)
        assert words.language == language
        assert len(words.months) == 12
        assert set(words.texts) == set(model.texts)
        for key, text in words.texts.items():
            wanted = {field for _, field, _, _ in string.Formatter().parse(model.texts[key]) if field is not None}
            assert {field for _, field, _, _ in string.Formatter().parse(text) if field is not None} == wanted, key
            assert text.strip(), key


def test_no_catalogue_names_a_key_twice() -> None:
    for language in languages():
        groups: list[list[tuple[str, object]]] = []
        json.loads((TEMPLATES / f"{language}.json").read_text("utf-8"), object_pairs_hook=groups.append)
        assert len(groups) > 3
        for group in groups:
            keys = [key for key, _ in group]
            assert len(keys) == len(set(keys))
