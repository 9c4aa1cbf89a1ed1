"""`hansei gate`: is a candidate worse than what is there? Two runs over a dataset, compared for CI."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hansei.tools.experiments import Run


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
    higher_is_better: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A score of which more is better, though its name says otherwise."),
    ] = None,
    margin: Annotated[float, typer.Option(metavar="X", min=0.0, help="How much worse is still accepted.")] = 0.0,
    min_items: Annotated[int, typer.Option(metavar="N", min=2, help="Fewest items for a verdict.")] = 10,
    min_share: Annotated[
        float,
        typer.Option(metavar="X", min=0.0, max=1.0, help="Least share of the baseline's scored items for a verdict."),
    ] = 0.0,
    json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> int:
    """Compare two runs over a dataset, criterion by criterion, item by item, with intervals.

    The same items are compared with each other: yes-or-no scores by McNemar's exact test, numbers by Student's t on the
    differences, p-values raised after Holm for the number of criteria. “Worse” needs the whole 95 % interval beyond the
    margin. An item that one of the runs has no score for is left out and counted, never taken for a zero; --min-share
    says how many may be missing. An item that was run several times counts once, by its mean. More is better, unless
    --lower-is-better or the score's name says otherwise, such as toxicity or error_count.

    Exits with 0 when nothing got worse (or without --fail-if-worse), with 1 when something did, with 2 when it could
    not be measured: no such run or score, no shared items, or too few of them.

    \b
    Examples:
      hansei gate --dataset answers --baseline main --candidate pull-17 --fail-if-worse
      hansei gate --dataset answers --baseline answer@3 --candidate answer@4 --criterion correct --json
    """
    import math

    from hansei.cli.console import open_console
    from hansei.errors import NoData, UsageError
    from hansei.tools.experiments import compare_runs, read_run
    from hansei.tools.langfuse.api import open_api
    from hansei.tools.playbook.quality import is_lower_better

    if not (math.isfinite(margin) and math.isfinite(min_share)):
        raise UsageError("--margin and --min-share are numbers.", "Give 0.05, for one.")
    console = open_console(json_wanted=json)
    with console, open_api() as api:
        console.step("gate", "started", f"Reading the runs of {dataset}")
        first, second = read_run(api, dataset, baseline), read_run(api, dataset, candidate)
    if first.id == second.id:
        raise UsageError(
            f"“{baseline}” and “{candidate}” name the same run, “{first.name}”.", "Name the run that is to replace it."
        )
    more, less = set(higher_is_better or ()), set(lower_is_better or ())
    if both := sorted(more & less):
        raise UsageError(f"“{both[0]}” cannot be better when lower and when higher.", "Name it once.")
    _check_names([*(criterion or ()), *less, *more], first, second)
    compared = set(criterion or first.scores.keys() & second.scores.keys())
    by_name = {name for name in compared - more - less if is_lower_better(name)}
    outcome = compare_runs(
        first,
        second,
        names=criterion or (),
        lower_is_better=less | by_name,
        margin=margin,
        fewest=min_items,
        least_share=min_share,
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
    if by_name:
        console.note(f"Less is better, by the name: {', '.join(sorted(by_name))}. (--higher-is-better says otherwise.)")
    whole = (outcome.only_baseline, outcome.only_candidate)
    easier = ": what is compared may be the easier part"
    if any(whole):
        console.note(
            f"Left out: {whole[0]:,} items only in {first.name}, {whole[1]:,} only in "
            f"{second.name}{easier if outcome.is_lopsided else ''}."
        )
    for one in outcome.criteria:
        if any(lacking := (one.only_baseline, one.only_candidate)) and lacking != whole:
            console.note(
                f"Left out of {one.name}: {lacking[0]:,} items scored only in {first.name}, {lacking[1]:,} only in"
                f" {second.name}{easier if one.is_lopsided else ''}."
            )
        if one.repeated:
            console.note(f"{one.repeated:,} items have several values of {one.name}: each counts once, by its mean.")
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
    console.data({"ok": not outcome.worse and not outcome.unmeasured, "exit_code": code, **asdict(outcome)})
    return code


def _check_names(names: list[str], first: Run, second: Run) -> None:
    """A name that is misspelt must not be a criterion that never gets worse.

    Raises:
        UsageError: neither run has a score of that name, or it has no order.
    """
    from hansei.errors import UsageError

    known = first.scores.keys() | second.scores.keys()
    for name in names:
        if name in known:
            continue
        if name in first.uncounted | second.uncounted:
            raise UsageError(
                f"“{name[:80]}” is a text or a category: none is better than another.",
                "Name a score that is a number, or true or false.",
            )
        found = ", ".join(sorted(known)[:10]) or "none"
        raise UsageError(f"Neither run has a score “{name[:80]}”.", f"Their scores are: {found}.")
