"""The simulation by itself, without a database."""

from __future__ import annotations

import math
from collections import Counter
from datetime import timedelta

import pytest

from hansei.contracts import Direction, Kind
from hansei.demo import Simulation
from hansei.demo.calendar import BASE_TIME, DAYS, START, to_datetime
from hansei.demo.pricing import MODELS
from hansei.demo.rows import ObservationRow, Rows, TraceRow
from hansei.demo.simulate import PROJECT_ID
from hansei.demo.truth import Change, Truth
from hansei.errors import UsageError


def simulate(seed: int, traces: int) -> tuple[Rows, Truth]:
    simulation = Simulation(seed, traces)
    rows = Rows()
    for batch in simulation.batches():
        rows.extend(batch)
    return rows, simulation.truth()


@pytest.fixture(scope="module")
def small() -> tuple[Rows, Truth]:
    return simulate(seed=7, traces=2_000)


def counted(rows: Rows) -> list[TraceRow]:
    """The last versions of the project's traces that count."""
    latest: dict[str, TraceRow] = {}
    for row in rows.traces:
        if row.project_id == PROJECT_ID and not row.environment.startswith("langfuse-"):
            latest[row.id] = row
    return [row for row in latest.values() if not row.is_deleted]


def test_same_seed_same_rows(small: tuple[Rows, Truth]) -> None:
    again, truth = simulate(seed=7, traces=2_000)
    assert again == small[0]
    assert truth == small[1]


def test_another_seed_gives_other_rows_and_the_same_problems(small: tuple[Rows, Truth]) -> None:
    rows, truth = simulate(seed=8, traces=2_000)
    assert not {row.id for row in rows.traces} & {row.id for row in small[0].traces}
    assert [planted.id for planted in truth.planted] == [planted.id for planted in small[1].planted]
    assert [planted.segment for planted in truth.planted] == [planted.segment for planted in small[1].planted]


def test_exactly_as_many_traces_as_asked(small: tuple[Rows, Truth]) -> None:
    rows, truth = small
    assert truth.traces == len(counted(rows)) == 2_000


def test_too_few_traces_are_refused() -> None:
    with pytest.raises(UsageError, match="too few") as refusal:
        Simulation(traces=499)
    assert refusal.value.remedy == "Ask for 500 or more."


def test_data_lies_in_the_four_weeks_and_ends_just_before_the_base_time(small: tuple[Rows, Truth]) -> None:
    rows, _ = small
    moments = [row.timestamp for row in rows.traces] + [row.start_time for row in rows.observations]
    moments += [row.timestamp for row in rows.scores]
    assert BASE_TIME - timedelta(days=DAYS) == to_datetime(START) <= min(moments)
    assert BASE_TIME - timedelta(minutes=1) < max(row.timestamp for row in counted(rows)) < BASE_TIME
    assert max(moments) < BASE_TIME


def test_every_observation_has_its_trace_and_its_parent(small: tuple[Rows, Truth]) -> None:
    rows, _ = small
    traces = {row.id: row for row in rows.traces}
    observations = {row.id: row for row in rows.observations}
    for row in rows.observations:
        trace = traces[row.trace_id]
        assert (row.project_id, row.environment) == (trace.project_id, trace.environment)
        assert row.start_time >= trace.timestamp
        if row.parent_observation_id is not None:
            assert observations[row.parent_observation_id].trace_id == row.trace_id


def test_a_trace_sent_by_opentelemetry_has_one_root_that_starts_it(small: tuple[Rows, Truth]) -> None:
    rows, _ = small
    roots: dict[str, set[str]] = {}
    starts, inputs = {}, {}
    for row in rows.observations:
        if row.parent_observation_id is None:
            roots.setdefault(row.trace_id, set()).add(row.id)
            starts[row.trace_id], inputs[row.trace_id] = row.start_time, row.input
    native = [row for row in rows.traces if row.opentelemetry]
    assert native
    for trace in native:
        assert len(roots[trace.id]) == 1
        assert starts[trace.id] == trace.timestamp
        assert trace.input == inputs[trace.id] or trace.project_id != PROJECT_ID


def test_cost_is_tokens_times_list_price(small: tuple[Rows, Truth]) -> None:
    prices = {model.name: model for model in MODELS}
    paid = [row for row in small[0].observations if row.cost_details and row.project_id == PROJECT_ID]
    row = next(row for row in paid if row.name == "summarise" and row.prompt_version == 3)
    model = prices[str(row.model)]
    usage = row.usage_details
    dollars = usage["input"] * model.input_price + usage["input_cached_tokens"] * model.cached_price
    dollars += usage["output"] * model.output_price
    assert float(row.cost_details["total"]) == pytest.approx(dollars / 1e6, abs=1e-12)
    assert usage["total"] == usage["input"] + usage["input_cached_tokens"] + usage["output"]


def test_days_and_hours_have_their_rhythm(small: tuple[Rows, Truth]) -> None:
    days = Counter(row.timestamp.weekday() for row in counted(small[0]) if row.name == "support-agent")
    assert (days[5] + days[6]) / 2 < sum(days[day] for day in range(5)) / 5
    hours = Counter(row.timestamp.hour for row in counted(small[0]))
    assert max(hours.values()) > 2 * min(hours.values())


def test_versions_of_a_row_agree_on_what_makes_their_key(small: tuple[Rows, Truth]) -> None:
    keys: dict[str, set[tuple[object, ...]]] = {}
    events: dict[str, list[object]] = {}
    for row in small[0].observations:
        keys.setdefault(row.id, set()).add((row.project_id, row.type, row.start_time, row.trace_id))
        events.setdefault(row.id, []).append(_event_time(row))
    assert all(len(found) == 1 for found in keys.values())
    versions = [times for times in events.values() if len(times) > 1]
    assert len(versions) > 100
    assert all(times == sorted(times) and len(set(times)) == len(times) for times in versions)  # type: ignore[type-var]


