"""`hansei demo`: sample data in an embedded ClickHouse, and the report on it."""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import quote

import typer

from hansei.errors import UsageError

if TYPE_CHECKING:
    from hansei.cli.console import Console
    from hansei.demo import Made, Schema, Truth

TRACES, SEED = 24_000, 7

MARKER = "demo.json"
"""Says what the data beside it was made from; only a directory with this file is ever written over."""


def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to put the data and the report.")] = Path(
        "hansei-demo"
    ),
    traces: Annotated[int, typer.Option(min=500, max=2_000_000, help="How many traces to simulate.")] = TRACES,
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same data.")] = SEED,
    schema: Annotated[Literal["v3", "v4"], typer.Option(help="Which of Langfuse's table layouts to fill.")] = "v4",
) -> int:
    """Make sample data in an embedded ClickHouse, analyse it, and write the report. Needs no server and no key.

    A company with a support agent, a research agent and a SQL copilot is simulated over 28 days, in Langfuse's own
    tables. Some things go wrong in it: truth.json says what was planted, the report says what was found.

    \b
    Examples:
      hansei demo
      hansei demo --schema v3 --out /tmp/demo-v3
      hansei demo --traces 100000 --seed 11
    """
    from hansei.cli.analysis import make_context, make_request, run_analysis
    from hansei.cli.console import open_console
    from hansei.cli.first_screen import tell_report
    from hansei.tools.report.files import write_report

    console = open_console()
    url = f"chdb://{quote(str(out.absolute() / 'clickhouse'))}"
    truth = _prepare(console, out, url, schema, traces, seed)

    request = make_request(project_id=truth.project_id, until=truth.base_time.isoformat())
    report = run_analysis(request, make_context(url), console)
    files = write_report(report, out / "report")
    tell_report(console, report, list(files.values()))

    connection = f"--clickhouse {shlex.quote(url)}"
    console.line()
    console.line(f"What was planted: {out / 'truth.json'}")
    console.line("Ask every number again:")
    console.line(f"  hansei verify {shlex.quote(str(files['json']))} {connection}")
    console.line("Look at another span:")
    console.line(f"  hansei analyze {connection} --project {truth.project_id} --window 3d")
    return 0


def _prepare(console: Console, out: Path, url: str, schema: Schema, traces: int, seed: int) -> Truth:
    """Makes the data unless the same data is there already, and returns what is true about it.

    Raises:
        UsageError: the directory holds something that the demo did not write, or cannot be written.
    """
    from hansei.demo import Truth, make_demo
    from hansei.tools.clickhouse import open_writer

    wanted = {"schema": schema, "traces": traces, "seed": seed, "generator": _generator()}
    marker, truth_file = out / MARKER, out / "truth.json"
    found = _read_marker(marker)
    if found is None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(
            f"{out} exists and was not made by hansei demo.", "Name another directory with --out, or remove it."
        )
    if found is not None and found.get("made") == wanted:
        console.note(f"Using the sample data in {out}, made earlier with the same settings.")
        return Truth.model_validate_json(truth_file.read_text(encoding="utf-8"))

    try:
        out.mkdir(parents=True, exist_ok=True)
        # Marked before anything is written: an interrupted run is recognised and done again.
        marker.write_text(json.dumps({"made": None}) + "\n", encoding="utf-8")
        if (out / "clickhouse").exists():
            shutil.rmtree(out / "clickhouse")
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}.", "Name another directory with --out.") from error

    def show(made: Made) -> None:
        console.step("demo", "running", f"{made.traces:,} of {made.of:,} traces, {made.observations:,} observations")

    client = open_writer(url)
    try:
        with console:
            console.step("demo", "started", f"Making {traces:,} traces in Langfuse's {schema} tables, seed {seed}")
            truth = make_demo(client, schema=schema, traces=traces, seed=seed, progress=show)
            console.step("demo", "finished", f"{truth.traces:,} traces, {truth.observations:,} observations")
    finally:
        client.close()
    truth.write(truth_file)
    marker.write_text(json.dumps({"made": wanted}) + "\n", encoding="utf-8")
    return truth


def _read_marker(marker: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(marker.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _generator() -> str:
    """A fingerprint of the code that makes the data: data of another version of it is not reused."""
    import hansei.demo

    digest = hashlib.sha256()
    for file in sorted(Path(hansei.demo.__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
