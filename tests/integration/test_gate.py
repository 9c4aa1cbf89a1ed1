"""`hansei gate` on runs that a Langfuse on a real socket holds: better, worse, unknown."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.cli import Done, hansei_here
from tests.support.experiments import Value, add_dataset, add_run
from tests.support.langfuse_api import LangfuseServer

pytestmark = pytest.mark.long

BOTH = ["--dataset", "answers / v1", "--baseline", "main", "--candidate", "pull", "--fail-if-worse"]


@pytest.fixture
def server() -> Iterator[LangfuseServer]:
    with LangfuseServer() as running:
        add_dataset(running, "answers / v1")
        yield running


def scored(rate: float, *, items: int = 150, seed: int = 1, **more: Value) -> dict[str, dict[str, Value]]:
    """Items of which a share is correct, the same ones first; each takes about two seconds."""
    dice = random.Random(seed)
    return {
        f"item-{n:03}": {"correct": n < rate * items, "seconds": 2 + dice.random() + n / items, **more}
        for n in range(items)
    }


def gate(folder: Path, server: LangfuseServer, *more: str) -> Done:
    return hansei_here(folder, "gate", *BOTH, *more, **server.settings)


def test_a_candidate_that_is_as_good_passes(server: LangfuseServer, tmp_path: Path) -> None:
    add_run(server, "answers / v1", "main", scored(0.8, tone="kind"))
    add_run(server, "answers / v1", "pull", scored(0.8, seed=2, tone="curt"))
    done = gate(tmp_path, server, "--lower-is-better", "seconds", "--json")
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert (outcome["shared"], outcome["uncounted"]) == (150, ["tone"])
    assert {one["name"]: one["verdict"] for one in outcome["criteria"]} == {
        "correct": "no difference shown",
        "seconds": "no difference shown",
    }


def test_a_candidate_that_is_worse_fails(server: LangfuseServer, tmp_path: Path) -> None:
    add_run(server, "answers / v1", "main", scored(0.8))
    add_run(server, "answers / v1", "pull", scored(0.7))
    done = gate(tmp_path, server, "--criterion", "correct")
    assert (done.returncode, "Worse: correct." in done.stdout) == (1, True)
    accepted = gate(tmp_path, server, "--criterion", "correct", "--margin", "0.2")
    assert accepted.returncode == 0
    only_told = hansei_here(tmp_path, "gate", *BOTH[:-1], "--criterion", "correct", **server.settings)
    assert (only_told.returncode, "Worse" in only_told.stdout) == (0, True)
    turned = gate(tmp_path, server, "--criterion", "correct", "--lower-is-better", "correct", "--json")
    assert (turned.returncode, json.loads(turned.stdout)["criteria"][0]["verdict"]) == (0, "better")


def test_what_cannot_be_measured_is_neither_good_nor_bad(server: LangfuseServer, tmp_path: Path) -> None:
    add_run(server, "answers / v1", "main", scored(0.8))
    few = {item: values for item, values in scored(0.1, tone="curt").items() if item > "item-144"}
    add_run(server, "answers / v1", "pull", few)
    done = gate(tmp_path, server, "--criterion", "correct")
    assert (done.returncode, "Too few items" in done.stdout) == (2, True)
    assert "145 items only in main" in done.stderr
    for arguments, words in [
        (["--candidate", "no-such-run"], "Its runs are: "),
        (["--dataset", "none"], "no dataset"),
        (["--candidate", "main"], "name the same run"),
        (["--criterion", "corect"], "Their scores are: correct, seconds."),
        (["--lower-is-better", "second"], "Neither run has a score “second”"),
        (["--criterion", "tone"], "none is better than another"),
        (["--margin", "inf"], "are numbers"),
        (["--lower-is-better", "correct", "--higher-is-better", "correct"], "when lower and when higher"),
    ]:
        refused = gate(tmp_path, server, *arguments)
        assert (refused.returncode, words in refused.stderr.splitlines()[-1]) == (2, True)


def test_a_score_whose_name_says_that_less_is_better_is_read_so(server: LangfuseServer, tmp_path: Path) -> None:
    for run, often in (("main", 0.1), ("pull", 0.4)):
        toxic = {item: {"toxicity": float(n < often * 150)} for n, item in enumerate(scored(0.8))}
        add_run(server, "answers / v1", run, toxic)
    done = gate(tmp_path, server)
    assert (done.returncode, "Less is better, by the name: toxicity." in done.stderr) == (1, True)
    assert gate(tmp_path, server, "--higher-is-better", "toxicity").returncode == 0


def test_an_item_without_a_score_is_left_out_and_not_zero(server: LangfuseServer, tmp_path: Path) -> None:
    add_run(server, "answers / v1", "main", scored(1.0))
    unscored = {item: {} if n % 3 == 0 else values for n, (item, values) in enumerate(scored(1.0).items())}
    add_run(server, "answers / v1", "pull", unscored)
    done = gate(tmp_path, server, "--criterion", "correct", "--json")
    [correct] = json.loads(done.stdout)["criteria"]
    assert (done.returncode, correct["paired"]["n"], correct["only_baseline"]) == (0, 100, 50)
    wanted = gate(tmp_path, server, "--criterion", "correct", "--min-share", "0.9")
    assert (wanted.returncode, "may be the easier part" in wanted.stderr) == (2, True)


def test_an_item_that_was_run_again_counts_once(server: LangfuseServer, tmp_path: Path) -> None:
    """Ten items that fail are tried nine times more: they are a tenth of the items, and half of the values."""
    add_run(server, "answers / v1", "main", scored(0.9, items=100))
    once = scored(0.9, items=100)
    failing = {item: {"correct": False} for item, values in once.items() if not values["correct"]}
    add_run(server, "answers / v1", "pull", once, again=failing)
    for _ in range(8):
        server.state.experiment_items += [
            {**one, "id": f"{one['id']}-{_}"} for one in server.state.experiment_items[-len(failing):]
        ]  # fmt: skip
    done = gate(tmp_path, server, "--criterion", "correct", "--json")
    [correct] = json.loads(done.stdout)["criteria"]
    assert (done.returncode, correct["verdict"], correct["repeated"]) == (0, "no difference shown", 10)
    assert correct["paired"]["candidate"] == pytest.approx(0.9)
    assert "10 items have several values of correct" in done.stderr


def test_the_newest_run_of_a_name_and_runs_of_prompt_versions(server: LangfuseServer, tmp_path: Path) -> None:
    of_prompt = {"prompt_name": "answer", "prompt_version": 3}
    add_run(server, "answers / v1", "nightly", scored(0.1), start="2026-10-02T00:00:00Z", metadata=of_prompt)
    add_run(server, "answers / v1", "nightly", scored(0.8), start="2026-10-03T00:00:00Z", metadata=of_prompt)
    add_run(server, "answers / v1", "other", scored(0.6), metadata={"prompt": "answer", "prompt_version": "4"})
    done = hansei_here(
        tmp_path,
        *["gate", "--dataset", "answers / v1", "--baseline", "answer@3", "--candidate", "answer@4", "--json"],
        *["--fail-if-worse", "--criterion", "correct"],
        **server.settings,
    )
    outcome = json.loads(done.stdout)
    assert (done.returncode, outcome["baseline"], outcome["candidate"]) == (1, "nightly", "other")
    assert outcome["criteria"][0]["paired"]["baseline"] == pytest.approx(0.8)


def test_the_recipe_for_ci_tells_three_outcomes_apart(server: LangfuseServer, tmp_path: Path) -> None:
    """The block of docs/recipes.md is run as it is written, but for its names."""
    import os
    import re
    import subprocess
    import sys

    from tests.support.cli import clean_environment

    page = (Path(__file__).resolve().parents[2] / "docs" / "recipes.md").read_text("utf-8")
    block = re.search(r"## A gate for experiments.*?```sh\n(.*?)```", page, re.DOTALL)
    assert block is not None
    add_dataset(server, "answers")
    add_run(server, "answers", "main", scored(0.8))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for run, rate, code in [("pull-1", 0.8, 0), ("pull-2", 0.5, 1)]:
        add_run(server, "answers", run, scored(rate))
        environment = clean_environment(**server.settings, PATH=path, CANDIDATE=run)
        done = subprocess.run(
            ["sh", "-c", block[1]], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr
        assert json.loads((tmp_path / "gate.json").read_text())["candidate"] == run
