"""What a run would ask of the model: the whole analysis by rules, with every question counted and none sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hansei.errors import UsageError

if TYPE_CHECKING:
    from hansei.cli.console import Console
    from hansei.context import Context
    from hansei.contracts import Request


def tell_estimate(request: Request, context: Context, console: Console) -> int:
    """Prints the estimate by node, and whether it is within the run's bounds. No report is written.

    Answers are guessed at a usual length; what follows from an answer (questions with tools, sentences written anew)
    is not known before.

    Raises:
        UsageError: no model is named.
    """
    from hansei.cli.analysis import run_analysis
    from hansei.contracts.spent import Usage
    from hansei.tools.language_model.endpoint import endpoint_of, unusable
    from hansei.tools.report.formats import format_count, format_value

    if context.model is None:
        raise UsageError("No model is named, so nothing would be sent to any.", "Give --model, or set HANSEI_MODEL.")
    report = run_analysis(request, context.model_copy(update={"model_dry_run": True, "ledger": None}), console)
    total, budget, priced = Usage(), context.model_budget, context.model_prices is not None
    rows = []
    for node, used in report.run.usage.items():
        total = total.plus(used)
        money = format_value(used.usd, "usd") if priced else "unknown"
        rows.append([node, *(format_count(n) for n in (used.calls, used.input_tokens, used.output_tokens)), money])
    console.line(f"{context.model} would be asked {total.calls} times, for about {format_count(total.tokens)} tokens.")
    console.table(["node", "calls", "tokens read", "tokens written", "US dollars"], rows)
    if not priced:
        console.note("What tokens cost is not known: set HANSEI_MODEL_PRICES, such as 0.25/2.")
    endpoint = endpoint_of(context)
    if failure := endpoint and unusable(endpoint):
        console.note(f"As things are it could not be asked. {failure}")
    if total.tokens > budget.tokens or total.calls > budget.calls or total.usd > budget.usd:
        console.note("That is beyond the run's bounds: rules would take over on the way.")
    console.data(
        {
            "model": context.model,
            "priced": priced,
            "usage": {node: used.model_dump() for node, used in report.run.usage.items()},
            "total": total.model_dump(),
        }
    )
    return 0
