"""What traces carry, on made-up cells: a value is held against the other values, however large its own share is."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import cast

import numpy as np
import pytest

from hansei.contracts import Segment
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.playbook.attributes import DIMENSIONS, HOUR, Cohorts
from hansei.tools.playbook.cells import Cells
from hansei.tools.playbook.cohorts import confined
from hansei.tools.playbook.error import RATE
from hansei.tools.playbook.expectation import Question, expect
from hansei.tools.playbook.multiplicity import deviations_to_stand
from hansei.tools.playbook.share_cohorts import read_shares

WORSE = Question("n", "errors", [()], [()], min_x=50, min_effect=0.01, min_relative=0.5)
ALIKE = [("trace_name", "step"), ("step",)]


def cells_of(
    shares: dict[str, float], rates: dict[str, float], steps: int = 2, seed: int = 1, usual: float = 0.02
) -> Cells:
    """Two apps that call the same tools for 14 days; the first app's first tool fails in the window by `rates`."""
    random = np.random.default_rng(seed)
    rows = []
    for day in range(-7, 7):
        for app in ("support", "research"):
            for step in range(steps):
                for plan, share in shares.items():
                    calls = round(150 * share)
                    hit = day >= 0 and app == "support" and step == 0
                    rate = rates.get(plan, usual) if hit else usual
                    errors = int(random.binomial(calls, rate))
                    rows.append((day, app, "production", "TOOL", f"tool{step}", plan, calls, errors))
    names = ("day", *DIMENSIONS, "tag", "n", "errors")
    return Cells.read(dict(zip(names, zip(*rows, strict=True), strict=True)), (*DIMENSIONS, "tag"))


def told(cells: Cells) -> list[Segment]:
    candidates, _ = confined("error", RATE, Cohorts({"tag": cells}), WORSE)
    return [candidate.segment for candidate in candidates]


@pytest.mark.parametrize("share", [0.1, 0.4, 0.65])
def test_a_value_is_told_whatever_its_share_of_the_traffic(share: float) -> None:
    cells = cells_of({"team": share, "free": (1 - share) / 2, "trial": (1 - share) / 2}, {"team": 0.16})
    assert told(cells) == [{"tag": "team", "tool_name": "tool0", "trace_name": "support"}]


@pytest.mark.parametrize("seed", range(4))
def test_a_value_is_told_that_hardly_ever_failed_before(seed: int) -> None:
    shares = {"team": 0.15, "free": 0.5, "trial": 0.35}
    failing = cells_of(shares, {"team": 0.3}, steps=1, seed=seed, usual=0.002)
    assert told(failing) == [{"tag": "team", "trace_name": "support"}]
    assert told(cells_of(shares, {}, steps=1, seed=seed, usual=0.002)) == []


def test_where_few_slices_are_compared_fewer_standard_errors_make_a_candidate() -> None:
    weak = cells_of({"team": 0.3, "free": 0.7}, {"team": 0.065}, steps=1, seed=2)
    ((found,), few) = confined("error", RATE, Cohorts({"tag": weak}), WORSE)
    assert deviations_to_stand(few) < found.strength < 4.5
    others = cells_of({"team": 0.3, "free": 0.7}, {}, steps=60)
    codes, values = ({"region" if unit == "tag" else unit: held for unit, held in all_of_it.items()}
                     for all_of_it in (others.codes, others.values))  # fmt: skip
    much = Cohorts({"tag": weak, "region": replace(others, codes=codes, values=values)})
    found_among, many = confined("error", RATE, much, WORSE)
    assert deviations_to_stand(many) > found.strength
    assert found_among == []


def test_where_only_some_steps_were_read_a_value_is_told_with_its_step() -> None:
    cells = cells_of({"team": 0.3, "free": 0.7}, {"team": 0.16}, steps=1)
    cells = cells.where(cells.text("trace_name") == "support")
    for whole, segment in ((True, {"tag": "team"}), (False, {"tag": "team", "tool_name": "tool0"})):
        found, _ = confined("error", RATE, Cohorts({"tag": cells}, whole=whole), WORSE)
        assert [candidate.segment for candidate in found] == [segment]


def test_nothing_is_asked_of_steps_to_which_next_to_nothing_happened() -> None:
    """There is no data to ask here."""
    nobody = cast(Dataset, None)
    cells = cells_of({"team": 1.0}, {}, seed=2)
    few = replace(cells, sums={**cells.sums, "errors": np.minimum(cells.sums["errors"], np.arange(len(cells)) < 4)})
    assert read_shares(nobody, few, {"errors": "n"}, "").cells == {}
    with pytest.raises(AttributeError):
        read_shares(nobody, cells, {"errors": "n"}, "")


def test_what_hits_all_values_is_told_of_none() -> None:
    shares = {"team": 0.6, "free": 0.2, "trial": 0.2}
    assert not told(cells_of(shares, dict.fromkeys(shares, 0.16)))


def test_what_is_expected_of_a_value_is_what_the_others_did() -> None:
    cells = cells_of({"team": 0.5, "free": 0.5}, {"team": 0.5, "free": 0.1})
    window = cells.where(cells.in_window)
    together = expect(window, window, Question("n", "errors", ALIKE, [()]), scatter=False)
    apart = expect(window, window, Question("n", "errors", ALIKE, [()]), scatter=False, others="tag")
    mine = (
        (window.text("tag") == "team") & (window.text("trace_name") == "support") & (window.text("step", 1) == "tool0")
    )
    calls = window.sums["n"][mine]
    assert together.y[mine] / calls == pytest.approx(0.3, abs=0.03)
    assert apart.y[mine] / calls == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize("seed", range(3))
def test_hours_are_told_with_the_app_in_which_the_step_fails_then(seed: int) -> None:
    """Neither the step in all apps nor the app with all its steps shows it clearly."""
    random = np.random.default_rng(seed)
    rows = []
    for day in range(-7, 7):
        for app, step in product(("support", "research", "planning"), ("lookup", "refund", "search")):
            for hour in range(24):
                rate = 0.1 if (day >= 0 and (app, step) == ("support", "lookup") and 12 <= hour < 16) else 0.03
                errors = int(random.binomial(40, rate))
                rows.append((day, app, "production", "TOOL", step, f"{hour:02d}", 40, errors))
    names = ("day", *DIMENSIONS, HOUR, "n", "errors")
    cells = Cells.read(dict(zip(names, zip(*rows, strict=True), strict=True)), (*DIMENSIONS, HOUR))
    (found,), _ = confined("error", RATE, Cohorts({HOUR: cells}), WORSE)
    assert {**found.segment, HOUR: ""} == {"trace_name": "support", "tool_name": "lookup", HOUR: ""}
    # Its ends are known to an hour.
    assert found.segment[HOUR] in {f"{first}:00-{last}:00" for first in (11, 12, 13) for last in (15, 16, 17)}
