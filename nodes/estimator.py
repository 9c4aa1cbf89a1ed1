"""estimator: says what judging would take before any of it is spent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langgraph.runtime import Runtime

from hansei.context import Context
from hansei.contracts.evaluation import Estimated
from hansei.contracts.spent import Usage
from hansei.nodes.evaluating import (
    Evaluating,
    judges_of,
    meter_of_run,
    pair_judges_of,
    pairs_of,
    request_of,
    store_of,
)
from hansei.nodes.scope import Steps, bill, context_of, dataset_of
from hansei.tools.evaluation.asking import shown_of
from hansei.tools.evaluation.pairs import ORDERS, PairJudge
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.trace_tree import read_trees
from hansei.tools.language_model.usage import LETTERS_PER_TOKEN

LOOKED_AT = 100
"""Traces that are read for the estimate; the rest is taken to be like them."""

ANSWER = 120
"""Tokens of a judge's answer: a sentence, a quote and a verdict."""

SCHEMA = 700
"""Letters that the answer's schema adds to a question."""


def estimator(state: Evaluating, runtime: Runtime[Context]) -> dict[str, Any]:
    """Counts calls, tokens and, where prices are known, dollars; verdicts that are kept cost nothing.

    Raises:
        HanseiError: ClickHouse cannot be asked.
    """
    context = context_of(runtime)
    judges = judges_of(state, context)
    ids = [one["id"] for one in state["chosen"]]
    pair_judges = pair_judges_of(state, context)
    if not judges and not pair_judges:
        return {"estimated": None}
    steps = Steps(runtime, "estimate", "Estimating what judging would take")
    dataset = dataset_of(state["scope"], runtime, state["costs"])
    trees = read_trees(dataset, ids[:LOOKED_AT]) if judges else {}
    letters: dict[str, int] = {}
    for tree in trees.values():
        shown = shown_of(tree, judges[0].endpoint)
        for judge in judges:
            letters[judge.key(tree.trace_id, shown)] = sum(len(text) for _, text in judge.messages(shown)) + SCHEMA
    known = set(store_of(context).find(list(letters)))
    share = len(ids) / max(1, len(trees))
    pairs = _pairs(state, dataset, pair_judges)
    known_pairs = set(store_of(context).find(list(pairs)))
    calls = round(share * (len(letters) - len(known))) + len(pairs) - len(known_pairs)
    read = round(
        (
            share * sum(count for key, count in letters.items() if key not in known)
            + sum(count for key, count in pairs.items() if key not in known_pairs)
        )
        / LETTERS_PER_TOKEN
    )
    prices, budget, before = context.model_prices, context.model_budget, meter_of_run(state, context).before
    usd = (read * prices.input + calls * ANSWER * prices.output) / 1e6 if prices else 0.0
    usage = Usage(calls=calls, input_tokens=read, output_tokens=calls * ANSWER, usd=round(usd, 6))
    estimated = Estimated(
        traces=len(ids), verdicts=round(share * len(letters)) + len(pairs),
        known=round(share * len(known)) + len(known_pairs), usage=usage,
        priced=prices is not None, before=before,
        within=usage.tokens + before.tokens <= budget.tokens and usage.usd + before.usd <= budget.usd,
    )  # fmt: skip
    steps.finished(f"{calls:,} calls, about {usage.tokens:,} tokens")
    # What is wrong with the prompts in Langfuse was told before, where criteria were looked for.
    notes = (
        [] if request_of(state).discover else (judges[0].endpoint if judges else pair_judges[0].endpoint).prompts.notes
    )
    return {
        "estimated": estimated.model_dump(mode="json"),
        "costs": bill("estimate", dataset.reader),
        "notes": list(notes),
    }


def _pairs(state: Evaluating, dataset: Dataset, judges: Sequence[PairJudge]) -> dict[str, int]:
    """Letters of the questions about pairs, by the keys of their verdicts."""
    found: dict[str, int] = {}
    for judge in judges:
        drawn, labelled = pairs_of(state, dataset, judge.criterion)
        for pair in (*drawn, *labelled):
            for order in ORDERS:
                found[judge.key(pair, order)] = sum(len(text) for _, text in judge.messages(pair, order)) + SCHEMA
    return found
