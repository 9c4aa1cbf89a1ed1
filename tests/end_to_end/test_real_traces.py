"""The whole job over real traces of agent frameworks, in both schemas."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.job import analyse, database_of, differences, fill, told, verify, writing
from tests.support.real_traces import (
    REASON,
    RealTrace,
    as_metadata,
    as_time,
    cost_of,
    is_native,
    real_traces,
    repeated,
    usage_of,
)
from tests.support.schemas import both

from hansei import Report
from hansei.demo.tables import SCHEMAS, Schema
from hansei.tools.clickhouse import close_readers

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

TRACES = real_traces()

pytestmark = [pytest.mark.long, pytest.mark.skipif(not TRACES, reason=REASON)]

_numbers = count()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield f"chdb://{tmp_path_factory.mktemp('real')}"
    close_readers()


@pytest.fixture(scope="module")
def stored(directory: str) -> dict[Schema, str]:
    """The traces as they are, in their own projects: schema → URL."""
    return {
        schema: fill(f"{directory}?database=as_is_{schema}", schema, *(trace.rows for trace in TRACES))
        for schema in SCHEMAS
    }


# Reading back


TRACE_FIELDS = {
    "id": "id", "projectId": "project_id", "name": "name", "environment": "environment", "userId": "user_id",
    "sessionId": "session_id", "release": "release", "version": "version", "tags": "tags", "input": "input",
    "output": "output", "public": "public", "bookmarked": "bookmarked", "timestamp": "timestamp",
    "createdAt": "created_at", "updatedAt": "updated_at", "metadata": "metadata",
}  # fmt: skip
OBSERVATION_FIELDS = {
    "id": "id", "traceId": "trace_id", "projectId": "project_id", "type": "type", "environment": "environment",
    "parentObservationId": "parent_observation_id", "startTime": "start_time", "endTime": "end_time", "name": "name",
    "level": "level", "statusMessage": "status_message", "version": "version", "input": "input", "output": "output",
    "modelParameters": "model_parameters", "completionStartTime": "completion_start_time", "promptId": "prompt_id",
    "promptName": "prompt_name", "promptVersion": "prompt_version", "createdAt": "created_at",
    "updatedAt": "updated_at", "usageDetails": "usage_details", "costDetails": "cost_details",
    "providedCostDetails": "provided_cost_details", "model": "provided_model_name", "internalModelId": "model_id",
    "usagePricingTierId": "usage_pricing_tier_id", "usagePricingTierName": "usage_pricing_tier_name",
    "totalCost": "total_cost", "metadata": "metadata",
}  # fmt: skip
SCORE_FIELDS = {
    "id": "id", "timestamp": "timestamp", "projectId": "project_id", "environment": "environment", "name": "name",
    "source": "source", "comment": "comment", "traceId": "trace_id", "observationId": "observation_id",
    "sessionId": "session_id", "datasetRunId": "dataset_run_id", "value": "value", "stringValue": "string_value",
    "dataType": "data_type", "createdAt": "created_at", "updatedAt": "updated_at", "metadata": "metadata",
    "authorUserId": "author_user_id", "configId": "config_id", "queueId": "queue_id",
}  # fmt: skip
COMPUTED = {
    "scores", "latency", "timeToFirstToken", "inputCost", "outputCost", "inputUsage", "outputUsage", "totalUsage",
    "calculatedInputCost", "calculatedOutputCost", "calculatedTotalCost",
}  # fmt: skip
"""What the API adds and the tables do not hold."""


def normal(field: str, api: Any) -> Any:
    """A value of the API in the form in which it is read back."""
    if field == "metadata":
        return as_metadata(api)
    if field.endswith(("_at", "_time", "timestamp")):
        return as_time(api)
    if field == "value":
        return float(api)
    return Decimal(api) if field == "total_cost" else api


def read_back(field: str, stored: Any, api: Any) -> Any:
    """A stored value in the same form; whatever is JSON in the API is parsed again."""
    if isinstance(api, (dict, list)) and isinstance(stored, str):
        return json.loads(stored, parse_float=Decimal)
    if field == "total_cost":
        return stored or Decimal(0)
    if isinstance(stored, datetime):
        return stored.replace(tzinfo=UTC)
    return stored


def assert_kept(stored: Mapping[str, Any], api: Mapping[str, Any], fields: Mapping[str, str], empty: Any) -> None:
    """Every field of the API's object is in the row. `empty` is what stands for a missing text."""
    assert api.keys() <= {*fields, *COMPUTED}
    for name in api.keys() - COMPUTED:
        field = fields[name]
        wanted = normal(field, api[name])
        found = read_back(field, stored[field], api[name])
        if wanted is None and found == empty:
            continue
        assert found == wanted, f"{api['id']} {name}"


