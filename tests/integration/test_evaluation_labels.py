"""Judges held against people's labels in Langfuse's tables, and what people should label next in its queues."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from tests.support.cli import Done, hansei_here
from tests.support.evaluation import ANSWER, MADE_UP, criteria_file, fill, reading_judge, rows
from tests.support.langfuse_api import PROJECT_ID, LangfuseServer
from tests.support.openai_server import KEY, OpenAiServer
from tests.support.world import END

from hansei.context import Context
from hansei.contracts import Periods, Window
from hansei.contracts.evaluation import Criterion, Verdict
from hansei.demo.rows import ScoreRow
from hansei.demo.tables import Schema
from hansei.errors import UsageError
from hansei.tools.clickhouse import close_readers, shared_reader
from hansei.tools.evaluation.calibration import split_of
from hansei.tools.evaluation.labels import Rule, read_labels, rule_of, traces_of
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.schema import detect
from hansei.tools.language_model import close_models

pytestmark = pytest.mark.long

WRONG = [f"w{n:02}" for n in range(40)]
SOUND = [f"s{n:02}" for n in range(60)]
HIDDEN, FORGIVEN = SOUND[::10], WRONG[::10]
"""People see a failure in the first, which look sound, and none in the others."""


def people_fail(trace: str) -> bool:
    return (trace in WRONG and trace not in FORGIVEN) or trace in HIDDEN


def _label(trace: str, name: str, value: float, source: str, minutes: int = 0, **more: Any) -> ScoreRow:
    at = END + timedelta(days=3, minutes=minutes)  # labelled days after the window
    fields: dict[str, Any] = {
        "id": f"{source}-{name}-{trace}-{minutes}",
        "data_type": "BOOLEAN",
        "string_value": str(bool(value)),
        "environment": "default",
    }
    return ScoreRow(
        timestamp=at, name=name, project_id=PROJECT_ID, trace_id=trace,
        value=value, source=source, **{**fields, **more},
    )  # fmt: skip


@pytest.fixture(scope="module", params=["v4", pytest.param("v3", marks=pytest.mark.long)])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    schema: Schema = request.param
    where = f"chdb://{tmp_path_factory.mktemp('labels')}/clickhouse"
    data = rows({one: f"{ANSWER} WRONG" if one in WRONG else ANSWER for one in (*WRONG, *SOUND)})
    for one in (*WRONG, *SOUND):
        data.scores.append(_label(one, "no_made_up", float(people_fail(one)), "ANNOTATION"))  # thought better of …
        data.scores.append(_label(one, "no_made_up", float(not people_fail(one)), "ANNOTATION", minutes=5))
        data.scores.append(_label(one, "no_made_up", 1.0, "API", minutes=9, id=f"hansei-{one}"))
        data.scores.append(_label(one, "no_made_up", 1.0, "EVAL", minutes=9))  # somebody's own judge
        stars = 2.0 if people_fail(one) else 5.0
        data.scores.append(_label(one, "stars", stars, "API", data_type="NUMERIC", string_value=None))
    fill(where, schema, data)
    return where


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    close_models()


def _evaluate(url: str, folder: Path, *arguments: str, criterion: dict[str, Any] | None = None, **more: str) -> Done:
    file = criteria_file(
        folder,
        criterion or MADE_UP,
        {"name": "refusal", "kind": "code", "check": "refusal", "definition": "It refuses."},
    )
    with OpenAiServer(reading_judge) as server:
        settings = {
            "OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": KEY, "HANSEI_MODEL": "test-1", "HANSEI_MODEL_CACHE": "off",
            "HANSEI_CLICKHOUSE_URL": url, "HANSEI_PROJECT_ID": PROJECT_ID, **more,
        }  # fmt: skip
        return hansei_here(
            folder, "evaluate", "--until", END.isoformat(), "--criteria", file, "--yes", *arguments, **settings
        )


def _judge(done: Done) -> Any:
    assert done.returncode == 0, done.stderr
    return next(one for one in json.loads(done.stdout)["results"] if one["criterion"]["name"] != "refusal")


def test_annotations_calibrate_the_judge(url: str, tmp_path: Path) -> None:
    """The judge finds what is marked; people see a tenth of either otherwise. Few traces are drawn: the labelled ones
    are judged as well, and stand for none."""
    done = _evaluate(url, tmp_path, "--json", "--traces", "10")
    found = _judge(done)
    document = json.loads(done.stdout)
    assert (document["traces"], found["n"] + found["not_applicable"] + found["unscored"]) == (10, 10)
    calibration = found["calibration"]
    tested = [one for one in (*WRONG, *SOUND) if split_of(one) == "test"]
    assert (calibration["labels"], calibration["tested"]) == (100, len(tested))
    same = sum((one in WRONG) == people_fail(one) for one in tested)
    assert calibration["agreement"]["value"] == pytest.approx(same / len(tested))
    assert 0.6 < calibration["kappa"] < 0.95
    for rate in (calibration["tpr"], calibration["tnr"]):
        assert 0.4 < rate["low"] < rate["value"] < rate["high"] <= 1
    share = calibration["corrected"]
    assert 0 <= share["low"] <= share["value"] <= share["high"] <= 1
    odd = {one["trace_id"]: one["people"] for one in calibration["disagreements"]}
    expected = dict.fromkeys(HIDDEN, "fail") | dict.fromkeys(FORGIVEN, "pass")
    assert odd == {one: people for one, people in expected.items() if split_of(one) != "test"}
    page = (tmp_path / "hansei-evaluation" / "evaluation.md").read_text("utf-8")
    assert "of failures, passes" in page
    assert "100 labels" in page
    assert "uncalibrated" not in page.lower().replace("not needed", "")


def test_labels_of_weeks_before_the_window_are_there_for_the_drift(url: str) -> None:
    rules = {"made_up": rule_of(Criterion.model_validate(MADE_UP))}
    week = Window(start=END + timedelta(days=7), end=END + timedelta(days=14))
    later = Periods(window=week, baseline=Window(start=END, end=week.start))
    reader = shared_reader(Context(clickhouse_url=SecretStr(url)), project_id=PROJECT_ID)
    dataset = Dataset(reader, detect(reader, reader.target.database, PROJECT_ID).adapter, PROJECT_ID, later)
    assert read_labels(dataset, rules) == {"made_up": {}}
    judged = traces_of([
        Verdict(trace_id=one, criterion="made_up", version="v", value=True, at=END - timedelta(days=1)) for one in WRONG
    ])  # fmt: skip
    found = read_labels(dataset, rules, judged)["made_up"]
    close_readers(url)
    assert {one: not label.said for one, label in found.items()} == {one: people_fail(one) for one in WRONG}
    assert {label.at for label in found.values()} == {END - timedelta(days=1)}


def test_feedback_counts_only_where_it_is_named(url: str, tmp_path: Path) -> None:
    by_stars = _judge(_evaluate(url, tmp_path, "--json", "--feedback", "stars>=4"))
    by_people = _judge(_evaluate(url, tmp_path, "--json", "--out", "other"))
    assert by_stars["calibration"] == by_people["calibration"]
    unlabelled = _judge(_evaluate(url, tmp_path, "--json", "--out", "third", criterion={**MADE_UP, "score": "nobody"}))
    assert unlabelled["calibration"] == "uncalibrated"
    assert len(unlabelled["to_label"]) == 50
    wrong = _evaluate(url, tmp_path, "--feedback", "stars>=many")
    assert (wrong.returncode, "names no feedback" in wrong.stderr) == (2, True)


def test_what_to_label_next_goes_into_a_queue_once(url: str, tmp_path: Path) -> None:
    new = {**MADE_UP, "score": "nobody"}
    with LangfuseServer() as langfuse:
        for folder in ("first", "second"):
            done = _evaluate(url, tmp_path, "--queue", "to label", "--out", folder, criterion=new, **langfuse.settings)
            assert done.returncode == 0, done.stderr
        items = [item["objectId"] for item in langfuse.state.queue_items]
        assert len(items) == len(set(items)) == 50
        found = sum(one in WRONG for one in items)
        assert found == 25
        assert [config["name"] for config in langfuse.state.configs.values()] == ["nobody"]
        assert not langfuse.state.scores
        calibrated = _evaluate(url, tmp_path, "--queue", "more", "--out", "third", **langfuse.settings)
        assert calibrated.returncode == 0, calibrated.stderr
        long = {**MADE_UP, "score": "a name that no score config of Langfuse may have"}
        refused = _evaluate(url, tmp_path, "--queue", "more", "--out", "fourth", criterion=long, **langfuse.settings)
        assert (refused.returncode, "cannot be labelled" in refused.stderr) == (0, True)


@pytest.mark.parametrize(
    ("rule", "value", "text", "kind", "said"),
    [
        ("helpful", 1, "", "BOOLEAN", True),
        ("helpful", 0, "", "BOOLEAN", False),
        ("helpful", -1, "", "NUMERIC", False),
        ("helpful", 3, "", "NUMERIC", None),
        ("helpful", None, "Pass", "CATEGORICAL", True),
        ("helpful", None, "perhaps", "CATEGORICAL", None),
        ("stars >= 4", 4, "", "NUMERIC", True),
        ("stars<=-1.5", 0, "", "NUMERIC", False),
        ("tone = calm, friendly", None, "friendly", "CATEGORICAL", True),
        ("tone=calm", None, "curt", "CATEGORICAL", False),
    ],
)
def test_rules_for_labels(rule: str, value: float | None, text: str, kind: str, said: bool | None) -> None:
    found = rule_of(Criterion.model_validate(MADE_UP), rule)
    assert found.any_source
    assert found.passes(value, text, kind) is said


def test_a_score_that_says_that_something_is_there_is_turned_round() -> None:
    rule = rule_of(Criterion.model_validate({**MADE_UP, "true_means": "fail"}))
    assert rule == Rule("made_up", true_passes=False)
    assert (rule.passes(1, "", "BOOLEAN"), rule.passes(0, "", "BOOLEAN")) == (False, True)
    for wrong in ("", "=x", "a>=b", "a=x,,y", ">=3"):
        with pytest.raises(UsageError, match="names no feedback"):
            rule_of(Criterion.model_validate(MADE_UP), wrong)
