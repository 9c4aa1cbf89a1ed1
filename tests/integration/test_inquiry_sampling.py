"""Samples of traces: bad and good ones apart, the same on every run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.inquiry import dataset_in
from tests.support.inquiry_kit import Kit, world
from tests.support.job import writing
from tests.support.schemas import both

from hansei.tools.clickhouse import open_reader
from hansei.tools.inquiry.sampling import METRICS
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.untrusted import OPENING

pytestmark = pytest.mark.long


@pytest.fixture(scope="module", params=both("v4"))
def dataset(request: pytest.FixtureRequest, place: Any) -> Iterator[Dataset]:
    url = f"{place.url}_{request.param}"
    with writing(url) as client:
        yield dataset_in(client, reader := open_reader(url), request.param, world())
        reader.close()
        client.command(f"DROP DATABASE {client.database}")


@pytest.fixture
def kit(dataset: Dataset) -> Kit:
    return Kit(dataset)


def strata(said: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in said.split(OPENING)[1].splitlines()[1:-1]:
        id, _, stratum = line.split(" · ")[:3]
        found.setdefault(stratum, []).append(id)
    return found


def failed(dataset: Dataset, period: str = "window") -> set[str]:
    compare = ">=" if period == "window" else "<"
    sql = dataset.bind(
        f"""SELECT DISTINCT trace_id FROM observations WHERE level = 'ERROR' AND type = 'TOOL' AND name = 'lookup_order'
        AND start_time {compare} {{window_start:DateTime64(6, 'UTC')}}""",
        ("observations",),
    )
    return {str(row[0]) for row in dataset.ask("f", "f", sql).rows}


@pytest.mark.parametrize("period", ["window", "baseline"])
def test_bad_and_good_traces_are_told_apart(kit: Kit, period: str) -> None:
    bad = failed(kit.dataset, period)
    if period == "baseline":
        assert not bad
    said = kit.said("sample_traces", segment={"tool_name": "lookup_order"}, count=10, period=period)
    found = strata(said)
    if bad:
        assert f"5 of {len(bad)} bad traces" in said
        assert len(found["bad"]) == len(found["good"]) == 5
        assert set(found["bad"]) <= bad
    assert len(found["good"]) == (5 if bad else 10)
    assert not set(found["good"]) & bad


def test_the_same_seed_draws_the_same_traces(kit: Kit) -> None:
    one, two, three = (kit.said("sample_traces", which="any", seed=seed, count=20) for seed in (7, 7, 8))
    assert one == two
    assert strata(one) != strata(three)


@pytest.mark.parametrize("which", ["both", "bad", "good", "any"])
def test_every_metric_can_be_sampled(kit: Kit, which: str) -> None:
    drawn = 0
    for metric in METRICS:
        said = kit.said("sample_traces", metric=metric, which=which, count=4)
        if OPENING not in said:
            assert "there are no" in said
            continue
        found = strata(said)
        drawn += 1
        assert 0 < sum(map(len, found.values())) <= 4
        if which in ("bad", "good") and metric != "traces_per_day":
            assert set(found) == {which}
    assert drawn >= 5


def test_a_findings_parameters_and_metadata_can_be_given(kit: Kit) -> None:
    said = kit.said("sample_traces", metric="step_latency_p95", parameters={"slow_ms": 1e9}, which="good", count=2)
    assert "Bad by step_latency_p95" in said
    assert "0 of " in said
    assert strata(kit.said("sample_traces", segment={"metadata.tenant": "blue"}, count=4))
    assert "there are no" in kit.said("sample_traces", segment={"metadata.tenant": "red"}, count=4)


@pytest.mark.parametrize(
    "arguments",
    [
        {"segment": {"colour": "red"}},
        {"segment": {"metadata.x'] = '' OR 1 = 1 OR metadata['y": "z"}},
        {"segment": {"metadata.{project_id:String}": "z"}},
        {"segment": {"trace_name": "x" * 5_000}},
        {"segment": {"score_name": "helpful"}},
        {"metric": "happiness"},
        {"parameters": {"project_id": 1.0}},
        {"count": 0},
        {"which": "worst"},
        {"colour": "red"},
        {"seed": -1},
    ],
)
def test_a_sample_that_cannot_be_drawn_is_refused(kit: Kit, arguments: dict[str, Any]) -> None:
    assert len(kit.refused("sample_traces", **arguments)) < 1_000
