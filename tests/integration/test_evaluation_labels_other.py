"""Judges of categories, of numbers and of pairs held against people's annotations in Langfuse's tables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.cli import hansei_here
from tests.support.evaluation import ANSWER, QUESTION, criteria_file, fill, rows
from tests.support.langfuse_api import PROJECT_ID, LangfuseServer
from tests.support.openai_server import KEY, Answer, OpenAiServer, Request, says, structured
from tests.support.schemas import both
from tests.support.world import END

from hansei.demo.rows import ScoreRow
from hansei.demo.tables import Schema
from hansei.tools.evaluation.calibration import split_of
from hansei.tools.language_model import close_models

pytestmark = pytest.mark.long

PAIRS = 30
OLD, NEW = [f"old{n:02}" for n in range(PAIRS)], [f"new{n:02}" for n in range(PAIRS)]
LABELLED = [*OLD, *NEW]
TONE = {"name": "tone", "kind": "judge", "type": "categorical", "definition": "How it sounds.",
        "categories": ["kind", "curt", "rude"]}  # fmt: skip
DEPTH = {
    "name": "depth",
    "kind": "judge",
    "type": "numeric",
    "definition": "How deep it goes.",
    "lowest": 0,
    "highest": 9,
}
CLEARER = {"name": "clearer", "kind": "pairwise", "definition": "Says more clearly when to travel.",
           "compared": {"dimension": "release", "first": "old", "second": "new"}}  # fmt: skip


def depth(trace: str) -> int:
    """What stands in the trace, as its number."""
    return (int(trace[3:]) * 7 + trace.startswith("new") * 2) % 10


@pytest.fixture(scope="module", params=both("v4"))
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    schema: Schema = request.param
    where = f"chdb://{tmp_path_factory.mktemp('other')}/clickhouse"
    data = rows({one: f"{ANSWER} DEPTH {depth(one)}" for one in LABELLED})
    for trace in data.traces:
        trace.release = trace.id[:3] if trace.id in LABELLED else None
    for step in data.observations:  # each pair was asked something of its own
        if step.trace_id in LABELLED and step.input == QUESTION:
            step.input = f"Question {step.trace_id[3:]}: when does the next train to the coast leave?"
    for one in LABELLED:
        number = int(one[3:])
        told: dict[str, dict[str, Any]] = {
            "tone": {"data_type": "CATEGORICAL", "string_value": "kind" if number % 10 == 0 else "curt"},
            "depth": {"value": min(9.0, depth(one) + (number % 5 == 0))},
            "clearer": {"value": float(depth(one) > 4)},
        }
        data.scores += [
            ScoreRow(id=f"{name}-{one}", timestamp=END + timedelta(days=1), name=name, project_id=PROJECT_ID,
                     trace_id=one, source="ANNOTATION", **more)
            for name, more in told.items()
        ]  # fmt: skip
    fill(where, schema, data)
    return where


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    close_models()


def judge(request: Request) -> Answer:
    if request.is_probe:
        return structured({})(request)
    quote = "The next train to the coast"
    if "<first>" in request.prompt:
        shown = [
            re.search(rf"<{place}>\n(.*?)\n</{place}>", request.prompt, re.DOTALL) for place in ("first", "second")
        ]
        first, second = (int(re.findall(r"DEPTH (\d)", one[1])[0]) for one in shown if one is not None)
        return says({"reason": "So.", "quote": quote, "better": "first" if first >= second else "second"})
    found = re.findall(r"DEPTH (\d)", request.prompt)
    number = int(found[0]) if found else 0
    verdict: Any = "curt" if "tone: How" in request.prompt else number
    quote = f"DEPTH {number}" if found else "trace"
    return says({"reason": "So.", "quote": quote, "verdict": verdict})


def test_each_kind_of_judge_is_held_against_people(url: str, tmp_path: Path) -> None:
    criteria = criteria_file(tmp_path, TONE, DEPTH, CLEARER)
    with OpenAiServer(judge) as server, LangfuseServer() as langfuse:
        settings = {
            "OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": KEY, "HANSEI_MODEL": "test-1", "HANSEI_MODEL_CACHE": "off",
            "HANSEI_CLICKHOUSE_URL": url, "HANSEI_PROJECT_ID": PROJECT_ID, **langfuse.settings,
        }  # fmt: skip
        arguments = ("evaluate", "--until", END.isoformat(), "--criteria", criteria, "--yes")
        done = hansei_here(tmp_path, *arguments, "--traces", "10", "--json", **settings)
        assert done.returncode == 0, done.stderr
        found = {one["criterion"]["name"]: one for one in json.loads(done.stdout)["results"]}
        page = (tmp_path / "hansei-evaluation" / "evaluation.md").read_text("utf-8")
        settings["HANSEI_MODEL"] = "test-2"
        queued = hansei_here(tmp_path, *arguments, "--queue", "to label", **settings)
        assert queued.returncode == 0, queued.stderr
        assert {one["name"]: one["dataType"] for one in langfuse.state.configs.values()} == {
            "tone": "CATEGORICAL", "depth": "NUMERIC",
        }  # fmt: skip
    tested = [one for one in LABELLED if split_of(one) == "test"]

    tone = found["tone"]["calibration"]
    by_name = {one["name"]: one for one in tone["categories"]}
    assert (tone["labels"], tone["tested"]) == (len(LABELLED), len(tested))
    kind = sum(int(one[3:]) % 10 == 0 for one in tested)
    assert tone["agreement"]["value"] == pytest.approx(1 - kind / len(tested))
    assert tone["kappa"] == pytest.approx(0.0), "it always says the same"
    assert tone["confusion"]["kind"] == {"kind": 0, "curt": kind, "rude": 0}
    assert (by_name["curt"]["tpr"]["value"], by_name["curt"]["tnr"]["value"]) == (1.0, 0.0)

    numbers = found["depth"]["calibration"]["numeric"]
    more = sum(min(9, depth(one) + (int(one[3:]) % 5 == 0)) - depth(one) for one in tested)
    assert numbers["bias"]["value"] == pytest.approx(-more / len(tested))
    assert 0.9 < numbers["spearman"]["low"] < numbers["spearman"]["value"] < 1
    assert numbers["tolerance"] == pytest.approx(0.9)

    pairs = found["clearer"]
    # Ten pairs are drawn; the others are judged only since people have scored both traces.
    assert pairs["pairwise"]["pairs"] == 10
    calibration = pairs["calibration"]
    assert (calibration["labels"], pairs["pairwise"]["first_place"]["value"]) == (PAIRS, 0.0)
    same = [n for n in range(PAIRS) if (depth(OLD[n]) > 4) == (depth(NEW[n]) > 4) and split_of(OLD[n]) == "test"]
    assert calibration["confusion"]["tie"] == {
        "first": sum(depth(OLD[n]) > depth(NEW[n]) for n in same),
        "second": sum(depth(OLD[n]) < depth(NEW[n]) for n in same), "tie": 0,
    }  # fmt: skip
    assert calibration["decided"]["value"] == 1.0
    assert calibration["agreement"]["value"] < 1.0, "people often see no difference"
    again = json.loads((tmp_path / "hansei-evaluation" / "evaluation.json").read_text("utf-8"))["results"]
    [drift] = next(one for one in again if one["criterion"]["name"] == "clearer")["calibration"]["drift"]
    groups = {one["name"].partition(",")[0]: one["agreement"]["n"] for one in drift["groups"]}
    assert (drift["by"], groups, drift["p"]) == ("judged_by", {"test-1": PAIRS, "test-2": PAIRS}, 1.0)
    assert "rank correlation with people" in page
    assert "agrees with people on" in page
    assert "prefers the same one on" in page
    assert "ncalibrated" not in page


def test_pairs_that_nobody_has_scored_go_into_a_queue(url: str, tmp_path: Path) -> None:
    criteria = criteria_file(tmp_path, {**CLEARER, "score": "clarity"})
    with OpenAiServer(judge) as server, LangfuseServer() as langfuse:
        done = hansei_here(
            tmp_path, "evaluate", "--until", END.isoformat(), "--criteria", criteria, "--yes", "--traces", "10",
            "--queue", "to label", "--most-waiting", "7", OPENAI_BASE_URL=server.url, OPENAI_API_KEY=KEY,
            HANSEI_MODEL="test-1", HANSEI_MODEL_CACHE="off", HANSEI_CLICKHOUSE_URL=url, HANSEI_PROJECT_ID=PROJECT_ID,
            **langfuse.settings,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        items = [item["objectId"] for item in langfuse.state.queue_items]
        assert len(items) == 6, "three whole pairs, of seven traces that may wait"
        assert all({one[3:] for one in items[at : at + 2]} == {items[at][3:]} for at in (0, 2, 4))
        [config] = langfuse.state.configs.values()
        assert (config["name"], config["dataType"], config["minValue"], config["maxValue"]) == (
            "clarity", "NUMERIC", 1, 5,
        )  # fmt: skip