def rows_of(client: Client, sql: str) -> dict[str, dict[str, Any]]:
    found = client.query(sql, query_tz="UTC")
    return {row["id"]: row for row in found.named_results()}


def test_v3_holds_every_value(stored: dict[Schema, str]) -> None:
    place = database_of(stored["v3"])
    with writing(stored["v3"]) as client:
        traces = rows_of(client, f"SELECT * FROM {place}.traces FINAL")
        steps = rows_of(client, f"SELECT *, internal_model_id AS model_id FROM {place}.observations FINAL")
        scores = rows_of(client, f"SELECT * FROM {place}.scores FINAL")
    assert_all_kept(traces, steps, scores, empty=None)


def test_v4_holds_every_value(stored: dict[Schema, str]) -> None:
    place = database_of(stored["v4"])
    renamed = (
        "*, parent_span_id AS parent_observation_id, mapFromArrays(metadata_names, metadata_values) AS metadata,"
        " cost_details['total'] AS total_cost"
    )
    synthetic = "span_id = concat('t-', trace_id)"
    place = f"{place}.events_full FINAL"
    with writing(stored["v4"]) as client:
        traces = rows_of(
            client,
            f"SELECT trace_id AS id, start_time AS timestamp, {renamed} FROM {place} WHERE {synthetic}",
        )
        steps = rows_of(client, f"SELECT span_id AS id, {renamed} FROM {place} WHERE NOT {synthetic}")
        scores = rows_of(client, f"SELECT * FROM {database_of(stored['v4'])}.scores FINAL")
    for step in steps.values():
        if step["parent_observation_id"] == f"t-{step['trace_id']}":
            step["parent_observation_id"] = ""
    assert_all_kept(traces, steps, scores, empty="")


def assert_all_kept(
    traces: Mapping[str, Any], steps: Mapping[str, Any], scores: Mapping[str, Any], empty: str | None
) -> None:
    assert len(traces) == len(TRACES)
    assert len(steps) == sum(len(real.observations) for real in TRACES)
    assert len(scores) == sum(len(real.trace.get("scores", [])) for real in TRACES)
    for real in TRACES:
        assert_kept(traces[real.trace["id"]], real.trace, TRACE_FIELDS, empty)
        for observation in real.observations:
            step = steps[observation["id"]]
            assert_kept(step, observation, OBSERVATION_FIELDS, empty)
            assert (step["usage_details"], step["cost_details"]) == (usage_of(observation), cost_of(observation))
        for score in real.trace.get("scores", []):
            assert_kept(scores[score["id"]], score, SCORE_FIELDS, None)


# The whole job


def tally(traces: list[RealTrace]) -> dict[str, Any]:
    """What one set of the traces holds, counted from the JSON."""
    steps = [step for real in traces for step in real.observations]
    return {
        "traces": len(traces),
        "observations": len(steps),
        "scores": sum(len(real.trace.get("scores", [])) for real in traces),
        "errors": sum(step["level"] == "ERROR" for step in steps),
        "total_cost": float(sum(Decimal(step["totalCost"]) for step in steps if step["model"])),
    }


def counted(report: Report, period: str) -> dict[str, Any]:
    return {name: getattr(getattr(report.coverage, name), period) for name in tally([])}


