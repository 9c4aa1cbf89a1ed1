"""The scorecard itself: it recognises what was planted, sees through a wrong report, and judges figures by its file."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from benchmarks.quality.faults import FAULTS, TEXT_FAULTS, VISITOR_FAULTS, Spot
from benchmarks.quality.lies import hand_in
from benchmarks.quality.probes import probe
from benchmarks.quality.readme import table
from benchmarks.quality.scorer import Scorer
from benchmarks.quality.session import Session, analysed
from benchmarks.quality.strengths import Sample, share_change
from benchmarks.quality.table import THRESHOLDS, Rate, Share, exit_code, figures, judge
from benchmarks.quality.visits import Visit
from benchmarks.quality.world import World, make_world

from hansei.contracts import Finding, Report

pytestmark = pytest.mark.long

RUN = Path(__file__).resolve().parents[2] / "benchmarks" / "quality" / "run.py"


@pytest.fixture(scope="module")
def world() -> World:
    return make_world("faulty", 2, small=True, only=("release_breaks_tool",))


@pytest.fixture(scope="module")
def session(world: World) -> Iterator[Session]:
    with analysed(world) as open_session:
        yield open_session


def changed(report: Report, **update: Any) -> Report:
    """The report with only the finding about the planted errors, changed."""
    return report.model_copy(update={"findings": [told_of(report).model_copy(update=update)]})


def told_of(report: Report) -> Finding:
    """The finding about the planted errors."""
    return next(found for found in report.findings if found.kind == "error")


def test_the_planted_fault_is_recognised_with_its_place_day_and_values(world: World, session: Session) -> None:
    score = Scorer(world, session.report).score()
    (planted,) = score["planted"]
    assert (planted["place"], planted["onset_right"]) == ("right", True)
    about_it = [one for one in score["findings"] if one["ruling"] != "tolerated"]
    assert [one["ruling"] for one in about_it] == ["hit"]
    assert [one["values"] for one in about_it] == [{"checked": True, "right": True}]


def test_a_finding_elsewhere_is_false_and_the_fault_is_missed(world: World, session: Session) -> None:
    (planted,) = world.planted
    other = next(step.name for app, step in world.company.pairs if app.name != planted.spot.app)
    score = Scorer(world, changed(session.report, segment={"observation_name": other})).score()
    assert score["planted"][0]["finding"] is None
    assert score["findings"][0]["ruling"] == "false"


def test_the_app_in_place_of_the_step_is_too_wide(world: World, session: Session) -> None:
    segment = {"trace_name": world.planted[0].spot.app}
    (planted,) = Scorer(world, changed(session.report, segment=segment)).score()["planted"]
    assert planted["place"] == "wide"


def test_a_wrong_value_and_a_wrong_day_are_seen(world: World, session: Session) -> None:
    found = told_of(session.report)
    assert found.onset is not None
    value = found.current.model_copy(update={"value": found.current.value * 1.0001})
    wrong = changed(session.report, current=value, onset=found.onset + timedelta(days=2))
    score = Scorer(world, wrong).score()
    assert score["findings"][0]["values"]["right"] is False
    assert score["planted"][0]["onset_right"] is False


def test_lies_are_refuted_and_the_truth_stands(world: World, session: Session) -> None:
    judged = hand_in(world, session, {told_of(session.report).id})
    verdicts = {(one["what"], one["verdict"] == "confirmed") for one in judged}
    assert verdicts == {("true", True), ("wrong_number", False), ("wrong_segment", False)}


def test_intervals_of_chance_slices_are_held_against_the_simulators_parameters(world: World, session: Session) -> None:
    probes = probe(world, session, 4)
    assert len(probes) == 8
    assert sum(bool(one["covered"]) for one in probes) >= 6


def test_quiet_worlds_give_no_finding_in_either_schema() -> None:
    for seed, schema in ((1, "v3"), (2, "v4")):
        quiet = make_world("clean", seed, small=True)
        assert quiet.company.schema == schema
        assert len(quiet.traps) >= 4
        with analysed(quiet) as session:
            score = Scorer(quiet, session.report).score()
        # What the company never recorded is true to say; there is nothing else.
        assert {one["ruling"] for one in score["findings"]} <= {"tolerated"}


def test_a_world_follows_from_its_seed_and_holds_the_truth_apart(tmp_path: Path) -> None:
    one, same = (make_world("faulty", 7, small=True) for _ in range(2))
    assert one.drawn.rows == same.drawn.rows
    assert one.planted == same.planted
    assert 4 <= len(one.planted) <= 8
    one.write_truth(tmp_path / "truth.json")
    assert json.loads((tmp_path / "truth.json").read_text())["planted"][0]["fault"] == one.planted[0].fault


def test_what_texts_tell_is_planted_beside_the_other_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    worlds = {}
    for share in (0.0, 1.0):
        monkeypatch.setattr("benchmarks.quality.world.TEXTS", share)
        worlds[share] = make_world("faulty", 7, small=True)
    without, beside = worlds[0.0].planted, worlds[1.0].planted
    assert beside[: len(without)] == without
    assert {one.fault for one in beside[len(without) :]} & {fault.id for fault in TEXT_FAULTS}


@pytest.mark.parametrize(
    # Other seeds than the module's own world, whose database is still open.
    ("fault", "seed", "dimension"),
    [("language_missed", 1, "language"), ("plan_cut", 6, "tag"), ("region_loops", 4, "metadata.region")],
)
def test_what_texts_tell_is_recognised_with_its_place_and_values(fault: str, seed: int, dimension: str) -> None:
    world = make_world("faulty", seed, small=True, only=(fault,))
    with analysed(world) as session:
        score = Scorer(world, session.report).score()
    (planted,) = score["planted"]
    assert planted["place"] == "right"
    assert dimension in planted["segment"]
    told = [one for one in score["findings"] if one["ruling"] != "tolerated"]
    assert [(one["ruling"], one["values"]) for one in told] == [("hit", {"checked": True, "right": True})]
    # Called a fault of another kind, it is none that was planted.
    found = next(one for one in session.report.findings if one.id == planted["finding"])
    other = found.model_copy(update={"metric": "silent_failure_rate", "kind": "silent_failure"})
    lie = session.report.model_copy(update={"findings": [other]})
    assert Scorer(world, lie).score()["planted"][0]["finding"] is None


def test_faults_grow_with_their_strength_and_shrink_with_the_data() -> None:
    few, many = Sample(300, 300, 1.0), Sample(30_000, 30_000, 1.0)
    weak, medium, strong = (share_change(few, 0.01, strength) for strength in ("weak", "medium", "strong"))  # type: ignore[arg-type]
    assert weak < medium < strong
    assert share_change(many, 0.01, "weak") == 0.02  # never less than what matters to a person
    assert share_change(few, 0.01, "weak") > 0.04
    faults = (*FAULTS, *TEXT_FAULTS, *VISITOR_FAULTS)
    assert len({fault.id for fault in faults}) == len(faults) >= 25


@pytest.mark.parametrize(
    ("only", "hour", "inside"),
    [
        (("user", "u0001"), 9, True),
        (("user", "u0002"), 9, False),
        (("plan", "trial"), 9, True),
        (("arm", "A"), 9, False),
        (("language", "ja"), 9, True),
        (("hours", "08-10"), 9, True),
        (("hours", "08-10"), 10, False),
        (("hours", "22-01"), 0, True),
    ],
)
def test_a_fault_can_be_confined_to_what_a_trace_carries(only: tuple[str, str], hour: int, inside: bool) -> None:
    at = datetime(2026, 10, 1, hour, 30, tzinfo=UTC)
    visit = Visit("v", "app", at, 0, "u0001", "production", "1", [], [], 0.0, "trial", "eu-west", "B", "ja")
    assert Spot("app", only=only).has(visit) is inside


def test_the_readme_gets_each_figure_and_says_which_is_missed() -> None:
    planted = {"finding": None, "strength": "weak"}
    worlds = [
        result("faulty", traces=1500, planted=[planted] * 40),
        result("faulty", traces=9000, planted=[planted] * 40),
    ]
    written = table(worlds)
    assert "2 worlds of 1,500 to 9,000 traces: 2 with faults. 80 faults were planted." in written
    assert "| weak faults found | 0.0 % (0.0 %–4.6 %) | 0 of 80 | ≥ 0.6 | **missed** |" in written
    assert "| made-up findings refuted | not measured | 0 | ≥ 0.98 | too few cases |" in written


def result(condition: str, **also: Any) -> dict[str, Any]:
    return {"condition": condition, "seed": 1, "planted": [], "findings": [], "probes": [], "lies": [], **also}


def test_intervals_of_shares_and_rates() -> None:
    assert Share(0, 10).interval == pytest.approx((0.0, 0.2775), abs=1e-4)  # Wilson's
    assert Rate(0, 40).interval == pytest.approx((0.0, 0.0922), abs=1e-4)  # Poisson's: 3.69 / 40
    assert Share(0, 0).interval == (0.0, 1.0)


def test_a_broken_threshold_gives_one_and_what_is_not_measured_two() -> None:
    quiet = [result("aa")] * 40
    lines = judge(quiet, strict=True)
    assert {line.name for line in lines if line.state == "holds"} == {"false_discovery_aa"}
    assert exit_code(lines, 0, strict=True) == 2
    false = {"ruling": "false", "severity": "high", "values": {"checked": False}, "covered": []}
    loud = judge([*quiet[:30], *[result("aa", findings=[false])] * 10], strict=True)
    assert exit_code(loud, 0, strict=True) == 1
    assert exit_code(judge(quiet, strict=False), 0, strict=False) == 0
    assert exit_code(judge(quiet, strict=False), 1, strict=False) == 2


def test_each_threshold_is_of_a_figure_and_has_its_reason() -> None:
    rules = json.loads(THRESHOLDS.read_text(encoding="utf-8"))
    assert set(rules) <= set(figures([]))
    assert all(len(rule["reason"]) > 40 and rule["cases"] >= 40 for rule in rules.values())


def test_the_command_says_that_it_could_not_measure(tmp_path: Path) -> None:
    arguments = ["--worlds", "0", "--clean", "0", "--results", str(tmp_path / "results.jsonl")]
    done = subprocess.run([sys.executable, RUN, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stdout
    assert done.stderr.splitlines()[-1].endswith("error: there are no worlds to measure")
