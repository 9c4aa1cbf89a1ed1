"""Fills an embedded ClickHouse with as many Langfuse observations as you like, for the benchmarks.

    python benchmarks/generate.py /data/bench --observations 10000000 --schema v3

ClickHouse makes the rows itself (``INSERT … SELECT … FROM numbers()``), 200,000 at a time; every value is a hash of the
trace's number, so the same call gives the same rows. About ten observations a trace, 30 observation names in five apps,
four models, three releases, payloads of a few hundred bytes; 3 % of the observations have an older
version at level ERROR beside them. Three regressions are planted in the last week (`PLANTED`).
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from hansei.demo import SCHEMAS, create_tables
from hansei.tools.clickhouse import open_writer

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

PROJECT_ID = "bench"
DAYS = 28
END = datetime(2026, 11, 16, tzinfo=UTC)

_BATCH = 200_000  # observations a statement

PLANTED = (
    "error: lookup_order fails in 8 % of calls since 2026-11-12, before in 1 %",
    "latency: write_sql on claude-sonnet-4-5 takes twice as long since 2026-11-11",
    "cost: summarise has 60 % more input tokens since version 4 of its prompt came, on 2026-11-10",
)


@dataclass(frozen=True)
class Step:
    """One observation of every trace of an app; `seconds` is the median, `tokens` the usual input of a model call."""

    type: str
    name: str
    seconds: float
    tokens: int = 0


def _model(name: str, seconds: float, tokens: int) -> Step:
    return Step("GENERATION", name, seconds, tokens)


APPS: dict[str, tuple[Step, ...]] = {
    "support-agent": (
        Step("AGENT", "support-agent", 6),
        _model("route", 0.6, 350),
        Step("EMBEDDING", "embed_query", 0.1, 30),
        Step("RETRIEVER", "search_docs", 0.5),
        Step("TOOL", "lookup_order", 0.3),
        Step("TOOL", "refund", 0.7),
        _model("answer", 2.2, 2_100),
        Step("GUARDRAIL", "check_policy", 0.05),
    ),
    "research-agent": (
        Step("AGENT", "research-agent", 40),
        _model("plan", 2.5, 900),
        *(Step("TOOL", "web_search", 0.8), Step("TOOL", "fetch_page", 1.2), _model("summarise", 3.4, 5_000)) * 3,
        _model("report", 9, 3_000),
    ),
    "sql-copilot": (
        Step("CHAIN", "sql-copilot", 7),
        Step("RETRIEVER", "retrieve_schema", 0.1),
        *(_model("write_sql", 2.4, 1_900), Step("TOOL", "run_query", 0.4)) * 3,
        _model("explain", 1.4, 600),
        Step("EVENT", "chart_requested", 0.01),
    ),
    "document-intake": (
        Step("CHAIN", "document-intake", 12),
        Step("SPAN", "ocr", 3),
        *(Step("SPAN", "chunk", 0.05), Step("EMBEDDING", "embed_chunk", 0.2, 800)) * 3,
        _model("classify", 0.8, 1_200),
        _model("extract_fields", 2.8, 2_600),
    ),
    "meeting-notes": (
        Step("SPAN", "meeting-notes", 20),
        *(Step("SPAN", "transcribe", 4), _model("section_notes", 3.1, 4_000)) * 4,
        _model("action_items", 1.9, 2_800),
    ),
}

# Activity over the day, as a list of hours to draw from.
_HOURS = [hour for hour, weight in enumerate((1, 1, 1, 1, 1, 2, 4, 6, 8, 9, 9, 8, 8, 9, 9, 8, 7, 6, 5, 4, 4, 3, 2, 1))
          for _ in range(weight)]  # fmt: skip

_TEXT = (
    "The customer asks for a replacement of the order because the zip broke after two trips in the rain, and the "
    "warranty covers it for two years. Prices rose by several percent within a year while lead times did not. "
    "注文の商品がまだ届きません。The report compares three sources and lists what they agree on and where they differ. "
    "Der Reißverschluss ist kaputt, gilt die Garantie? SELECT count() FROM orders WHERE region = 'Osaka' GROUP BY 1. "
) * 4

# One row per observation, in names of our own. `t` numbers the trace, `slot` the step. Its placeholders: start (of the
# 28 days), traces (in all), first and count (of this batch), repeated (1: only rows that have an older version).
_ROWS = """
SELECT
    t, app, slot, steps, kinds[app][slot] AS type, names[app][slot] AS name,
    app_names[app] AS trace_name, lower(hex(sipHash128(t, 'trace'))) AS trace_id,
    lower(hex(cityHash64(t, slot, 'id'))) AS id, lower(hex(cityHash64(t, 1, 'id'))) AS root_id,
    toDateTime64({start:String}, 3, 'UTC') + toIntervalDay(intDiv(t * 28, {traces:UInt64})) AS day,
    hours[1 + cityHash64(t, 'hour') % length(hours)] * 3600000 + cityHash64(t, 'ms') % 3600000 AS trace_ms,
    day + toIntervalMillisecond(trace_ms) AS timestamp,
    timestamp + toIntervalMillisecond((slot - 1) * (300 + cityHash64(t, slot, 'gap') % 900)) AS start_time,
    (cityHash64(t, slot, 'a') % 10007 + cityHash64(t, slot, 'b') % 10007 + cityHash64(t, slot, 'c') % 10007) / 10007
        - 1.5 AS spread,
    models[1 + cityHash64(t, slot, 'model') % 3] AS chat_model,
    multiIf(type = 'GENERATION', chat_model, type = 'EMBEDDING', 'text-embedding-3-small', '') AS model,
    name = 'write_sql' AND model = 'claude-sonnet-4-5' AND day >= toDateTime64('2026-11-11', 3, 'UTC') AS is_slow,
    name = 'summarise' AND day >= toDateTime64('2026-11-10', 3, 'UTC') AS is_v4,
    seconds[app][slot] * exp(0.9 * spread) * if(is_slow, 2, 1) AS lasts,
    cityHash64(t, slot, 'error') % 1000 < multiIf(
        name = 'lookup_order', if(day >= toDateTime64('2026-11-12', 3, 'UTC'), 80, 10),
        type = 'TOOL', 8, 3) AS is_error,
    cityHash64(t, slot, 'end') % 1000 < 3 AS is_unfinished,
    toUInt64(tokens[app][slot] * (0.7 + cityHash64(t, slot, 'in') % 600 / 1000) * if(is_v4, 1.6, 1)) AS tokens_in,
    if(type = 'GENERATION', 30 + cityHash64(t, slot, 'out') % 500, 0) AS tokens_out,
    model != '' AND NOT is_error AS is_paid,
    toDecimal64(tokens_in * prices[model].1 / 1e6, 12) AS cost_in,
    toDecimal64(tokens_out * prices[model].2 / 1e6, 12) AS cost_out,
    if(cityHash64(t, 'environment') % 10 = 0, 'staging', 'production') AS environment,
    multiIf(day < toDateTime64('2026-11-02', 3, 'UTC'), '1.8.0', day < toDateTime64('2026-11-12', 3, 'UTC'), '1.9.0',
        '2.0.0') AS release,
    concat('user-', toString(cityHash64(t, 'user') % 5000)) AS user_id,
    concat('session-', toString(intDiv(t, 3))) AS session_id,
    if(cityHash64(user_id) % 5 = 0, 'ja', 'en') AS language,
    concat('{"request":"', trace_id, '","text":"', substringUTF8(text, 1 + cityHash64(t, slot, 'x') % 400,
        80 + cityHash64(t, slot, 'y') % 220), '"}') AS input,
    concat('{"id":"', id, '","text":"', substringUTF8(text, 1 + cityHash64(t, slot, 'z') % 400,
        80 + cityHash64(t, slot, 'w') % 220), '"}') AS output,
    cityHash64(t, slot, 'version') % 100 < 3 AS is_repeated,
    is_repeated AND {repeated:UInt8} = 0 AS is_draft,
    is_draft OR is_unfinished AS is_open,
    if(is_open, NULL, start_time + toIntervalMillisecond(greatest(1, toInt64(lasts * 1000)))) AS end_time,
    if(is_paid AND type = 'GENERATION' AND NOT is_open, start_time + toIntervalMillisecond(toInt64(lasts * 200)), NULL)
        AS first_token_time,
    if(is_error OR is_draft, 'ERROR', 'DEFAULT') AS level,
    if(is_error OR is_draft, concat('Timeout: ', name, ' did not answer'), NULL) AS status_message,
    if(is_paid AND NOT is_draft, map('input', tokens_in, 'output', tokens_out, 'total', tokens_in + tokens_out), map())
        AS usage,
    if(is_paid AND NOT is_draft, map('input', cost_in, 'output', cost_out, 'total', cost_in + cost_out), map()) AS cost,
    if(type = 'GENERATION', name, '') AS prompt_name,
    if(type = 'GENERATION', toUInt16(if(name = 'summarise', if(is_v4, 4, 3), 2)), NULL) AS prompt_version,
    if(is_draft, start_time, start_time + toIntervalMillisecond(60000)) AS event_ts
