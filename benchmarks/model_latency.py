"""How long a run takes when each answer of its model takes a second, against the longest chain of its calls.

    python benchmarks/model_latency.py /data/demo

Makes the demo data with ``hansei demo`` when the directory is missing. The endpoint is scripted, in this process, and
waits before each answer. Its model is a busy one: three open questions, each looked into with several calls, concluded,
its traces read and sorted; rival explanations of each finding; all findings told, and each text written anew once.

The critical path is what must wait for something else, by what the calls are about and not by when they came: the
planner's and the critic's calls one after the other; of the analysts the longest conversation, one conclusion, one
reading and one sorting of traces; of the writer one text and one that is written anew. What the same run takes when the
model answers at once is added.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.capable import SESSIONS, CapableModel, kind_of
from tests.support.openai_server import Answer, OpenAiServer, Request

PATH_BOUND = 1.3
"""Most that a run may take, in critical paths."""

STAGES: dict[str, str] = {
    "probe": "probe", "question": "planner", "plan": "planner",
    "looks": "analyst: looks", "conclusion": "analyst: answer",
    "labels": "analyst: reading", "marks": "analyst: sorting", "rivals": "critic", "summary": "writer: text",
    "explanation": "writer: text", "anew": "writer: text anew",
}  # fmt: skip
"""What a call is about → the stage that it belongs to; stages follow one another, the calls of one may not have to."""

ONE_BY_ONE = ("probe", "planner", "critic")


def stage_of(request: Request) -> str:
    """The stage of a call."""
    return STAGES.get("probe" if request.is_probe else kind_of(request), "other")


def chain(requests: list[Request]) -> dict[str, int]:
    """Stage → how many of its calls must wait for one another."""
    talks = Counter((stage_of(one), str(one.body["messages"][:2])) for one in requests)
    stages = {stage for stage, _ in talks}
    return {
        stage: (sum if stage in ONE_BY_ONE else max)(count for (other, _), count in talks.items() if other == stage)
        for stage in sorted(stages)
    }


def busy_session() -> dict[str, Any]:
    """The session of the tests with three questions, doubts on every finding, and words on each."""
    session = json.loads((SESSIONS / "demo_answer_v7.json").read_text(encoding="utf-8"))
    [asked] = session["plan"]["questions"]
    others = ["Which customers dislike what they are told?", "What do disliked answers share?"]
    questions = [asked, *({**asked, "question": other} for other in others)]
    invented = "It costs $987654."
    return {
        **session,
        "plan": {**session["plan"], "questions": questions},
        "rivals": lambda request: {"rivals": [rival for mark in _marks(request) for rival in _rivals(mark)]},
        "summary": {"sentences": [{"text": said, "about": [1]} for said in ("Look at the first one first.", invented)]},
        "explanation": {"cause": ["A change may be behind it.", invented], "recommendation": [], "edit": None},
        "anew": {"sentences": ["It costs money."]},
    }


def _marks(request: Request) -> list[str]:
    return re.findall(r"^(f\d+):", request.prompt, re.MULTILINE)


def _rivals(mark: str) -> list[dict[str, Any]]:
    none = {"finding": mark, "dimension": "", "value": "", "first": 0, "last": 0}
    return [
        {**none, "test": "hold_fixed", "dimension": "user_id"}, {**none, "test": "hold_fixed", "dimension": "hour"},
        {**none, "test": "only_weekdays", "first": 6, "last": 7},
    ]  # fmt: skip


def slowly(latency: float) -> Any:
    """A busy model that takes its time."""
    model = CapableModel(busy_session())

    def answer(request: Request) -> Answer:
        time.sleep(latency)
        return model(request)

    return answer


def seconds_of(directory: Path, model: str | None) -> float:
    """What a run on the demo's data takes."""
    from hansei import Context, Request, build_graph

    truth = json.loads((directory / "truth.json").read_text(encoding="utf-8"))
    url = f"chdb://{quote(str(directory / 'clickhouse'))}"
    context = Context.model_validate({"clickhouse_url": url, "model": model, "model_cache": False})
    request = Request(project_id=truth["project_id"], until=truth["base_time"])
    started = time.perf_counter()
    build_graph().invoke(request.model_dump(), context=context)
    return time.perf_counter() - started


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("directory", type=Path, help="directory of the demo; filled when missing")
    parser.add_argument("--latency", type=float, default=1.0, help="seconds before each answer (1)")
    chosen = parser.parse_args()
    directory = chosen.directory.resolve()
    if not directory.exists():
        command = [sys.executable, "-m", "hansei", "demo", "--out", str(directory)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with OpenAiServer(slowly(0)) as server:
        os.environ["OPENAI_BASE_URL"] = server.url
        seconds_of(directory, "scripted")  # so that nothing is loaded or opened for the first time
        # What runs beside the calls (queries, reading of examples) is no wait for the model.
        instant = seconds_of(directory, "scripted")
    with OpenAiServer(slowly(chosen.latency)) as server:
        os.environ["OPENAI_BASE_URL"] = server.url
        wall = seconds_of(directory, "scripted")
    longest = chain(server.requests)
    path = instant + sum(longest.values()) * chosen.latency
    made = Counter(map(stage_of, server.requests))
    for stage, calls in longest.items():
        print(f"{stage:18} {made[stage]:3} calls, {calls} in its longest chain")
    print(f"{len(server.requests)} calls; at no latency {instant:.2f} s, here {wall:.2f} s, critical path {path:.2f} s")
    holds = wall <= PATH_BOUND * path
    print(f"run / critical path {wall / path:.2f}  at most {PATH_BOUND:g}  {'holds' if holds else 'BROKEN'}")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
