"""The tools as LangChain takes them: typed arguments with what a model must know, content and artifact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from langchain_core.tools import BaseTool, StructuredTool
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hansei.errors import BudgetExceeded
from hansei.tools.inquiry.answer import Answer, Refusal
from hansei.tools.inquiry.bounds import Bounds
from hansei.tools.inquiry.describe import Topic, describe_data
from hansei.tools.inquiry.notebook import Notebook
from hansei.tools.inquiry.sampling import METRICS, Period, Which, sample_traces
from hansei.tools.inquiry.sql_asking import run_sql
from hansei.tools.inquiry.trace_reading import read_trace
from hansei.tools.inquiry.wording import fitted
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.untrusted import visible


class Arguments(BaseModel):
    """Base of the tools' arguments: what is not known is refused, so that a model learns of its mistake."""

    model_config = ConfigDict(extra="forbid")


class DescribeData(Arguments):
    topic: Topic = Field(
        "all", description="What to describe: one of the three relations, or all and how SQL is written."
    )


Scalar = str | int | float | bool | None


class RunSql(Arguments):
    sql: Annotated[str, Field(max_length=20_000)] = Field(
        description="One SELECT of ClickHouse's SQL over traces, observations and scores. Aggregate, and end with "
        "ORDER BY and LIMIT. describe_data says which columns there are."
    )
    purpose: Annotated[str, Field(max_length=500)] = Field(
        description="What the answer is to tell, and what would speak against it, in one sentence."
    )
    parameters: dict[str, Scalar | list[Scalar]] = Field(
        default_factory=dict,
        description='Values of the placeholders in sql, by name: {"tool": "search"} for {tool:String}. Bound already: '
        "window_start, range_start and range_end.",
    )


class ReadTrace(Arguments):
    trace_id: Annotated[str, Field(max_length=1_000)] = Field(
        description="Id of one trace, as it stands in an answer of run_sql or sample_traces."
    )
    focus: Annotated[str, Field(max_length=1_000)] | None = Field(
        None, description="Which step to show in full: its number such as #12, its name or its id. Default: where it "
        "first went wrong.",
    )  # fmt: skip


class SampleTraces(Arguments):
    segment: dict[str, str] = Field(
        default_factory=dict,
        description='Which traces: dimension and value, such as {"tool_name": "search", "release": "2.1"}. Empty: all. '
        "Dimensions: trace_name, observation_name, observation_type, tool_name, model, prompt_name, prompt_version, "
        "release, version, environment, tag, user_id, session_id, status_message, score_name, metadata.<key>.",
    )
    metric: str = Field(
        "error_rate", description=f"What tells bad from good, a finding's metric: {', '.join(METRICS)}."
    )
    which: Which = Field("both", description="bad, good, both (half of each), or any.")
    count: int = Field(10, ge=1, le=1_000, description="How many traces.")
    period: Period = Field("window", description="The window that is judged, or the baseline before it.")
    seed: int = Field(1, ge=0, description="Another seed draws other traces, the same seed always the same.")
    parameters: dict[str, float] = Field(
        default_factory=dict, description="The finding's parameters, such as slow_ms, repeats or many_steps."
    )


def inquiry_tools(dataset: Dataset, bounds: Bounds | None = None, notebook: Notebook | None = None) -> list[BaseTool]:
    """The tools over one dataset: describe_data, run_sql, read_trace, sample_traces.

    Content is text for a model, never longer than `bounds` says. Artifact is the list of the ids of the evidence, which
    `notebook` holds. What a tool refuses, and arguments that it does not understand, come back as content with the
    status ``error``; failures of ClickHouse are raised.

    Args:
        notebook: where evidence is kept; give one to share it among several sets of tools.
    """
    bounds = Bounds() if bounds is None else bounds
    notebook = Notebook() if notebook is None else notebook  # one without evidence is false

    def describe(topic: Topic = "all") -> Answer:
        return describe_data(dataset, bounds, notebook, topic)

    def ask(sql: str, purpose: str, parameters: dict[str, Any] | None = None) -> Answer:
        return run_sql(dataset, bounds, notebook, sql, purpose, parameters)

    def read(trace_id: str, focus: str | None = None) -> Answer:
        return read_trace(dataset, bounds, notebook, trace_id, focus)

    def sample(**arguments: Any) -> Answer:
        return sample_traces(dataset, bounds, notebook, **arguments)

    return [
        _tool("describe_data", _DESCRIBE, DescribeData, describe),
        _tool("run_sql", _SQL, RunSql, ask),
        _tool("read_trace", _READ, ReadTrace, read),
        _tool("sample_traces", _SAMPLE, SampleTraces, sample),
    ]


_DESCRIBE = (
    "What data there is: the relations and their columns with types, units and meanings, the values that occur, the "
    "time range, the scores, and how SQL is written here. Ask it before the first SQL."
)
_SQL = (
    "Asks the data with SQL and shows the answer as a small table. The whole answer is kept as evidence: cite its id "
    "instead of writing numbers. What is refused says what to change: change it and ask again."
)
_READ = (
    "Reads one trace as an indented tree of its steps: type, name, duration, level, model, tokens, cost, status, and "
    "the texts of the step where it went wrong and of those around it. Read several before you name a cause."
)
_SAMPLE = (
    "Draws traces of a segment at random, bad and good ones apart, and says how many of each there are. Read them "
    "with read_trace, and compare: what do the bad ones share that the good ones lack?"
)


def _tool(name: str, description: str, arguments: type[Arguments], answer: Callable[..., Answer]) -> BaseTool:
    def answered(**given: Any) -> Answer:
        try:
            return answer(**given)
        except BudgetExceeded as error:
            raise Refusal(str(error)) from None

    return StructuredTool.from_function(
        func=answered,
        name=name,
        description=description,
        args_schema=arguments,
        response_format="content_and_artifact",
        handle_tool_error=True,
        handle_validation_error=_misunderstood,
    )


def _misunderstood(error: Any) -> str:
    """What is wrong with the arguments, in a line for each, without repeating them."""
    if not isinstance(error, ValidationError):
        return "The arguments cannot be read. Give them as the schema says."
    wrong = [
        f"{fitted(visible('.'.join(str(part) for part in found['loc'])), 60)}: {fitted(found['msg'], 200)}"
        for found in error.errors(include_url=False, include_input=False, include_context=False)[:5]
    ]
    return "These arguments do not fit the schema. " + "; ".join(wrong)
