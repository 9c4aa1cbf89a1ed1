"""The traces of a finding: those in which its metric was bad, and sound ones beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from tests.support.cli import hansei_here
from tests.support.evaluation import fill, rows
from tests.support.langfuse_api import PROJECT_ID
from tests.support.sample_report import finding, sample_report
from tests.support.schemas import both
from tests.support.world import END, PERIODS

from hansei.context import Context
from hansei.contracts import Comparison
from hansei.contracts.evaluation import OfFinding
from hansei.demo.rows import ScoreRow
from hansei.demo.tables import Schema
from hansei.errors import UsageError
from hansei.tools.clickhouse import close_readers, open_writer, shared_reader
from hansei.tools.evaluation.choosing import Chosen
from hansei.tools.evaluation.finding_traces import SOUND, choose_of_finding
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.v3 import V3
from hansei.tools.langfuse.v4 import V4

TRACES = 14


def _data() -> Any:
    data = rows()
    for step in data.observations:
        if step.name == "answer":
            step.total_cost = step.total_cost or Decimal("0.01")
    for trace, value in (("good", 1.0), ("slow", 0.0), ("dear", 1.0)):
        data.scores.append(
            ScoreRow(
                id=f"score-{trace}", timestamp=END - timedelta(days=1), name="helpful", project_id=PROJECT_ID,
                trace_id=trace, value=value, data_type="BOOLEAN", string_value=str(bool(value)),
            )
        )  # fmt: skip
    return data


@pytest.fixture(scope="module", params=both("v4"))
def dataset(request: pytest.FixtureRequest) -> Iterator[Dataset]:
    schema: Schema = request.param
    holding = open_writer("chdb://")
    where = f"chdb://?database=finding_{schema}"
    fill(where, schema, _data())
    reader = shared_reader(Context(clickhouse_url=SecretStr(where)), project_id=PROJECT_ID)
    adapter = V3(f"finding_{schema}") if schema == "v3" else V4(f"finding_{schema}")
    yield Dataset(reader, adapter, PROJECT_ID, PERIODS)
    close_readers(where)
    holding.close()


def _drawn(dataset: Dataset, metric: str, segment: dict[str, str], count: int = 10, **more: Any) -> list[Chosen]:
    comparison = Comparison(against="baseline", segment=segment)
    wanted = OfFinding(id="f", metric=metric, segment=segment, comparison=comparison, **more)
    chosen, population = choose_of_finding(dataset, wanted, count, sound=0.2)
    assert sum(one.weight for one in chosen) == pytest.approx(population)
    return chosen


@pytest.mark.parametrize(
    ("metric", "segment", "more", "bad"),
    [
        ("error_rate", {"observation_name": "book"}, {}, {"broken"}),
        ("step_latency_p95", {"observation_name": "answer"}, {"parameters": {"slow_ms": 30_000.0}}, {"slow"}),
        ("cost_per_trace", {}, {"usual": 1.0}, {"dear"}),
        ("score_rate", {"score_name": "helpful"}, {}, {"slow"}),
    ],
)
def test_the_metric_was_bad_in_those_that_stand_for_the_finding(
    dataset: Dataset, metric: str, segment: dict[str, str], more: dict[str, Any], bad: set[str]
) -> None:
    chosen = _drawn(dataset, metric, segment, **more)
    assert {one.id for one in chosen if one.weight} == bad
    sound = [one for one in chosen if one.stratum == SOUND]
    assert len(sound) == 2
    assert not {one.id for one in sound} & bad
    assert all(one.weight == 0 for one in sound)


def test_traffic_is_of_all_traces_and_others_fill_what_is_asked_for(dataset: Dataset) -> None:
    assert len(_drawn(dataset, "traces_per_day", {}, 100)) == TRACES
    # Every trace is dearer than nothing: 8 of 10 stand for them; sound ones there are none.
    chosen = _drawn(dataset, "error_rate", {}, 3)
    assert (sum(one.weight > 0 for one in chosen), sum(one.stratum == SOUND for one in chosen)) == (1, 1)
    with pytest.raises(UsageError, match="cannot be looked up"):
        _drawn(dataset, "nonsense", {})


def test_the_command_tells_the_share_of_sound_ones_apart(dataset: Dataset, tmp_path: Path) -> None:
    where = f"chdb://?database={dataset.reader.target.database}"
    segment = {"observation_name": "book"}
    of = finding(1, id="f-1", metric="error_rate", kind="error", segment=segment,
                 comparison=Comparison(against="baseline", segment=segment))  # fmt: skip
    report = sample_report().model_copy(update={"findings": [of], "project_id": PROJECT_ID})
    (tmp_path / "report.json").write_text(report.model_dump_json(), "utf-8")
    settings = {"HANSEI_CLICKHOUSE_URL": where}
    done = hansei_here(tmp_path, "evaluate", "--finding", "report.json#f-1", "--json", **settings)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    error = next(one for one in told["results"] if one["criterion"]["name"] == "error")
    assert (told["plan"], told["traces"], told["population"]) == ("finding", 1, 1)
    assert (error["failing"], error["n"], error["rate"]["value"]) == (1, 1, 1.0)
    assert (error["sound"]["value"], error["sound"]["n"]) == (0.0, TRACES - 1)
    assert (told["window"]["start"], told["window"]["end"]) == tuple(
        one.isoformat().replace("+00:00", "Z") for one in (report.window.start, report.window.end)
    )
    page = (tmp_path / "hansei-evaluation" / "evaluation.md").read_text("utf-8")
    assert "of sound ones of the same segment" in page
    wrong = hansei_here(tmp_path, "evaluate", "--finding", "report.json#other", **settings)
    assert (wrong.returncode, "has no finding" in wrong.stderr, wrong.stderr.count("\n")) == (2, True, 1)
    none = hansei_here(tmp_path, "evaluate", "--finding", "report.json", **settings)
    assert (none.returncode, "names no finding" in none.stderr, none.stderr.count("\n")) == (2, True, 1)
    other = hansei_here(tmp_path, "evaluate", "--finding", "report.json#f-1", "--project", "other", **settings)
    assert (other.returncode, "of another project" in other.stderr, other.stderr.count("\n")) == (2, True, 1)
    both_given = ("--finding", "report.json#f-1", "--plan", "stratified")
    two = hansei_here(tmp_path, "evaluate", *both_given, **settings)
    assert (two.returncode, "both given" in two.stderr, two.stderr.count("\n")) == (2, True, 1)
    alone = hansei_here(tmp_path, "evaluate", "--plan", "finding", "--project", PROJECT_ID, **settings)
    assert (alone.returncode, "needs a finding" in alone.stderr) == (2, True)
