"""How long a run takes when each answer of its model takes a second, against the longest chain of its calls.

    python benchmarks/model_latency.py /data/demo

Makes the demo data with ``hansei demo`` when the directory is missing. The endpoint is scripted, in this process, and
waits before each answer. A chain is a conversation; the planner's and the critic's calls wait for one another, those of
other nodes run side by side. The critical path is the longest chain of each node, one after the other. What the same
run takes when the model answers at once is counted into both sides.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.openai_server import Answer, OpenAiServer, Request, structured

PATH_BOUND = 1.3
"""Most that a run may take, in critical paths."""

PROMPTS = Path(__file__).resolve().parents[1] / "nodes" / "prompts"
ONE_BY_ONE = ("planner", "critic")


def node_of(request: Request) -> str:
    """Which node asks, by the prompt that its question begins with."""
    if request.is_probe:
        return "probe"
    said = str(request.body["messages"][0]["content"])
    for file in sorted(PROMPTS.glob("*.md")):
        opening = file.read_text(encoding="utf-8").partition("<system>\n")[2].splitlines()[0]
        if said.startswith(opening.partition("{{")[0]):
            return file.stem.partition("_")[0]
    return "other"


def chain(requests: list[Request]) -> dict[str, int]:
    """Node → its longest chain of calls."""
    talks = Counter((node_of(one), str(one.body["messages"][:2])) for one in requests)
    nodes = {node for node, _ in talks}
    return {
        node: (sum if node in ONE_BY_ONE else max)(count for (other, _), count in talks.items() if other == node)
        for node in sorted(nodes)
    }


def answers(latency: float) -> Any:
    """A model that takes its time and says what fits each schema and is never wrong."""

    def answer(request: Request) -> Answer:
        time.sleep(latency)
        wanted = (request.body.get("response_format") or {}).get("json_schema", {}).get("schema", {})
        return structured({name: _empty(one) for name, one in wanted.get("properties", {}).items()})(request)

    return answer


def _empty(schema: dict[str, Any]) -> Any:
    return {"array": [], "boolean": True, "string": "", "integer": 0, "object": {}}.get(schema.get("type", ""))


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
    with OpenAiServer(answers(0)) as server:
        os.environ["OPENAI_BASE_URL"] = server.url
        seconds_of(directory, "scripted")  # so that nothing is loaded or opened for the first time
        # What runs beside the calls (queries, reading of examples) is no wait for the model.
        instant = seconds_of(directory, "scripted")
    with OpenAiServer(answers(chosen.latency)) as server:
        os.environ["OPENAI_BASE_URL"] = server.url
        wall = seconds_of(directory, "scripted")
    longest = chain(server.requests)
    path = instant + sum(longest.values()) * chosen.latency
    for node, calls in longest.items():
        print(f"{node:10} {calls} calls in its longest chain")
    print(f"{len(server.requests)} calls; at no latency {instant:.2f} s, here {wall:.2f} s, critical path {path:.2f} s")
    holds = wall <= PATH_BOUND * path
    print(f"run / critical path {wall / path:.2f}  at most {PATH_BOUND:g}  {'holds' if holds else 'BROKEN'}")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
