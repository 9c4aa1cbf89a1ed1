"""What the columns of the logical relations mean, for a model that has never seen them."""

from __future__ import annotations

from typing import Literal

from hansei.tools.langfuse.relations import Needs

RelationName = Literal["traces", "observations", "scores"]

RELATIONS: dict[RelationName, str] = {
    "traces": "one row for each run of the application: a request and all that was done to answer it",
    "observations": "one row for each step of a trace: a model call (GENERATION), a tool (TOOL), a retrieval, a span",
    "scores": "one row for each judgement of a trace or step, by users, annotators or evaluators; missing is not zero",
}

WIDE: dict[RelationName, Needs] = {
    "traces": Needs(totals=True),
    "observations": Needs(trace=True),
    "scores": Needs(trace=True),
}
"""The forms of the relations with all their columns."""

_TRACE = {
    "user_id": "the application's user; personal, so count or group by it, never quote it",
    "session_id": "the conversation that it belongs to",
    "release": "release of the application",
    "tags": "labels of the trace; has(tags, 'vip')",
    "environment": "production, staging, …",
}
_TOKENS = {
    "total_cost": "US dollars, exact decimal, of model calls only; NULL elsewhere. toFloat64(sum(total_cost))",
    "input_tokens": "tokens of the prompt; NULL where none were counted",
    "output_tokens": "tokens of the answer",
    "cached_tokens": "tokens of the prompt that came from a cache",
    "total_tokens": "all tokens",
}
MEANINGS: dict[RelationName, dict[str, str]] = {
    "traces": {
        **_TRACE,
        **_TOKENS,
        "id": "the trace's id",
        "timestamp": "when it began, UTC",
        "name": "which application or entry point",
        "version": "version of the application",
        "metadata": "what the application noted; metadata['key'], '' when it is missing",
        "input": "what was asked (v4: the first 200 characters)",
        "output": "what was answered (v4: the first 200 characters)",
        "steps": "observations of the trace",
        "errors": "observations at level ERROR",
        "unfinished": "observations without an end",
        "latency_ms": "milliseconds from the first start to the last end; NULL without observations",
    },
    "observations": {
        **_TRACE,
        **_TOKENS,
        "id": "the observation's id",
        "trace_id": "the trace that it belongs to",
        "parent_id": "the observation that it lies in; '' at the top",
        "type": "SPAN, GENERATION, TOOL, AGENT, CHAIN, RETRIEVER, EMBEDDING, EVALUATOR, GUARDRAIL, EVENT",
        "name": "which step",
        "start_time": "when it began, UTC",
        "end_time": "when it ended; NULL: it has not",
        "latency_ms": "milliseconds from start to end; NULL without an end",
        "first_token_ms": "milliseconds to the first token of a model's answer",
        "level": "DEBUG, DEFAULT, WARNING, ERROR; DEFAULT is no proof of success, see the output",
        "status_message": "what an error said",
        "model": "the model that was called; '' where none was",
        "model_parameters": "what the model was called with, as JSON; '' where none was noted",
        "prompt_name": "the managed prompt that was used",
        "prompt_version": "its version, as text",
        "version": "version of the application",
        "metadata": "what the application noted; metadata['key'], '' when it is missing",
        "input": "arguments or messages (v4: the first 200 characters)",
        "output": "result or answer (v4: the first 200 characters)",
        "trace_name": "name of its trace",
    },
    "scores": {
        **_TRACE,
        "id": "the score's id",
        "timestamp": "when it was given, UTC",
        "trace_id": "the trace that it judges; '' when it judges a session",
        "observation_id": "the step that it judges; '' for the whole trace",
        "name": "which score",
        "value": "the number; 0 or 1 of a BOOLEAN; means nothing for CATEGORICAL",
        "string_value": "the category, or 'True' / 'False'",
        "data_type": "NUMERIC, BOOLEAN, CATEGORICAL; never mix them under one name",
        "source": "API, EVAL (a judge), ANNOTATION (a person)",
        "comment": "why, in words",
        "trace_name": "name of its trace",
        "version": "version of its trace's application",
        "metadata": "what the application noted of its trace",
        "input": "what its trace was asked (v4: the first 200 characters)",
    },
}

DIMENSIONS: dict[RelationName, tuple[str, ...]] = {
    "traces": ("name", "environment", "release", "version", "tags"),
    "observations": ("type", "name", "level", "model", "prompt_name", "prompt_version", "version"),
    "scores": ("source",),
}
"""Columns with few values, which developers chose: these may be shown when many rows carry them."""
