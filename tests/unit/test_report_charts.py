"""Charts: they show what the report holds, in any case, as small clean SVG."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import matplotlib
import pytest
from tests.support.sample_report import BASELINE, HOSTILE, WINDOW, evidence, finding, sample_report, series

from hansei.contracts import Estimate, Evidence, Finding
from hansei.tools.report.charts import chart_title, finding_chart
from hansei.tools.report.series import daily_series

SVG = "{http://www.w3.org/2000/svg}"


def draw(one: Finding, language: str = "en") -> str:
    return finding_chart(one, WINDOW, BASELINE, language, "c1")


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}text")]


def measured(rows: list[list[Any]], columns: str = "period day traces x y") -> Evidence:
    return evidence(1, "measure", columns.split(), rows)


def test_a_series_shows_periods_levels_dates_and_the_onset() -> None:
    shown = texts(draw(finding(1)))
    for text in ("Baseline", "Window", "18 %", "3.1 %", "since 11 Nov", "2 Nov", "14 Nov", "0 %", "20 %"):
        assert text in shown, text
    root = ET.fromstring(draw(finding(1)))
    assert root.attrib["role"] == "img"
    title, description = root[0], root[1]
    assert root.attrib["aria-labelledby"] == f"{title.attrib['id']} {description.attrib['id']}"
    assert title.text == "error rate, day by day"
    assert (description.text or "").startswith(
        "Window: 18 % (17–20 %). Baseline: observation search_kb: 3.1 % (2.4–3.9 %)."
    )
    assert (description.text or "").endswith("The change began on 11 Nov 2026.")


def test_without_an_onset_none_is_marked() -> None:
    assert not [text for text in texts(draw(finding(1, onset=None))) if text.startswith("since")]


def test_values_of_a_day() -> None:
    rows = [
        ["window", "2026-11-09T00:00:00Z", 9, 200, 50],
        ["baseline", "2026-11-02", 9, "100", "1"],
        ["window", "2026-11-10T00:00:00+00:00", 9, 0, 0],
        ["window", "2026-11-11 00:00:00", 9, 8, 2],
    ]
    days = daily_series(finding(1, evidence=[measured(rows)]), WINDOW)
    assert [(day.period, day.start.day, day.value) for day in days] == [
        ("baseline", 2, 0.01), ("window", 9, 0.25), ("window", 11, 0.25)
    ]  # fmt: skip


def test_latency_is_the_quantile_that_the_metric_names() -> None:
    source = series(1, lambda day: 30.0 + day, quantiles=True)
    p95 = daily_series(finding(1, unit="s", metric="trace_latency_p95", evidence=[source]), WINDOW)
    p50 = daily_series(finding(1, unit="s", metric="trace_latency_p50", evidence=[source]), WINDOW)
    assert p95[3].value == 33.0
    assert p50[3].value == 11.0


def test_traffic_is_counted_and_a_day_cut_short_is_left_out() -> None:
    rows = [["window", f"2026-11-{day:02}T00:00:00Z", 5, 1, 400] for day in range(9, 17)]
    days = daily_series(finding(1, unit="traces/day", metric="traces_per_day", evidence=[measured(rows)]), WINDOW)
    assert [day.value for day in days] == [400.0] * 7


def test_a_day_on_which_nobody_came_is_drawn_as_none() -> None:
    rows = [["baseline", "2026-11-07T00:00:00Z", 5, 1, 400], ["window", "2026-11-09T00:00:00Z", 5, 1, 300]]
    rows.append(["window", "2026-11-12T00:00:00Z", 5, 1, 20])
    days = daily_series(finding(1, unit="traces/day", metric="traces_per_day", evidence=[measured(rows)]), WINDOW)
    assert [(day.period, day.value) for day in days] == [
        ("baseline", 400.0), ("baseline", 0.0), *(("window", value) for value in (300.0, 0, 0, 20.0, 0, 0, 0))
    ]  # fmt: skip


def test_the_rest_of_the_window_is_drawn_as_reference() -> None:
    hotspot = sample_report().findings[4]
    shown = texts(draw(hotspot))
    assert "Rest of the window" in shown
    assert "Baseline" not in shown
    assert {day.period for day in daily_series(hotspot, WINDOW)} == {"window", "rest"}


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [["window", "2026-11-09T00:00:00Z", 1, 10, 1]],
        [["window", "not a day", 1, 10, 1]] * 5,
        [["window", "2026-11-09T00:00:00Z", 1, 0, 0]] * 5,
        [["baseline", f"2026-11-0{day}", 1, 10, 1] for day in range(2, 8)],
        [["other", f"2026-11-0{day}", 1, 10, 1] for day in range(2, 8)],
        [["window", f"2026-11-1{day}", 1, 10, 11] for day in range(6)],
        [["window", f"2026-11-1{day}", None, [], {}] for day in range(6)],
        [["window", f"2026-11-1{day}", 1, "1e999", "nan"] for day in range(6)],
        [["window"]],
    ],
)
def test_without_a_usable_series_the_intervals_are_shown(rows: list[list[Any]]) -> None:
    one = finding(1, evidence=[measured(rows)])
    assert daily_series(one, WINDOW) == []
    shown = texts(draw(one))
    assert "18 % (17–20 %)" in shown
    assert "3.1 % (2.4–3.9 %)" in shown
    assert chart_title(one, WINDOW) == "error rate, with 95 % intervals"


def test_without_a_baseline_only_the_window_is_shown() -> None:
    shown = texts(draw(finding(1, evidence=[], baseline=None)))
    assert "18 % (17–20 %)" in shown
    assert "Baseline" not in shown


@pytest.mark.parametrize("value", [0.0, -3.5, 1e-9, 1e14, float("nan")])
@pytest.mark.parametrize("unit", ["ratio", "s", "tokens", "score"])
def test_any_value_can_be_drawn(value: float, unit: str) -> None:
    estimate = Estimate(value=value, n=1, low=value, high=value)
    for proof in ([], [series(1, lambda day: 0.2, quantiles=True)]):
        one = finding(1, unit=unit, metric="m", current=estimate, baseline=estimate, evidence=proof)
        svg = draw(one)
        ET.fromstring(svg)
        assert "nan" not in svg.lower().replace("nanum", "")
        assert len(svg) < 25_000


def test_every_chart_is_small_and_carries_nothing_foreign() -> None:
    report = sample_report()
    for one in report.findings:
        svg = finding_chart(one, report.window, report.baseline, "ja", "c1")
        assert len(svg.encode()) < 25_000
        for element in ET.fromstring(svg).iter():
            assert element.tag.startswith(SVG)
            assert element.tag.removeprefix(SVG) not in ("script", "style", "image", "metadata", "a", "foreignObject")
            assert not [name for name in element.attrib if name == "style" or name.startswith("on")]
            assert element.attrib.get("href", "#").startswith("#")


def test_ids_carry_the_prefix_and_every_reference_has_its_target() -> None:
    root = ET.fromstring(draw(finding(1)))
    ids = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    assert len(ids) == len(set(ids)) > 3
    assert all(name.startswith("c1-") for name in ids)
    wanted = {e.attrib["href"].removeprefix("#") for e in root.iter() if "href" in e.attrib}
    assert wanted
    assert wanted <= set(ids)


def test_hostile_names_are_text() -> None:
    one = finding(1, metric=HOSTILE, comparison={"against": "baseline", "segment": {"trace_name": HOSTILE}})
    root = ET.fromstring(draw(one))
    assert (root[0].text or "").startswith("<script>alert('x')</script>")
    assert "⟨U+202E⟩" in (root[0].text or "")
    assert not list(root.iter(f"{SVG}script"))


def test_the_same_chart_has_the_same_bytes_also_in_threads() -> None:
    findings = sample_report().findings
    once = [draw(one, "ja") for one in findings]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda one: draw(one, "ja"), findings * 3)) == once * 3


def test_a_hosts_matplotlib_settings_neither_change_nor_matter() -> None:
    plain = draw(finding(1))
    with matplotlib.rc_context({"svg.fonttype": "path", "lines.linewidth": 9, "axes.facecolor": "red"}):
        before = dict(matplotlib.rcParams)
        assert draw(finding(1)) == plain
        assert dict(matplotlib.rcParams) == before


def test_matplotlib_is_loaded_late_and_without_pyplot() -> None:
    script = (
        "import sys\n"
        "import hansei.tools.report.files\n"
        "assert 'matplotlib' not in sys.modules\n"
        "from tests.support.sample_report import sample_report\n"
        "hansei.tools.report.files.render_html(sample_report())\n"
        "assert 'matplotlib' in sys.modules\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
