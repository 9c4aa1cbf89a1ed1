"""Which slices' traffic is told to have moved: by themselves, as parts of an app, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest

from hansei.tools.playbook.cells import Cells
from hansei.tools.playbook.traffic_slices import Days, Moved, known_days, moved_alone, moved_places

DAYS = Days(28, 7, 7)

Traces = Callable[[int], float]
"""Day (of the window from 0 on) → traces."""


def steady(n: float) -> Traces:
    return lambda day: n + (day * 7919 % 5 - 2)


def until(day: int, n: float, then: float = 0.0) -> Traces:
    return lambda at: n if at < day else then


def cells_of(values: Mapping[tuple[str, str], Traces], key: str = "metadata.tenant") -> Cells:
    rows = [(day, app, value, traces(day)) for (app, value), traces in values.items() for day in range(-28, 7)]
    columns = dict(zip(("day", "trace_name", key, "n"), zip(*rows, strict=True), strict=True))
    return Cells.read({**columns, "environment": [""] * len(rows)}, ("trace_name", "environment", key))


def told(values: Mapping[tuple[str, str], Traces]) -> tuple[list[dict[str, str]], set[str]]:
    cells = cells_of(values)
    found, explained, _ = moved_alone(moved_places((cells,), DAYS)[0], {"metadata.tenant": cells}, DAYS)
    return [dict(one.segment) for one in found], explained


TENANTS = {("chat", tenant): steady(30) for tenant in "abcdef"} | {
    ("search", tenant): steady(20) for tenant in "abcdef"
}


def test_a_tenant_that_leaves_all_apps_is_told_once() -> None:
    gone = {("chat", "a"): until(2, 30), ("search", "a"): until(2, 20)}
    assert told(TENANTS | gone) == ([{"metadata.tenant": "a"}], {"", "chat", "search"})


def test_a_tenant_that_leaves_one_app_is_told_of_that_app() -> None:
    assert told(TENANTS | {("chat", "a"): until(1, 30)}) == (
        [{"metadata.tenant": "a", "trace_name": "chat"}], {"chat"}
    )  # fmt: skip


def test_what_all_do_alike_is_told_by_none() -> None:
    assert told({place: until(2, traces(0), traces(0) / 3) for place, traces in TENANTS.items()})[0] == []


@pytest.mark.parametrize("grows", [1.0, 1.4], ids=["the rest stays", "the app grows"])
def test_values_that_take_the_place_of_others_are_no_traffic(grows: float) -> None:
    """Builds that come and go, also while their app grows a little."""
    builds = {("chat", f"b{week}"): lambda day, week=week: 100.0 if day // 7 == week else 0.0 for week in range(-4, 0)}
    new = {("chat", "b0"): lambda day: 100.0 * grows if day >= 0 else 0.0}
    assert told(TENANTS | builds | new)[0] == []  # type: ignore[operator]


def test_a_customer_who_is_too_small_to_matter_is_not_told() -> None:
    small = {("chat", "tiny"): until(0, 16)}
    assert told({**{("chat", f"t{i}"): steady(60) for i in range(12)}, **small})[0] == []


@pytest.mark.parametrize(
    ("history", "kept"),
    [
        ([5, 5, 5, 5, 5, 5, 5, 5, 5], 9),
        ([0, 0, 1, 9, 9, 9, 9, 9, 9, 9], 7),  # the first day began within the day
        ([0, 0, 1, 9, 9, 9, 9, 9, 9], 7),  # a week is kept
        ([0, 0, 0, 0, 0, 0, 0, 0, 9, 9], 2),  # before there was anything there is no history
        ([0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 7),  # nobody has ever come
        ([], 0),
    ],
)  # fmt: skip
def test_which_days_before_are_known(history: Sequence[float], kept: int) -> None:
    counts = np.asarray(history, dtype=np.float64)
    assert known_days(counts, 7).tolist() == list(history)[len(history) - kept :]


def test_a_first_day_that_is_cut_off_hides_no_growth() -> None:
    week = [144.0, 150.0, 160.0, 151.0, 149.0, 90.0, 85.0]
    before, after = [7.0, *week[1:], *week[:1]], [2.6 * count for count in (*week[1:], *week[:1])]
    moved = Moved.of({}, np.asarray([0.0] * 20 + before + after), Days(28, 7, 7))
    assert moved is not None
    assert moved.p < 1e-3
