"""Options that bound what a command may ask: of the language model (fields of `ModelBudget`), and of people."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from hansei.errors import UsageError

if TYPE_CHECKING:
    from hansei.context import ModelBudget

MaxTokens = Annotated[
    int | None,
    typer.Option(
        "--max-tokens", metavar="N", min=0, help="Most tokens of the model, read and written. Default: 500000."
    ),
]
MaxCost = Annotated[
    float | None,
    typer.Option(
        "--max-cost",
        "--max-usd",
        metavar="USD",
        min=0,
        help="Most US dollars for the model, as far as they are known. Default: 5.",
    ),
]
MaxCalls = Annotated[
    int | None, typer.Option("--max-calls", metavar="N", min=0, help="Most calls of the model. Default: 100.")
]
MaxSeconds = Annotated[
    float | None,
    typer.Option("--max-seconds", metavar="N", min=0, help="Longest wait for the model in all. Default: 1200."),
]
MaxQuestions = Annotated[
    int | None,
    typer.Option(
        "--max-questions", metavar="N", min=0, help="Most open questions that the model looks into. Default: 3."
    ),
]
MostWaiting = Annotated[
    int | None,
    typer.Option(
        "--most-waiting",
        metavar="N",
        min=0,
        help="With --queue: most traces that may wait there, those that are proposed included. Default: 50.",
    ),
]


def model_bounds(
    tokens: int | None = None,
    cost: float | None = None,
    calls: int | None = None,
    seconds: float | None = None,
    questions: int | None = None,
) -> ModelBudget:
    """The bounds with what the options say; the rest is as by default.

    Raises:
        UsageError: a cost or a time that is no amount.
    """
    from hansei.context import ModelBudget

    for option, amount in (("--max-cost", cost), ("--max-seconds", seconds)):
        if amount is not None and not math.isfinite(amount):
            raise UsageError(f"{option} is no amount.", "Give a number, such as 0.5.")
    given = {"tokens": tokens, "usd": cost, "calls": calls, "seconds": seconds, "questions": questions}
    return ModelBudget.model_validate({name: value for name, value in given.items() if value is not None})
