"""Is the model there, and what can it do? What `hansei doctor` asks it: a few small questions.

What is found out is kept (see `remembered`), so that later runs need not ask again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hansei.context import Context
from hansei.errors import ModelFailed
from hansei.tools.langfuse.health import Health
from hansei.tools.langfuse.untrusted import one_line
from hansei.tools.language_model.calling import call, can_stream
from hansei.tools.language_model.endpoint import LONGEST_ANSWER, Endpoint, endpoint_of, models_of
from hansei.tools.language_model.habits import Habits, forget_habits, habits_of, keep_habits
from hansei.tools.language_model.structured import NOT_KNOWN, way_of
from hansei.tools.language_model.usage import ModelMeter

PATIENCE = 20.0
"""Seconds that one answer may take here; a third of what it may in a run, where that is more."""

WINDOWS = ("context_length", "max_model_len", "context_window", "max_context_length", "n_ctx", "n_ctx_train")
"""Names under which servers tell how many tokens a model can hold."""

WAYS = {
    "json_schema": "by a JSON schema",
    "function": "by a function that it must call",
    "prompt": "as told in the prompt: it knows neither JSON schemas nor functions",
}

TOOL: dict[str, Any] = {
    "name": "look",
    "description": "Looks at one thing.",
    "parameters": {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]},
}


def examine_model(context: Context) -> Iterator[Health]:
    """Asks the model that the context names. What cannot be found out, since it does not answer, is skipped."""
    patience = min(context.model_timeout, max(PATIENCE, context.model_timeout / 3))
    endpoint = endpoint_of(context.model_copy(update={"model_timeout": patience}))
    if endpoint is None:
        yield Health("model", "skipped", "off: no model is named (HANSEI_MODEL, --model)")
        return
    try:
        yield from _examined(endpoint, ModelMeter(context.model_budget, context.model_prices))
    except ModelFailed as failure:
        yield Health("model", "failed", f"{endpoint.address}: {failure.message}", _remedy(endpoint, failure))


def _examined(endpoint: Endpoint, meter: ModelMeter) -> Iterator[Health]:
    forget_habits(endpoint)
    way, described = way_of(endpoint, meter, "doctor"), _described(endpoint)
    habits = habits_of(endpoint)
    yield Health("model", "ok", f"{one_line(endpoint.model, 80)} at {endpoint.address} answers")
    yield Health("structured answers", "note" if way == "prompt" else "ok", WAYS[way])
    habits.tools = _calls_tools(endpoint, meter)
    yield (
        Health("tools", "ok", "it calls tools")
        if habits.tools
        else Health("tools", "note", "it calls none: it chooses what to look at in structured answers")
    )
    habits.streams = habits.streams and can_stream(endpoint)
    yield (
        Health("streaming", "ok", "it streams")
        if habits.streams
        else Health("streaming", "note", "it does not stream: whole answers are asked for")
    )
    habits.keep_within(_window(described.get(endpoint.model, {})))
    yield Health("parameters", "ok" if habits.cold else "note", _parameters(habits))
    yield _told_window(habits)
    keep_habits(endpoint)


def _remedy(endpoint: Endpoint, failure: ModelFailed) -> str:
    # Some servers refuse a model that is not there as they refuse a parameter.
    unknown = failure.status in (400, 404) and endpoint.model not in (names := _described(endpoint))
    if unknown and (known := [one_line(name, 60) for name in names]):
        more = ", …" if len(known) > 5 else ""
        return f"Name one that is there ({', '.join(known[:5])}{more})."
    if failure.reason == "timeout":
        return "Check that the server is up and has loaded the model."
    return failure.remedy


def _described(endpoint: Endpoint) -> dict[str, dict[str, Any]]:
    """What the server tells of its models, by name; empty: it does not tell."""
    try:
        return models_of(endpoint)
    except ModelFailed:
        return {}


def _window(told: dict[str, Any]) -> int | None:
    """Tokens that a model can hold, as its server tells them."""
    meta = told.get("meta")
    for source in (told, meta if isinstance(meta, dict) else {}):
        for name in WINDOWS:
            value = source.get(name)
            if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                return value
    return None


def _calls_tools(endpoint: Endpoint, meter: ModelMeter) -> bool:
    question = [("user", "This is a test of the connection: call the tool look with at = here.")]
    try:
        reply = call(endpoint, meter, "doctor", question, tools=[TOOL], keep=lambda reply: False)
    except ModelFailed as failure:
        if failure.status in NOT_KNOWN or failure.reason in ("empty", "invalid", "refusal", "truncated"):
            return False
        raise
    return any(one.name == TOOL["name"] and one.arguments is not None for one in reply.calls)


def _parameters(habits: Habits) -> str:
    told = [f"the limit of an answer is called {habits.limit}"]
    if not habits.cold:
        told.append("it chooses its own temperature, as models that think do, so its answers are not kept")
    if habits.longest != LONGEST_ANSWER:
        told.append(f"an answer may have {habits.longest:,} tokens")
    return "; ".join(told)


def _told_window(habits: Habits) -> Health:
    if habits.window is None:
        return Health("window", "ok", "not told by the server: what does not fit is cut when the model refuses it")
    told = f"{habits.window:,} tokens"
    if habits.is_small:
        return Health("window", "note", f"{told}: what it is told is cut to fit", "A larger one sees more of the data.")
    return Health("window", "ok", told)