@pytest.mark.parametrize("schema", both("v4"))
def test_the_traces_alone(stored: dict[Schema, str], schema: Schema) -> None:
    """Too few to find anything in: that is said, and nothing else."""
    for project in sorted({real.trace["projectId"] for real in TRACES}):
        mine = [real for real in TRACES if real.trace["projectId"] == project]
        report = analyse(stored[schema], project, window="365d", baseline="3650d")
        newest = max(real.rows.traces[0].timestamp for real in mine)
        recent = [real for real in mine if real.rows.traces[0].timestamp >= report.window.start]
        earlier = [real for real in mine if real.rows.traces[0].timestamp < report.window.start]
        assert report.window.start < newest < report.window.end
        # Some traces were moved to another project without their scores.
        given = [row.timestamp for real in TRACES for row in real.rows.scores if row.project_id == project]
        for period, traces in (("window", recent), ("baseline", earlier)):
            span = getattr(report, period)
            scores = sum(span.start <= moment < span.end for moment in given)
            assert counted(report, period) == pytest.approx({**tally(traces), "scores": scores}, rel=1e-9)
        assert report.findings == report.refuted == []
        assert verify(stored[schema], report).differences == []


UNTIL = datetime(2026, 6, 15, tzinfo=UTC)
PER_DAY = 6


def without_tools(report: dict[str, Any]) -> dict[str, Any]:
    """A report without the query for definitions of tools: these traces keep them in inputs, whole in v3 only."""
    health = report["health"]
    evidence = [item for item in health["evidence"] if item["id"] != "health.tools"]
    return {**report, "health": {**health, "evidence": evidence}}


@pytest.mark.parametrize(
    "native", [pytest.param(False, id="converted", marks=pytest.mark.long), pytest.param(True, id="opentelemetry")]
)
def test_the_same_traces_every_day(directory: str, native: bool) -> None:
    """Nothing changes from the baseline to the window, so no change may be found."""
    sets = list(repeated(TRACES, UNTIL, days=14, per_day=PER_DAY, project_id="real", native=native))
    reports: dict[Schema, Report] = {}
    for schema in SCHEMAS:
        url = fill(f"{directory}?database=daily_{next(_numbers)}", schema, *sets)
        reports[schema] = report = analyse(url, "real", until=UNTIL.isoformat())
        once = tally(TRACES)
        for period in ("window", "baseline"):
            assert counted(report, period) == pytest.approx(
                {name: value * 7 * PER_DAY for name, value in once.items()}, rel=1e-9
            )
        assert [f.title for f in report.findings if f.direction != "hotspot"] == []
        for finding in report.findings:
            assert_true_hotspot(finding.metric, finding.segment, finding.current.value)
        assert verify(url, report).differences == []
    assert differences(*(without_tools(told(reports[schema])) for schema in SCHEMAS)) == []
    assert sum(is_native(real.rows) for real in TRACES) > len(TRACES) / 2


LACKING: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "generations_without_usage": lambda step: not usage_of(step),
    "generations_without_cost": lambda step: not cost_of(step),
    "generations_without_model": lambda step: not step["model"],
}


def assert_true_hotspot(metric: str, segment: Mapping[str, str], value: float) -> None:
    """What stands out inside the window is in the JSON itself: a span never ended, model calls without usage."""
    if metric in LACKING:
        calls = [
            step
            for real in TRACES
            for step in real.observations
            if {"trace_name": real.trace["name"], "observation_name": step["name"], "model": step["model"]}.items()
            >= segment.items()
            and step["type"] == "GENERATION" and step["level"] != "ERROR" and step["endTime"]
        ]  # fmt: skip
        assert value == pytest.approx(sum(map(LACKING[metric], calls)) / len(calls))
        return
    assert metric == "unfinished_rate"
    [name] = segment.values()
    steps = [
        step
        for real in TRACES
        for step in real.observations
        if step["type"] != "EVENT" and name in (real.trace["name"], step["name"])
    ]
    unfinished = sum(step["endTime"] is None for step in steps)
    assert unfinished
    assert math.isclose(value, unfinished / len(steps))
