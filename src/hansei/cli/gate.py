"""`hansei gate`: is a candidate worse than what is there? Two runs over a dataset, compared for CI."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer


def gate(
    dataset: Annotated[str, typer.Option(metavar="NAME", help="The dataset in Langfuse.")],
    baseline: Annotated[
        str, typer.Option(metavar="RUN", help="A run's name or id, or prompt@version: what is there now.")
    ],
    candidate: Annotated[str, typer.Option(metavar="RUN", help="The run, or prompt@version, that is to replace it.")],
    fail_if_worse: Annotated[
        bool,
        typer.Option("--fail-if-worse", help="Exit with 1 when a criterion got worse, 2 when one is unknown."),
    ] = False,
    criterion: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A score that counts. Default: all that both runs have.")
    ] = None,
    lower_is_better: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A score of which less is better.")
    ] = None,
    margin: Annotated[float, typer.Option(metavar="X", min=0.0, help="How much worse is still accepted.")] = 0.0,
    min_items: Annotated[int, typer.Option(metavar="N", min=2, help="Fewest items for a verdict.")] = 10,
    json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> int:
    """Compare two runs over a dataset, criterion by criterion, item by item, with intervals.

    The same items are compared with each other: yes-or-no scores by McNemar's exact test, numbers by Student's t on the
    differences, p-values raised after Holm for the number of criteria. “Worse” needs the whole 95 % interval beyond the
    margin. An item that one of the runs has no score for is left out and counted, never taken for a zero.

    Exits with 0 when nothing got worse (or without --fail-if-worse), with 1 when something did, with 2 when it could
    not be measured: no such run, no shared items, or too few of them.

    \b
    Examples:
      hansei gate --dataset answers --baseline main --candidate pull-17 --fail-if-worse
      hansei gate --dataset answers --baseline answer@3 --candidate answer@4 --criterion correct --json
    """
    from hansei.cli.console import open_console
    from hansei.errors import NoData
    from hansei.tools.experiments import compare_runs, read_run
    from hansei.tools.langfuse.api import open_api

    console = open_console(json_wanted=json)
    with console, open_api() as api:
        console.step("gate", "started", f"Reading the runs of {dataset}")
        first, second = read_run(api, dataset, baseline), read_run(api, dataset, candidate)
    outcome = compare_runs(
        first,
        second,
        names=criterion or (),
        lower_is_better=lower_is_better or (),
        margin=margin,
        fewest=min_items,
    )
    if not outcome.criteria or not outcome.shared:
        raise NoData(
            f"The runs “{first.name}” and “{second.name}” share no scored items.",
            "Score both runs by the same criteria, over the same dataset.",
        )
    console.line(f"{second.name} against {first.name}, {outcome.shared:,} shared items:", style="title")
    rows = []
    for one in outcome.criteria:
        if one.paired is None:
            rows.append([one.name, "0", "", "", "", "", one.verdict])
            continue
        reach = "" if one.paired.low is None else f" [{one.paired.low:+.3f}, {one.paired.high:+.3f}]"
        rows.append(
            [
                one.name,
                f"{one.paired.n:,}",
                f"{one.paired.baseline:.3f}",
                f"{one.paired.candidate:.3f}",
                f"{one.paired.difference:+.3f}{reach}",
                f"{one.p_adjusted:.2g}",
                one.verdict,
            ]
        )
    console.table(["criterion", "items", "baseline", "candidate", "difference [95 %]", "p", "verdict"], rows)
    if outcome.only_baseline or outcome.only_candidate:
        console.note(
            f"Left out: {outcome.only_baseline:,} items only in {first.name}, {outcome.only_candidate:,} only in "
            f"{second.name}."
        )
    if outcome.uncounted:
        console.note(f"Not compared: {', '.join(outcome.uncounted)}.")
    code = 0
    if fail_if_worse:
        code = 1 if outcome.worse else 2 if outcome.unmeasured else 0
    if outcome.worse:
        console.line(f"Worse: {', '.join(outcome.worse)}.", style="failed")
    elif outcome.unmeasured:
        console.line(f"Too few items for a verdict on {', '.join(outcome.unmeasured)}.", style="note")
    else:
        console.line("Nothing got worse, as far as these items can show.", style="ok")
    console.data({"ok": not outcome.worse, "exit_code": code, **asdict(outcome)})
    return code