def _event_time(row: ObservationRow) -> object:
    return row.event_ts or row.end_time or row.start_time


@pytest.fixture(scope="module")
def visible() -> Truth:
    """The smallest data in which every planted problem is said to be visible."""
    truth = simulate(seed=7, traces=16_000)[1]
    assert max(planted.visible_from_traces for planted in truth.planted) == 16_000
    return truth


def z_of_rates(change: Change, reference: Change | None = None) -> float:
    """Two-proportion z of the window against the baseline, or against another segment's window."""
    now, then = change.window, reference.window if reference else change.baseline
    assert now.events is not None
    assert then.events is not None
    share = (now.events + then.events) / (now.n + then.n)
    error = math.sqrt(share * (1 - share) * (1 / now.n + 1 / then.n))
    return (now.events / now.n - then.events / then.n) / error


@pytest.mark.parametrize(
    "planted_id", ["lookup_order_timeouts", "run_query_silent_failure", "fetch_page_unfinished", "web_search_loops"]
)
def test_planted_rates_stand_out(visible: Truth, planted_id: str) -> None:
    assert z_of_rates(visible.find(planted_id).changes[0]) > 4


@pytest.mark.parametrize("planted_id", ["answer_v7_disliked", "staging_rate_limits"])
def test_planted_segments_stand_out_from_their_reference(visible: Truth, planted_id: str) -> None:
    planted = visible.find(planted_id)
    assert abs(z_of_rates(planted.changes[0], planted.reference[0])) > 4


def test_planted_sizes_are_as_described(visible: Truth) -> None:
    def ratio(planted_id: str, number: int = 0) -> float:
        change = visible.find(planted_id).changes[number]
        now = change.since_onset or change.window
        assert now.value is not None
        assert change.baseline.value is not None
        return now.value / change.baseline.value

    assert ratio("summarise_v4_lost_cache") == pytest.approx(1.65, abs=0.07)
    assert ratio("summarise_v4_lost_cache", 1) == pytest.approx(1.6, abs=0.05)
    assert ratio("summarise_v4_lost_cache", 2) == 0
    assert ratio("write_sql_slow") == pytest.approx(2.3, abs=0.5)
    assert ratio("search_docs_faster", 1) == pytest.approx(0.6, abs=0.05)
    copilot = visible.find("copilot_traffic_fell").changes[0]
    assert copilot.window.value is not None
    assert copilot.baseline.value is not None
    assert copilot.window.value < 0.85 * copilot.baseline.value
    runaway, share = visible.find("research_runaways").changes
    assert runaway.baseline.events == 0
    assert (runaway.window.events or 0) >= 2
    assert (share.window.value or 0) > 0.2


def test_nothing_unplanted_moves_among_the_healthy_apps(visible: Truth) -> None:
    staging = visible.find("staging_rate_limits")
    assert abs(z_of_rates(staging.changes[0])) < 3.3
    assert abs(z_of_rates(staging.reference[0])) < 3.3
    answer = visible.find("answer_v7_disliked")
    assert abs(z_of_rates(answer.reference[0])) < 3.3


def test_truth_survives_its_file(small: tuple[Rows, Truth], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("truth") / "truth.json"
    small[1].write(path)
    assert Truth.model_validate_json(path.read_text(encoding="utf-8")) == small[1]
    assert [file.name for file in path.parent.iterdir()] == ["truth.json"]
    with pytest.raises(KeyError):
        small[1].find("no such problem")


@pytest.mark.parametrize(
    ("kind", "direction", "segment", "ruling"),
    [
        ("error", "regression", {"observation_name": "lookup_order"}, ("planted", "lookup_order_timeouts")),
        ("error", "improvement", {"tool_name": "refund"}, ("false_alarm", None)),
        ("error", "regression", {"trace_name": "support-agent"}, ("echo", "lookup_order_timeouts")),
        (
            "quality",
            "regression",
            {"prompt_name": "answer", "prompt_version": "7", "environment": "production"},
            ("planted", "answer_v7_disliked"),
        ),
        ("cost", "regression", {"prompt_name": "plan", "prompt_version": "2"}, ("echo", "research_runaways")),
        ("latency", "improvement", {"observation_name": "search_docs"}, ("planted", "search_docs_faster")),
        ("traffic", "regression", {}, ("echo", "copilot_traffic_fell")),
        ("traffic", "regression", {"trace_name": "support-agent"}, ("false_alarm", None)),
        ("traffic", "regression", {"trace_name": "quick-answer"}, ("tolerated", "mix_shift")),
        ("cost", "regression", {"trace_name": "quick-answer"}, ("false_alarm", None)),
        ("cost", "regression", {}, ("echo", "research_runaways")),
        ("cost", "regression", {"environment": "production"}, ("false_alarm", None)),
        ("error", "regression", {"observation_name": "export_pdf"}, ("false_alarm", None)),
    ],
)
def test_truth_judges_findings(
    small: tuple[Rows, Truth],
    kind: Kind,
    direction: Direction,
    segment: dict[str, str],
    ruling: tuple[str, str | None],
) -> None:
    assert small[1].rule(kind, direction, segment) == ruling


def test_no_trap_is_planted(small: tuple[Rows, Truth]) -> None:
    truth = small[1]
    for trap in truth.traps:
        for segment in trap.segments:
            for kind in ("error", "cost", "latency", "quality", "unfinished", "silent_failure"):
                assert truth.rule(kind, "regression", segment)[0] == "false_alarm", (trap.id, segment, kind)
