"""`hansei evaluate`: checks on traces that are made for them, judges over a real socket, scores in Langfuse."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.cli import Done, clean_environment, hansei_here
from tests.support.evaluation import ANSWER, FAILING, MADE_UP, ORDERS, criteria_file, fill, kept_in, reading_judge, rows
from tests.support.langfuse_api import PROJECT_ID, PUBLIC_KEY, SECRET_KEY, LangfuseServer
from tests.support.langfuse_endpoints import create_config
from tests.support.openai_server import KEY, Answer, OpenAiServer, Request, says, structured, text
from tests.support.world import END, PERIODS

from hansei.contracts.evaluation import Criterion
from hansei.demo.tables import Schema
from hansei.tools.clickhouse import close_readers, open_writer, shared_reader
from hansei.tools.evaluation.checks import CHECKS, check_traces
from hansei.tools.evaluation.criteria import criteria_of_configs
from hansei.tools.langfuse.api import open_api
from hansei.tools.langfuse.connection import Server
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.masking import mask
from hansei.tools.langfuse.v3 import V3
from hansei.tools.langfuse.v4 import V4
from hansei.tools.language_model import calling as calling_module
from hansei.tools.language_model import close_models

SAID = {
    "sound": ANSWER.replace("platform three", "platform nine"),
    "false": f"{ANSWER} WRONG",
    "bribed": f"{ANSWER} WRONG {ORDERS}",
    "tempted": f"{ORDERS} {ANSWER}",
}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    where = f"chdb://{tmp_path_factory.mktemp('evaluate')}/clickhouse"
    fill(where, "v3", rows(SAID))
    return where


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(calling_module, "FIRST_PAUSE", 0.01)
    yield
    close_models()


Evaluate = Callable[..., Done]


@pytest.fixture
def evaluate(url: str, tmp_path: Path) -> Evaluate:
    def run(*arguments: str, server: OpenAiServer | None = None, **settings: str) -> Done:
        if server is not None:
            settings = {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": KEY, "HANSEI_MODEL": "test-1", **settings}
        settings = {
            "HANSEI_CLICKHOUSE_URL": url,
            "HANSEI_PROJECT_ID": PROJECT_ID,
            "HANSEI_MODEL_CACHE": "off",
            **settings,
        }
        return hansei_here(tmp_path, "evaluate", "--until", END.isoformat(), *arguments, **settings)

    return run


def results(done: Done) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    return {one["criterion"]["name"]: one for one in json.loads(done.stdout)["results"]}


@pytest.mark.parametrize("schema", ["v3", "v4"])
def test_each_check_fails_its_trace_and_no_other(schema: Schema) -> None:
    holding = open_writer("chdb://")
    where = f"chdb://?database=checks_{schema}"
    fill(where, schema, rows())
    from pydantic import SecretStr

    from hansei.context import Context

    reader = shared_reader(Context(clickhouse_url=SecretStr(where)), project_id=PROJECT_ID)
    adapter = V3(f"checks_{schema}") if schema == "v3" else V4(f"checks_{schema}")
    dataset = Dataset(reader, adapter, PROJECT_ID, PERIODS)
    limits = {"latency_limit": {"seconds": 30}, "cost_limit": {"usd": 1}}
    criteria = [
        Criterion(name=name, kind="code", check=name, definition=check.definition, parameters=limits.get(name, {}))
        for name, check in CHECKS.items()
    ]
    verdicts = list(check_traces(dataset, criteria, ["good", *FAILING.values()], mask))
    assert len(verdicts) == len(CHECKS) * (1 + len(FAILING))
    failing = {
        name: {one.trace_id for one in verdicts if one.criterion == name and one.value is False} for name in CHECKS
    }
    assert failing == {name: {trace} for name, trace in FAILING.items()}
    by = {(one.criterion, one.trace_id): one for one in verdicts}
    assert by["error", "broken"].quote == "503 from bookings"
    assert (by["language", "mute"].value, by["language", "mute"].unscored) == (None, "not_applicable")
    assert "ann@example.com" not in by["personal_data", "leaking"].model_dump_json()
    close_readers(where)
    holding.close()


def test_without_a_model_checks_run_and_the_page_says_so(evaluate: Evaluate, tmp_path: Path) -> None:
    file = criteria_file(
        tmp_path, MADE_UP, {"name": "slow", "kind": "code", "check": "latency_limit", "definition": "Too slow.",
                            "parameters": {"seconds": 30}},
    )  # fmt: skip
    done = evaluate("--criteria", file, "--json")
    found = results(done)
    assert (found["slow"]["failing"], found["slow"]["n"], found["slow"]["calibration"]) == (1, 18, "not needed")
    assert (found["made_up"]["rate"], found["made_up"]["reasons"]) == (None, {"no_model": 18})
    page = (tmp_path / "hansei-evaluation" / "evaluation.md").read_text("utf-8")
    assert "| made_up | judge | – | 0 | 18 | uncalibrated |" in page
    assert "not judged: made\\_up" in page or "not judged: made_up" in page
    everything = results(evaluate("--json", "--out", "all"))
    assert everything["refusal"]["failing"] == 1
    assert not {"latency_limit", "cost_limit"} & everything.keys()


def test_a_judge_is_asked_once_and_no_trace_can_bribe_it(evaluate: Evaluate, tmp_path: Path) -> None:
    arguments = ("--criteria", criteria_file(tmp_path, MADE_UP), "--yes", "--json")
    with OpenAiServer(reading_judge) as server:
        first = results(evaluate(*arguments, server=server))["made_up"]
        calls = len(server.asked)
        second = results(evaluate(*arguments, server=server))["made_up"]
        assert len(server.asked) == calls == 18
        changed = {**MADE_UP, "definition": "The answer names a train that no step returned."}
        results(evaluate("--criteria", criteria_file(tmp_path, changed), "--yes", "--json", server=server))
        assert len(server.asked) == 2 * calls
    assert (first["n"], first["failing"], first["unscored"], first["calibration"]) == (18, 2, 0, "uncalibrated")
    assert {one["trace_id"] for one in first["examples"]} == {"false", "bribed"}
    assert (second["kept"], second["usage"]["calls"]) == (18, 0)
    assert {**second, "kept": 0, "usage": first["usage"]} == first


def test_what_is_no_verdict_is_unscored_and_never_a_zero(evaluate: Evaluate, tmp_path: Path) -> None:
    def judge(request: Request) -> Answer:
        if request.is_probe or "Your answer does not fit" in request.prompt:
            return structured({})(request) if request.is_probe else text("I really would rather not.")
        if "trace sound " in request.prompt:
            return text("I would rather not.")
        if "trace false " in request.prompt:
            return says({"reason": "So it seems.", "quote": "words that stand nowhere", "verdict": "fail"})
        return says({"reason": "All is well.", "quote": "half past nine", "verdict": "pass"})

    with OpenAiServer(judge) as server:
        done = evaluate("--criteria", criteria_file(tmp_path, MADE_UP), "--yes", "--json", server=server)
    found = results(done)["made_up"]
    without_the_time = {"mute", "refused", "foreign", "aloof", "bad_json"}
    assert found["reasons"] == {"no_quote": 1 + len(without_the_time), "unparseable": 1}
    assert (found["n"], found["rate"]["value"], found["failing"]) == (18 - 2 - len(without_the_time), 0.0, 0)


def test_what_it_would_cost_is_told_and_bounds_hold(evaluate: Evaluate, tmp_path: Path) -> None:
    arguments = ("--criteria", criteria_file(tmp_path, MADE_UP))
    with OpenAiServer(reading_judge) as server:
        dry = evaluate(*arguments, "--dry-run", "--json", server=server, HANSEI_MODEL_PRICES="1/2")
        estimated = json.loads(dry.stdout)["estimated"]
        assert (estimated["usage"]["calls"], estimated["priced"], estimated["within"]) == (18, True, True)
        assert estimated["usage"]["usd"] > 0
        assert not (tmp_path / "hansei-evaluation").exists()
        asked = evaluate(*arguments, server=server)
        assert (asked.returncode, "With --yes it is." in asked.stderr) == (0, True)
        assert server.requests == []
        bounded = evaluate(*arguments, "--yes", "--json", "--max-tokens", "3000", server=server)
        found, used = results(bounded)["made_up"], json.loads(bounded.stdout)["usage"]
        assert 0 < found["n"] < 18
        assert found["reasons"] == {"stopped": 18 - found["n"]}
        assert used["input_tokens"] + used["output_tokens"] <= 3000
        assert "may use 3,000 tokens" in json.loads(bounded.stdout)["stopped"]
        still = evaluate(*arguments, "--yes", "--json", "--max-tokens", "3000", server=server)
        more, before = json.loads(still.stdout)["usage"], json.loads(still.stdout)["before"]
        assert before == used
        both = {name: used[name] + more[name] for name in used}
        assert both["input_tokens"] + both["output_tokens"] <= 3000, "the bound is on all that is spent in the folder"
        found = results(still)["made_up"]
        assert found["n"] < 18
        page = (tmp_path / "hansei-evaluation" / "evaluation.md").read_text("utf-8")
        assert "had been spent on this before" in page
        over = json.loads(evaluate(*arguments, "--dry-run", "--json", "--max-tokens", "3000", server=server).stdout)
        assert (over["estimated"]["before"], over["estimated"]["within"]) == (both, False)
        ended = evaluate(*arguments, "--yes", "--json", server=server)
        again = results(ended)["made_up"]
        assert (again["n"], again["kept"], json.loads(ended.stdout)["before"]) == (18, found["n"], both)
        settled = json.loads(evaluate(*arguments, "--yes", "--json", "--max-tokens", "3000", server=server).stdout)
        assert (settled["before"]["calls"], settled["stopped"]) == (0, ""), (
            "what has come to its end is not gone on with"
        )


def test_verdicts_become_scores_once_and_can_be_undone(evaluate: Evaluate, tmp_path: Path) -> None:
    mild = {"name": "tone", "kind": "judge", "type": "categorical", "definition": "How it sounds.",
            "categories": ["pass", "fail"], "score": "tone"}  # fmt: skip
    arguments = ("--criteria", criteria_file(tmp_path, MADE_UP, mild), "--write")
    with OpenAiServer(reading_judge) as server, LangfuseServer() as langfuse:
        shown = evaluate(*arguments, "--yes", "--traces", "1", server=server)  # no keys: nothing can be written
        assert (shown.returncode, "no keys" in shown.stderr) == (2, True)
        for _ in range(2):
            done = evaluate(*arguments, "--yes", server=server, **langfuse.settings)
            assert done.returncode == 0, done.stderr
        scores = list(langfuse.state.scores.values())
        assert len(scores) == 2 * 18
        made_up = {score["subject"]["id"]: score for score in scores if score["name"] == "no_made_up"}
        assert {id for id, score in made_up.items() if score["value"] is False} == {"false", "bribed"}
        one = made_up["false"]
        assert one["dataType"] == "BOOLEAN"
        assert "WRONG" in one["comment"]
        version = Criterion.model_validate(MADE_UP).version
        assert one["metadata"]["hansei_criterion_version"] == version
        assert one["metadata"]["hansei_model"] == "test-1"
        done = hansei_here(tmp_path, "undo", "hansei-evaluation", "--yes", **langfuse.settings)
        assert (done.returncode, langfuse.state.scores) == (0, {})


def test_criteria_are_found_in_traces_and_wait_to_be_read(evaluate: Evaluate, tmp_path: Path) -> None:
    def model(request: Request) -> Answer:
        if request.is_probe:
            return structured({})(request)
        if "You sort notes" in request.prompt:
            mode = {
                "name": "Made-up price",
                "definition": "The answer is marked as WRONG.",
                "labels": ["made-up price"],
            }
            return says({"modes": [mode, {**mode, "name": "Ghost", "labels": ["nobody noted this"]}]})
        marks = request.prompt.split("\n\nt")
        notes = [
            {"trace": f"t{i + 1}", "label": "made-up price", "wrong": "It is marked.", "quote": "WRONG"}
            for i, part in enumerate(marks)
            if "WRONG" in part
        ]
        return says(
            {"notes": [*notes, {"trace": "t1", "label": "invented", "wrong": "No.", "quote": "stands nowhere"}]}
        )

    with OpenAiServer(model) as server:
        done = evaluate("--discover", server=server)
        assert done.returncode == 0, done.stderr
        assert "Read and edit them" in done.stdout
        proposed = tmp_path / "hansei-evaluation" / "criteria.yaml"
        assert "made_up_price" in proposed.read_text("utf-8")
        assert "ghost" not in proposed.read_text("utf-8")
        assert not (tmp_path / "hansei-evaluation" / "evaluation.json").exists()
    with OpenAiServer(reading_judge) as server:
        found = results(evaluate("--criteria", str(proposed), "--yes", "--json", server=server))
    assert found["made_up_price"]["failing"] == 2
    assert {one["trace"] for one in found["made_up_price"]["criterion"]["examples"]} == {"false", "bribed"}
    assert found["refusal"]["failing"] == 1


def test_criteria_come_from_score_configs() -> None:
    with LangfuseServer() as langfuse, open_api(Server(langfuse.url, PUBLIC_KEY, SECRET_KEY)) as api:
        for name, kind, more in [
            ("hallucination", "BOOLEAN", {"description": "The answer makes something up."}),
            ("tone", "CATEGORICAL", {"description": "How it sounds.", "categories": [
                {"label": "kind", "value": 1}, {"label": "curt", "value": 0}]}),
            ("depth", "NUMERIC", {"description": "How deep it goes.", "minValue": 0, "maxValue": 10}),
            ("stars", "NUMERIC", {"description": "How many."}),
            ("mute", "BOOLEAN", {}),
        ]:  # fmt: skip
            create_config(langfuse.state, [], {}, {"name": name, "dataType": kind, **more})
        criteria, left = criteria_of_configs(api)
    assert {one.name: (one.type, one.true_means) for one in criteria} == {
        "hallucination": ("boolean", "fail"),
        "tone": ("categorical", "pass"),
        "depth": ("numeric", "pass"),
    }
    assert [one.score_name for one in criteria] == ["hallucination", "tone", "depth"]
    assert (len(left), "stars" in left[0], "mute" in left[1]) == (2, True, True)


@pytest.mark.parametrize(
    ("criterion", "words"),
    [
        ({**MADE_UP, "kind": "code"}, "names a check if and only if"),
        ({"name": "x", "kind": "code", "check": "nose", "definition": "d"}, "check that does not exist"),
        ({"name": "x", "kind": "code", "check": "latency_limit", "definition": "d"}, "lacks seconds"),
        ({"name": "x", "kind": "code", "check": "cost_limit", "definition": "d", "parameters": {"usd": "much"}}, "usd"),
        ({**MADE_UP, "type": "categorical"}, "two categories"),
    ],
)
def test_criteria_that_cannot_be_judged_by_are_told(
    evaluate: Evaluate, tmp_path: Path, criterion: dict[str, Any], words: str
) -> None:
    done = evaluate("--criteria", criteria_file(tmp_path, criterion))
    assert (done.returncode, words in done.stderr, done.stderr.count("\n")) == (2, True, 1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--half-width", "0.9"), "--half-width: "),
        (("--feedback", "stars>=many"), "names no feedback"),  # also where only checks run
        (("--queue", " "), "names no queue"),
        (("--plan", "stratified", "--by", "nonsense"), "cannot be divided by"),
    ],
)
def test_what_cannot_be_asked_for_is_one_line(evaluate: Evaluate, arguments: tuple[str, ...], said: str) -> None:
    done = evaluate(*arguments, "--quiet")
    assert (done.returncode, said in done.stderr, done.stderr.count("\n")) == (2, True, 1)


def test_judging_stops_when_the_interval_is_narrow_enough(evaluate: Evaluate, tmp_path: Path) -> None:
    """With few traces to a wave, so that there is something to stop."""
    with pytest.MonkeyPatch.context() as patch, OpenAiServer(reading_judge) as server:
        for module in ("hansei.graph.evaluation", "hansei.nodes.weigh"):
            patch.setattr(f"{module}.WAVE", 4)
        arguments = ("--criteria", criteria_file(tmp_path, MADE_UP), "--plan", "sequential", "--yes", "--json")
        done = evaluate(*arguments, "--half-width", "0.3", server=server)
    found = results(done)["made_up"]
    assert found["n"] == json.loads(done.stdout)["traces"] == len(server.asked) < 18
    assert found["rate"]["high"] - found["rate"]["low"] <= 0.6
    assert found["unscored"] == 0


def test_pairs_are_judged_in_both_orders_and_a_liking_for_a_place_shows(evaluate: Evaluate, tmp_path: Path) -> None:
    """All traces were asked the same: those of two releases make three pairs, one of them with an answer that gives
    orders and tries to close its quote."""
    tempted: list[bool] = []
    releases = {"compared": {"dimension": "release", "first": "1.0", "second": "2.0"}}
    criterion = {"name": "clearer", "kind": "pairwise", "definition": "Says more clearly when to travel.", **releases}

    def judge(request: Request) -> Answer:
        if request.is_probe:
            return structured({})(request)
        places = ("first", "second")
        [first], [second] = [re.findall(rf"<{at}>\n(.*?)\n</{at}>", request.prompt, re.DOTALL) for at in places]
        bare = re.sub(r'<data untrusted="true">\n.*?\n</data>', "", request.prompt, flags=re.DOTALL)
        if "OBEYED" in bare:
            return says({"reason": "I was told so.", "quote": "OBEYED", "better": "tie"})
        tempted.append("OBEYED" in request.prompt)
        better = "tie" if first == second else "second" if "platform nine" in second else "first"
        return says({"reason": "It is.", "quote": "The next train", "better": better})

    arguments = ("--criteria", criteria_file(tmp_path, criterion), "--yes", "--json")
    with OpenAiServer(judge) as server:
        told = results(evaluate(*arguments, server=server))["clearer"]
        asked = len(server.asked)
        again = results(evaluate(*arguments, server=server))["clearer"]
        assert len(server.asked) == asked == 6
    pairwise = told["pairwise"]
    assert (pairwise["pairs"], pairwise["first"], pairwise["second"], pairwise["tie"]) == (3, 0, 1, 1)
    assert pairwise["order_dependent"]["value"] == pytest.approx(1 / 3)
    assert sum(tempted) == 2
    assert (told["reasons"], again["pairwise"], again["kept"]) == ({"order_dependent": 1}, pairwise, 6)
    assert len(told["to_label"]) == 4, "both traces of the two pairs on which it says the same in both orders"


@pytest.mark.long
def test_judging_that_is_killed_goes_on_and_ends_with_the_same_scores(url: str, tmp_path: Path) -> None:
    """A real process is killed in the middle of judging; the end is as without that, each score once."""
    file, hurry = criteria_file(tmp_path, MADE_UP), threading.Event()

    def stalls(request: Request) -> Answer:
        if not request.is_probe and len(server.asked) > 10:
            hurry.wait(240)
        return reading_judge(request)

    with OpenAiServer(stalls) as server, LangfuseServer() as langfuse:
        settings = clean_environment(
            HANSEI_CLICKHOUSE_URL=url, HANSEI_PROJECT_ID=PROJECT_ID, HANSEI_MODEL_CACHE="off", HANSEI_MODEL="test-1",
            OPENAI_BASE_URL=server.url, OPENAI_API_KEY=KEY, **langfuse.settings,
        )  # fmt: skip
        command = [sys.executable, "-m", "hansei", "evaluate", "--until", END.isoformat(), "--criteria", file, "--yes"]
        command += ["--write", "--out", "killed"]
        process = subprocess.Popen(command, cwd=tmp_path, env=settings, stdout=subprocess.DEVNULL)
        verdicts, deadline = tmp_path / "killed" / "verdicts.sqlite", time.monotonic() + 240
        while kept_in(verdicts) < 7 and time.monotonic() < deadline:
            time.sleep(0.05)
        process.kill()
        process.wait()
        hurry.set()
        before, kept = len(server.asked), kept_in(verdicts)
        assert 7 <= kept < 18
        assert langfuse.state.scores == {}
        done = subprocess.run(command, cwd=tmp_path, env=settings, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        killed = {key: score["value"] for key, score in langfuse.state.scores.items()}
        assert len(killed) == 18
        found = json.loads((tmp_path / "killed" / "evaluation.json").read_text("utf-8"))["results"][0]
        assert (found["n"], found["failing"]) == (18, 2)
        # What was kept is not asked again: only what was under way, or not begun, when the process died.
        assert found["kept"] == kept
        assert len(server.asked) == before + 18 - found["kept"]
        command[-1] = "whole"
        done = subprocess.run(command, cwd=tmp_path, env=settings, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert {key: score["value"] for key, score in langfuse.state.scores.items()} == killed