FROM
(
    SELECT number AS t, 1 + cityHash64(number, 'app') % length(names) AS app, length(names[app]) AS steps,
        arrayJoin(range(1, steps + 1)) AS slot
    FROM numbers({first:UInt64}, {count:UInt64})
)
WHERE {repeated:UInt8} = 0 OR is_repeated
"""

_V3_OBSERVATIONS = """
INSERT INTO observations (id, trace_id, project_id, environment, type, parent_observation_id, start_time, end_time,
    name, metadata, level, status_message, input, output, provided_model_name, usage_details, cost_details, total_cost,
    completion_start_time, prompt_name, prompt_version, created_at, updated_at, event_ts, is_deleted)
{constants}
SELECT id, trace_id, '{project}', environment, type, if(slot = 1, NULL, root_id), start_time, end_time,
    name, map('language', language), level, status_message, input, if(is_draft, NULL, output), nullIf(model, ''), usage,
    cost, if(is_paid AND NOT is_draft, cost['total'], NULL), first_token_time, nullIf(prompt_name, ''), prompt_version,
    start_time, event_ts, event_ts, 0
FROM ({rows})
"""

_V3_TRACES = """
INSERT INTO traces (id, timestamp, name, user_id, metadata, release, project_id, environment, public, bookmarked, tags,
    input, output, session_id, created_at, updated_at, event_ts, is_deleted)
{constants}
SELECT trace_id, timestamp, trace_name, user_id, map('language', language), release, '{project}', environment, false,
    false, [trace_name], input, output, session_id, timestamp, timestamp, timestamp, 0
