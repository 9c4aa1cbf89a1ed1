"""What may vary from run to run, as one typed object.

A `Context` is handed to the graph beside its input (``graph.invoke(request, context=Context(...))``); it is never part
of the state, so it is never checkpointed. Every field has a default, most of them from the environment.
"""

from __future__ import annotations

import math
import os

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from hansei.errors import UsageError


def _env_secret(name: str) -> SecretStr | None:
    value = os.environ.get(name)
    return SecretStr(value) if value else None


def prompt_label() -> str | None:
    """The label that HANSEI_PROMPT_LABEL names, production when it names none; None: it says off."""
    name = "HANSEI_PROMPT_LABEL"
    return (os.environ.get(name, "").strip() or "production") if _env_switch(name) else None


def _env_switch(name: str) -> bool:
    """On, unless the environment says off."""
    return os.environ.get(name, "").strip().lower() not in ("0", "off", "false", "no")


def model_patience() -> float:
    """Seconds that HANSEI_MODEL_TIMEOUT names, 60 when it names none.

    Raises:
        UsageError: they cannot be read.
    """
    text = os.environ.get("HANSEI_MODEL_TIMEOUT", "").strip() or "60"
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise UsageError("HANSEI_MODEL_TIMEOUT cannot be read.", "Give seconds, such as 300.")
    return seconds


def model_questions_at_once() -> int:
    """The number that HANSEI_MODEL_AT_ONCE names, 32 when it names none.

    Raises:
        UsageError: it cannot be read.
    """
    text = os.environ.get("HANSEI_MODEL_AT_ONCE", "").strip() or "32"
    if not text.isdecimal() or int(text) < 1:
        raise UsageError("HANSEI_MODEL_AT_ONCE cannot be read.", "Give a number of questions, such as 1.")
    return int(text)


class Limits(BaseModel):
    """Bounds on one query to ClickHouse. They are set on the read-only session, so no query can lift them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seconds: int = Field(120, ge=1, description="Longest time that one query may run, in seconds.")
    memory_bytes: int = Field(
        2_000_000_000, ge=50_000_000, description="Most memory that one query may use in ClickHouse, in bytes."
    )
    result_rows: int = Field(200_000, ge=1, description="Most rows that one query may return.")
    result_bytes: int = Field(
        1_000_000_000, ge=1_000_000, description="Most bytes that one query may return, uncompressed."
    )
    rows_read: int = Field(10_000_000_000, ge=1, description="Most rows that one query may read from tables.")
    bytes_read: int = Field(
        2_000_000_000_000, ge=1, description="Most bytes that one query may read from tables, uncompressed."
    )


class Budget(BaseModel):
    """Bounds on all queries of one run together, for the sake of others on the same ClickHouse.

    Where it is spent, no further query is asked: the report tells what was found out before, and what was left out.
    The defaults let a project of a hundred million observations through.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int = Field(50_000_000_000, ge=0, description="Most rows that a run may read from tables.")
    bytes: int = Field(10_000_000_000_000, ge=0, description="Most bytes that a run may read, uncompressed.")
    seconds: float = Field(
        3600, ge=0, description="Longest time that the queries of a run may take together, in seconds."
    )


class ModelBudget(BaseModel):
    """Bounds on what a run may ask of the language model. Where one is reached, rules take over and the report says so.

    US dollars count where the endpoint tells the cost of a call, or where `Context.model_prices` are given.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tokens: int = Field(500_000, ge=0, description="Most tokens of a run, read and written together.")
    usd: float = Field(5.0, ge=0, description="Most US dollars of a run, as far as they are known.")
    calls: int = Field(100, ge=0, description="Most calls of a run, repeated ones included.")
    seconds: float = Field(
        1200,
        ge=0,
        description="Longest time that a run waits for the model in all, in seconds; side by side counts once.",
    )
    questions: int = Field(3, ge=0, description="Most open questions that the model looks into in a run.")
    looks: int = Field(12, ge=1, description="Most looks at the data (queries, traces, samples) per open question.")
    question_tokens: int = Field(120_000, ge=0, description="Tokens after which an open question is concluded.")
    question_seconds: float = Field(300, ge=0, description="Seconds after which an open question is concluded.")
    share_of_queries: float = Field(
        0.1,
        ge=0,
        le=1,
        description="What the model's own queries may read and take, as a share of Context.budget, besides the rules'.",
    )


class ModelPrices(BaseModel):
    """What tokens cost, in US dollars per million."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: float = Field(ge=0, description="US dollars per million tokens that the model reads.")
    output: float = Field(ge=0, description="US dollars per million tokens that the model writes.")

    @classmethod
    def from_environment(cls) -> ModelPrices | None:
        """The prices that HANSEI_MODEL_PRICES names as input/output; None: it is not set.

        Raises:
            UsageError: they cannot be read.
        """
        text = os.environ.get("HANSEI_MODEL_PRICES", "").strip()
        if not text:
            return None
        try:
            read, written = (float(part) for part in text.split("/"))
            return cls(input=read, output=written)
        except ValueError:
            raise UsageError(
                "HANSEI_MODEL_PRICES cannot be read.",
                "Give US dollars per million tokens read and written, such as 0.25/2.",
            ) from None


