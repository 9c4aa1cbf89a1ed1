"""How many traces are read for criteria: until so many more bring nothing new."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from tests.support.cli import hansei_here
from tests.support.evaluation import fill, rows
from tests.support.langfuse_api import PROJECT_ID
from tests.support.openai_server import KEY, Answer, OpenAiServer, Request, says, structured
from tests.support.world import END

from hansei.nodes import discovering
from hansei.tools.clickhouse import close_readers, open_writer
from hansei.tools.language_model import close_models


def test_reading_ends_when_so_many_more_traces_bring_nothing_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches of three out of fourteen traces: the second brings the last new label, two more bring none."""
    monkeypatch.setattr(discovering, "AT_ONCE", 3)
    monkeypatch.setattr(discovering, "UNTIL_NOTHING_NEW", 6)
    batches = 0

    def model(request: Request) -> Answer:
        nonlocal batches
        if request.is_probe:
            return structured({})(request)
        if "You sort notes" in request.prompt:
            labels = ["the first train", "the next train"]
            return says({"modes": [{"name": one, "definition": f"It names {one}.", "labels": [one]} for one in labels]})
        batches += 1
        label = "the first train" if batches == 1 else "the next train"
        note = {"label": label, "wrong": "It names a train.", "quote": "When does the next train to the coast leave"}
        return says({"notes": [{"trace": f"t{number}", **note} for number in (1, 2, 3)]})

    holding, url = open_writer("chdb://"), "chdb://?database=discover"
    fill(url, "v4", rows())
    with OpenAiServer(model) as server:
        done = hansei_here(
            tmp_path, "evaluate", "--discover", "--until", END.isoformat(), HANSEI_CLICKHOUSE_URL=url,
            HANSEI_PROJECT_ID=PROJECT_ID, HANSEI_MODEL="test-1", HANSEI_MODEL_CACHE="off", OPENAI_API_KEY=KEY,
            OPENAI_BASE_URL=server.url,
        )  # fmt: skip
    close_models()
    close_readers(url)
    holding.close()
    assert done.returncode == 0, done.stderr
    assert batches == 4
    found = yaml.safe_load((tmp_path / "hansei-evaluation" / "criteria.yaml").read_text("utf-8"))["criteria"]
    modes = {one["name"]: one for one in found if one["kind"] == "judge"}
    assert modes.keys() == {"the_next_train", "the_first_train"}
    assert all(len(one["examples"]) == 2 for one in modes.values()), "two examples each"