FROM ({rows}) WHERE slot = 1
"""

_V4_COLUMNS = """
INSERT INTO events_full (project_id, trace_id, span_id, parent_span_id, start_time, end_time, name, type, environment,
    release, trace_name, user_id, session_id, tags, level, status_message, completion_start_time, prompt_name,
    prompt_version, provided_model_name, usage_details, cost_details, input, output, metadata_names, metadata_values,
    source, created_at, updated_at, event_ts, is_deleted)
{constants}
"""

_V4_OBSERVATIONS = f"""{_V4_COLUMNS}
SELECT '{{project}}', trace_id, id, if(slot = 1, concat('t-', trace_id), root_id), start_time, end_time, name, type,
    environment, release, trace_name, user_id, session_id, [trace_name], level, ifNull(status_message, ''),
    first_token_time, prompt_name, prompt_version, model, usage, cost, input, if(is_draft, '', output), ['language'],
    [language], 'ingestion-api-dual-write', start_time, event_ts, event_ts, 0
FROM ({{rows}})
"""

_V4_TRACES = f"""{_V4_COLUMNS}
SELECT '{{project}}', trace_id, concat('t-', trace_id), '', timestamp, NULL, trace_name, 'SPAN', environment, release,
    trace_name, user_id, session_id, [trace_name], 'DEFAULT', '', NULL, '', NULL, '', map(), map(), input, output,
    ['language'], [language], 'ingestion-api-dual-write', timestamp, timestamp, timestamp, 0
FROM ({{rows}}) WHERE slot = 1
"""

_SCORES = """
INSERT INTO scores (id, timestamp, project_id, environment, trace_id, name, value, source, data_type, string_value,
    event_ts, is_deleted)
{constants}
SELECT lower(hex(cityHash64(t, 'score'))), timestamp + toIntervalMinute(2) AS at, '{project}', environment, trace_id,
    'user_feedback', cityHash64(t, 'liked') % 100 < 85 AS liked, 'API', 'BOOLEAN', if(liked, 'True', 'False'), at, 0