class Context(BaseModel):
    """Settings of a run: where the data is, which model writes the words, and the bounds.

    Raises:
        pydantic.ValidationError: for an unknown field or a value out of range.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    clickhouse_url: SecretStr | None = Field(
        default_factory=lambda: _env_secret("HANSEI_CLICKHOUSE_URL"),
        description="chdb:///dir?database=default, clickhouse://user:password@host:8123/database or clickhouses://…. "
        "Default: HANSEI_CLICKHOUSE_URL.",
    )
    project_id: str | None = Field(
        default_factory=lambda: os.environ.get("HANSEI_PROJECT_ID") or None,
        description="Langfuse project that is meant where neither the request nor a message names one. Default: "
        "HANSEI_PROJECT_ID.",
    )
    langfuse_base_url: str | None = Field(
        default_factory=lambda: os.environ.get("LANGFUSE_BASE_URL") or None,
        description="Address of Langfuse's web interface, for links to traces. Default: LANGFUSE_BASE_URL.",
    )
    ledger: SecretStr | None = Field(
        default_factory=lambda: _env_secret("HANSEI_LEDGER"),
        description="Where findings are kept from run to run: the path of a SQLite file, or clickhouse://… or chdb://… "
        "with a database of its own. None: nowhere. Default: HANSEI_LEDGER.",
    )
    verdicts: str | None = Field(
        default_factory=lambda: os.environ.get("HANSEI_VERDICTS") or None,
        description="Where an evaluation keeps its verdicts, so that nothing is judged twice: a SQLite file. "
        "Default: HANSEI_VERDICTS, else a file in the user's cache directory.",
    )
    limits: Limits = Field(default_factory=Limits, description="Bounds on each query.")
    budget: Budget = Field(default_factory=Budget, description="Bounds on all queries of a run together.")
    model: str | None = Field(
        default_factory=lambda: os.environ.get("HANSEI_MODEL") or None,
        description="Chat model behind OPENAI_BASE_URL (default: OpenAI), with the key OPENAI_API_KEY. None: rules "
        "only, nothing is sent to any model. Default: HANSEI_MODEL.",
    )
    model_timeout: float = Field(
        default_factory=lambda: model_patience(),
        gt=0,
        description="Longest time that the model may take for one answer, in seconds. Default: HANSEI_MODEL_TIMEOUT, "
        "else 60.",
    )
    model_at_once: int = Field(
        default_factory=lambda: model_questions_at_once(),
        ge=1,
        description="Most questions that this process has at the model side by side; the others wait, which counts as "
        "no time of an answer. Default: HANSEI_MODEL_AT_ONCE, else 32; 1 for a server that answers one at a time.",
    )
    model_budget: ModelBudget = Field(default_factory=ModelBudget, description="Bounds on the model's use in a run.")
    model_prices: ModelPrices | None = Field(
        default_factory=lambda: ModelPrices.from_environment(),
        description="For endpoints that do not tell what a call costs. None: such calls have no known cost. Default: "
        "HANSEI_MODEL_PRICES, such as 0.25/2.",
    )
    model_cache: bool = Field(
        default_factory=lambda: _env_switch("HANSEI_MODEL_CACHE"),
        description="Whether answers of the model are kept in the user's cache directory and taken from there when the "
        "same is asked again. Default: HANSEI_MODEL_CACHE, on unless it says off.",
    )
    model_dry_run: bool = Field(
        False,
        description="Nothing is sent to the model; `run.usage` of the report estimates what a run would use of it.",
    )
    prompt_label: str | None = Field(
        default_factory=lambda: prompt_label(),
        max_length=100,
        description="Label of the prompts in Langfuse that take the packaged ones' place, where Langfuse's keys are "
        "set and it holds any. None: the packaged ones. Default: HANSEI_PROMPT_LABEL, production unless it names "
        "another or says off.",
    )
    masking: bool = Field(
        default_factory=lambda: _env_switch("HANSEI_MASKING"),
        description="Whether e-mail addresses, card and phone numbers, keys and tokens are masked before a text is "
        "sent to the model. Default: HANSEI_MASKING, on unless it says off.",
    )
