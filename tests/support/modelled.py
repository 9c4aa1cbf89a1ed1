"""A small world in memory, and whole runs over it with a scripted model behind them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from pydantic import SecretStr
from tests.support.job import fill
from tests.support.openai_server import OpenAiServer, Script
from tests.support.world import END, PROJECT, Fault, make_world

from hansei import Context, Report, build_graph
from hansei.tools.clickhouse import close_readers, open_writer


@contextmanager
def world_in_memory(database: str, *faults: Fault) -> Iterator[str]:
    """The URL of a world with these faults, which is there while the context is open."""
    holding = open_writer("chdb://")  # what is in memory lasts as long as one client is open
    url = fill(f"chdb://?database={database}", "v4", make_world(*faults))
    yield url
    close_readers(url)
    holding.close()


def with_a_model(
    url: str, script: Script, monkeypatch: pytest.MonkeyPatch, request: Mapping[str, Any] | None = None, **settings: Any
) -> tuple[Report, OpenAiServer]:
    """The report of a run over a world whose model answers by a script, and the server that was asked.

    Args:
        url: of the world.
        script: see `OpenAiServer`.
        monkeypatch: of the test.
        request: fields of the request besides the project and its end.
        settings: of the context.
    """
    with OpenAiServer(script) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        context = Context(clickhouse_url=SecretStr(url), **{"model": "some-model", "model_cache": False, **settings})
        wanted = {"project_id": PROJECT, "until": END.isoformat(), **(request or {})}
        report = Report.model_validate(build_graph().invoke(wanted, context=context)["report"])
    return report, server