FROM ({rows}) WHERE slot = 1 AND cityHash64(t, 'scored') % 10 = 0
"""


def _constants() -> str:
    """The apps and prices as a WITH clause."""

    def table(field: str) -> str:
        return str([[getattr(step, field) for step in steps] for steps in APPS.values()])

    models = ["gpt-5-mini", "gpt-5", "claude-sonnet-4-5"]
    prices = "map('gpt-5-mini', (0.25, 2.0), 'gpt-5', (1.25, 10.0), 'claude-sonnet-4-5', (3.0, 15.0), "
    return (
        f"WITH {list(APPS)} AS app_names, {table('type')} AS kinds, {table('name')} AS names, "
        f"{table('seconds')} AS seconds, {table('tokens')} AS tokens, {models} AS models, {_HOURS} AS hours, "
        f"{prices}'text-embedding-3-small', (0.02, 0.0)) AS prices, {_quoted(_TEXT)} AS text"
    )


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _statement(template: str) -> str:
    return template.format(constants=_constants(), project=PROJECT_ID, rows=_ROWS)


@dataclass(frozen=True)
class Batch:
    """Traces that are made by one statement: `count` of `traces` in all, from number `first` on."""

    first: int
    count: int
    traces: int

    def parameters(self, *, repeated: bool) -> dict[str, object]:
        """Values of the placeholders of `_ROWS`."""
        return {
            "start": f"{END - timedelta(days=DAYS):%Y-%m-%d %H:%M:%S}",
            "traces": self.traces,
            "first": self.first,
            "count": self.count,
            "repeated": int(repeated),
        }


def batches(observations: int, size: int) -> Iterator[Batch]:
    """Batches of about `size` observations, for about `observations` in all."""
    per_trace = sum(map(len, APPS.values())) / len(APPS)
    traces, step = max(1, round(observations / per_trace)), max(1, round(size / per_trace))
    for first in range(0, traces, step):
        yield Batch(first, min(step, traces - first), traces)


def generate(client: Client, schema: str, observations: int) -> None:
    """Makes the tables and fills them, with a line of progress for each batch."""
    create_tables(client, "v4" if schema == "v4" else "v3")
    traces, spans = (_V4_TRACES, _V4_OBSERVATIONS) if schema == "v4" else (_V3_TRACES, _V3_OBSERVATIONS)
    started = time.monotonic()

    def report(what: str) -> None:
        seconds = time.monotonic() - started
        rows = _stored(client)
        print(f"{what}: {rows:>12,} observations, {rows / seconds:>8,.0f} a second, {seconds:5.0f} s", flush=True)

    for batch in batches(observations, _BATCH):
        for template in (traces, spans, _SCORES):
            _insert(client, template, batch.parameters(repeated=False))
        report(f"{(batch.first + batch.count) / batch.traces:4.0%} made")
    # The newer versions come late, so that hardly a merge has put them together with the older ones yet.
    for batch in batches(observations, 10 * _BATCH):
        _insert(client, spans, batch.parameters(repeated=True))
    report("versions ")


def _insert(client: Client, template: str, values: dict[str, object]) -> None:
    client.command(_statement(template), parameters=values)


def _stored(client: Client) -> int:
    """Rows of the table that holds the observations, with all their versions; in v4 with the synthetic roots."""
    found = client.query(
        "SELECT sum(rows) FROM system.parts "
        "WHERE active AND database = currentDatabase() AND table IN ('observations', 'events_full')"
    )
    return int(found.result_rows[0][0])


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("directory", type=Path, help="directory of the embedded ClickHouse; made when missing")
    parser.add_argument("--observations", type=int, default=10_000_000, help="how many, about (10,000,000)")
    parser.add_argument("--schema", choices=SCHEMAS, default="v3")
    chosen = parser.parse_args()
    client = open_writer(f"chdb://{chosen.directory.resolve()}")
    try:
        generate(client, chosen.schema, chosen.observations)
    finally:
        client.close()
    print("planted:", *PLANTED, sep="\n  ")
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
