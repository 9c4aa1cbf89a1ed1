"""The benchmark's generator, at a small size, and the sample data by connection URL: each in a directory of its own."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from hansei.demo import PROJECT_ID, create_tables, make_demo
from hansei.tools.clickhouse import close_readers, open_writer

GENERATOR = Path(__file__).resolve().parents[2] / "benchmarks" / "generate.py"
OBSERVATIONS = 5_000

_SQL = {
    "v3": """
        SELECT id, trace_id, type, name, start_time, end_time, level, ifNull(status_message, '') AS status,
            ifNull(input, '') AS input, ifNull(output, '') AS output, cost_details['total'] AS cost, usage_details,
            ifNull(prompt_name, '') AS prompt_name, prompt_version FROM observations FINAL ORDER BY id""",
    "v4": """
        SELECT span_id AS id, trace_id, type, name, start_time, end_time, level, status_message AS status, input,
            output, total_cost AS cost, usage_details, prompt_name, prompt_version FROM events_full FINAL
        WHERE span_id != concat('t-', trace_id) ORDER BY id""",
}


def observations(client: Client, schema: str) -> list[tuple[Any, ...]]:
    return list(client.query(_SQL[schema], query_tz="UTC").result_rows)


@pytest.fixture(autouse=True)
def _no_open_engine() -> None:
    close_readers()


def test_generator_makes_the_same_rows_in_both_schemas(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generator = runpy.run_path(str(GENERATOR))
    with open_writer(f"chdb://{tmp_path / 'v3'}") as client:
        create_tables(client, "v3")
        client.command("SYSTEM STOP MERGES")  # they would take the older versions away
        generator["generate"](client, "v3", OBSERVATIONS)
        old = observations(client, "v3")
        [(written,)] = client.query("SELECT count() FROM observations").result_rows
    assert len(old) == pytest.approx(OBSERVATIONS, rel=0.05)
    assert 1.02 < written / len(old) < 1.04
    assert len({row[3] for row in old}) == 30
    assert f"{written:,} observations" in capsys.readouterr().out

    command = [sys.executable, str(GENERATOR), str(tmp_path / "v4"), "--observations", str(OBSERVATIONS)]
    done = subprocess.run([*command, "--schema", "v4"], capture_output=True, text=True, check=True, timeout=120)
    assert "planted:" in done.stdout
    with open_writer(f"chdb://{tmp_path / 'v4'}") as client:
        assert observations(client, "v4") == old


def test_sample_data_by_url(tmp_path: Path) -> None:
    url = f"chdb://{tmp_path / 'data'}?database=langfuse"
    truth = make_demo(url, schema="v4", traces=500, seed=3)
    with open_writer(url) as client:
        [(traces,)] = client.query(
            "SELECT uniqExact(trace_id) FROM langfuse.events_core FINAL "
            f"WHERE project_id = '{PROJECT_ID}' AND NOT startsWith(environment, 'langfuse-')"
        ).result_rows
    assert traces == truth.traces == 500
