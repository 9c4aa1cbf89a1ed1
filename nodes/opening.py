"""Opening a project: which schema holds its data, which spans are looked at, and what is there."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

from hansei.context import Budget, Context
from hansei.contracts import Periods, Request, parse_instant
from hansei.errors import NoData
from hansei.nodes.scope import Costs, Scope, Steps, bill
from hansei.tools.clickhouse import Meter, shared_reader
from hansei.tools.langfuse.coverage import coverage_of, read_coverage
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.schema import Source, adapter_data, adapter_over, detect
from hansei.tools.playbook.telling import name
from hansei.tools.report.formats import format_moment, format_span


def open_scope(request: Request, context: Context, steps: Steps) -> tuple[Scope, Costs]:
    """Opens the session, finds the schema, fixes the spans and counts what they hold.

    Raises:
        HanseiError: it cannot be reached, read or understood, or it holds nothing.
    """
    # Its cost is counted and never refused: without these figures there would be no report to say what was left out.
    looking = shared_reader(context).metered(Meter(Budget()))
    source = detect(looking, looking.target.database, request.project_id)
    periods, notes = _periods(request, source)
    reader = shared_reader(context, project_id=request.project_id).metered(Meter(Budget()))
    adapter = adapter_over(looking, source, request.project_id, periods)
    dataset = Dataset(reader, adapter, request.project_id, periods, tuple(request.environments))
    evidence = read_coverage(dataset)
    coverage = coverage_of(evidence, adapter.version, [], [])
    if not coverage.traces.window and not coverage.traces.baseline:
        raise NoData(_nothing(request, periods, source), _until_hint(source))
    if not coverage.traces.window:
        notes.append("The window holds no traces: everything but traffic is unmeasured.")
    if not coverage.traces.baseline:
        notes.append("The baseline holds no traces: changes cannot be told, only what stands out inside the window.")
    steps.finished(
        f"Langfuse schema {adapter.version}: {coverage.traces.window:,} traces and"
        f" {coverage.observations.window:,} observations in the window, {coverage.traces.baseline:,} and"
        f" {coverage.observations.baseline:,} in the baseline",
        rows_read=sum(item.rows_read for item in evidence),
    )
    run_id = str(uuid4())
    costs = bill("connect", looking, reader)
    scope: Scope = {
        "run_id": run_id,
        "project_id": request.project_id,
        "environments": request.environments,
        "question": request.question,
        "language": request.language,
        "periods": periods.model_dump(mode="json"),
        "adapter": adapter_data(adapter),
        "notes": [*source.notes, *notes],
        "coverage": [item.model_dump(mode="json") for item in evidence],
    }
    return scope, costs


def _periods(request: Request, source: Source) -> tuple[Periods, list[str]]:
    window, baseline = request.lengths()
    newest, notes = format_moment(source.newest), []
    if request.until is not None:
        end = parse_instant(request.until)
        if end > source.newest + timedelta(hours=1):
            notes.append(f"The window ends after the project's newest trace ({newest}): its last part is empty.")
    else:
        # Rounded up to the hour, so that the newest trace is inside.
        end = source.newest.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        notes.append(
            f"No end was given: the window ends at {format_moment(end)}, the full hour after the newest trace "
            f"({newest})."
        )
    periods = Periods.ending(end, window, baseline)
    if periods.baseline.start < source.oldest < periods.baseline.end:
        notes.append(
            f"The baseline begins before the project's first trace ({format_moment(source.oldest)}), so it is shorter "
            "than was asked for."
        )
    return periods, notes


def _nothing(request: Request, periods: Periods, source: Source) -> str:
    where = f" in the environments {', '.join(map(name, request.environments))}" if request.environments else ""
    return (
        f"The project {name(request.project_id)} has no traces{where} in the window or the baseline"
        f" ({format_span(periods.baseline)}, {format_span(periods.window)})."
    )


def _until_hint(source: Source) -> str:
    return (
        f"Its data runs from {format_moment(source.oldest)} to {format_moment(source.newest)}: choose --until and"
        " --window inside it, and check --environment."
    )
