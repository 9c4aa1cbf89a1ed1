"""What a run would cost is told before, and nothing is sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.cli import hansei_here
from tests.support.job import fill
from tests.support.openai_server import OpenAiServer, failing
from tests.support.world import END, PROJECT, Visit, make_world

from hansei.cli.analysis import make_context, make_request
from hansei.cli.bounds import model_bounds
from hansei.cli.console import JsonConsole, PlainConsole
from hansei.cli.estimate import tell_estimate
from hansei.context import ModelBudget
from hansei.errors import UsageError
from hansei.tools.clickhouse import close_readers, open_writer

pytestmark = pytest.mark.long

URL = "chdb://?database=dry_run"


def faults(visit: Visit) -> None:
    if visit.app == "support" and visit.day >= 2 and visit.random.random() < 0.25:
        visit.steps[1].level, visit.steps[1].status = "ERROR", "timeout"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    holding = open_writer("chdb://")
    yield fill(URL, "v4", make_world(faults))
    close_readers(URL)
    holding.close()


@pytest.mark.parametrize("question", [None, "Why do the tools fail?"])
def test_the_questions_are_counted_by_node_and_none_is_sent(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], question: str | None
) -> None:
    request = make_request(project_id=PROJECT, until=END.isoformat(), question=question)
    with OpenAiServer([failing(500)]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("HANSEI_MODEL_PRICES", "1/10")
        context = make_context(url, model="some-model")
        assert tell_estimate(request, context, JsonConsole()) == 0
        found = json.loads(capsys.readouterr().out)
        monkeypatch.setenv("OPENAI_BASE_URL", "localhost:8000/v1")
        tell_estimate(request, context, PlainConsole())
    assert server.requests == []
    assert found["usage"]["planner"]["calls"] == (2 if question else 1)
    assert {"planner", "critic", "writer"} <= set(found["usage"])
    total = found["total"]
    assert total["usd"] == pytest.approx((total["input_tokens"] + 10 * total["output_tokens"]) / 1e6)
    assert total["calls"] == sum(used["calls"] for used in found["usage"].values())
    captured = capsys.readouterr()
    told = captured.out
    assert "some-model would be asked" in told
    assert "could not be asked. The model's address (OPENAI_BASE_URL) is none of a server." in told + captured.err
    assert "critic" in told


def test_the_bounds_of_the_command_line_are_those_of_the_run(
    url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = ["analyze", "--clickhouse", url, "--project", PROJECT, "--until", END.isoformat(), "--model", "some-model"]
    with OpenAiServer([failing(500)]) as server:
        free = hansei_here(tmp_path, *asked, "--dry-run", OPENAI_BASE_URL=server.url)
        bound = hansei_here(tmp_path, *asked, "--dry-run", "--max-calls", "2", OPENAI_BASE_URL=server.url)
        asked += ["--json", "--no-ledger", "--max-tokens", "0", "--max-questions", "0"]
        spent = hansei_here(tmp_path, *asked, OPENAI_BASE_URL=server.url)
    beyond = "beyond the run's bounds"
    assert (free.returncode, bound.returncode, spent.returncode) == (0, 0, 0), spent.stderr
    assert (beyond in free.stdout + free.stderr, beyond in bound.stdout + bound.stderr) == (False, True)
    assert "the run may use 0 tokens" in " ".join(json.loads(spent.stdout)["coverage"]["notes"])
    assert server.requests == []


def test_an_amount_that_is_none_is_refused() -> None:
    given = model_bounds(tokens=7, cost=0.5, calls=3, seconds=9, questions=1)
    assert given == ModelBudget(tokens=7, usd=0.5, calls=3, seconds=9, questions=1)
    for wrong in (float("nan"), float("inf")):
        with pytest.raises(UsageError, match="--max-cost"):
            model_bounds(cost=wrong)
        with pytest.raises(UsageError, match="--max-seconds"):
            model_bounds(seconds=wrong)


def test_without_a_model_there_is_nothing_to_tell(url: str) -> None:
    with pytest.raises(UsageError, match="No model is named"):
        tell_estimate(make_request(project_id=PROJECT), make_context(url, no_llm=True), JsonConsole())
