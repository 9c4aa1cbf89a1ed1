"""The SQL copilot: finds the schema, writes SQL, runs it, explains the result. It sends OpenTelemetry.

Planted here: `write_sql` is slow on one model; `run_query` returns an error as if it were a result. That fewer
colleagues use it is planted in `visits`.
"""

from __future__ import annotations

from typing import Any

from hansei.demo import phrases
from hansei.demo.calendar import RUN_QUERY_EMPTY_HANDED, WRITE_SQL_SLOWER
from hansei.demo.pricing import MINI, SONNET
from hansei.demo.run import Run, as_json


def sql_copilot(run: Run) -> None:
    """One question about the company's data."""
    rng = run.rng
    thing, region = rng.choice(phrases.SQL_THINGS), rng.choice(phrases.SQL_REGIONS)
    question = rng.choice(phrases.SQL_QUESTIONS).format(thing=thing, region=region)
    table = thing.split()[-1]
    run.trace.input = question
    with run.span("CHAIN", "sql-copilot", input=question, metadata=run.trace.metadata) as chain:
        columns = {name: ["id", "created_at", "customer_id", "amount", "region"] for name in phrases.SQL_TABLES}
        schema = as_json({name: columns[name] for name in rng.sample(phrases.SQL_TABLES, 3)})
        run.step("RETRIEVER", "retrieve_schema", run.seconds(0.12), input=question, output=schema)
        sql = _write_sql(run, question, schema, table, region)
        result = _run_query(run, sql, table)
        if rng.random() < 0.15:
            run.step("EVENT", "chart_requested", 0.001, input=as_json({"kind": "bars"}))
        rows = len(result.get("rows", ()))
        explanation = f"The query counts {thing} by week for {region}; it returned {rows} rows."
        tokens = (rng.randrange(400, 800), 0, rng.randrange(60, 160))
        error = "RateLimitError: 429 Too Many Requests" if rng.random() < 0.004 else None
        run.generation(
            "explain",
            MINI,
            ("explain", 2),
            tokens=tokens,
            input=as_json(result),
            output=None if error else explanation,
            error=error,
        )
        chain.output = run.trace.output = explanation


def _write_sql(run: Run, question: str, schema: str, table: str, region: str) -> str:
    rng = run.rng
    model = SONNET if rng.random() < 0.45 else MINI
    slow = model is SONNET and run.now >= WRITE_SQL_SLOWER
    sql = (
        f"SELECT toStartOfWeek(created_at) AS week, count() AS n FROM {table} "
        f"WHERE region = '{region}' GROUP BY week ORDER BY week"
    )
    run.generation(
        "write_sql",
        model,
        ("write-sql", 8),
        tokens=(rng.randrange(1_300, 2_600), 0, max(50, round(rng.gauss(140, 30)))),
        slowdown=2.3 if slow else 1.0,
        input=as_json([{"role": "system", "content": f"Schema: {schema}"}, {"role": "user", "content": question}]),
        output=sql,
    )
    return sql


def _run_query(run: Run, sql: str, table: str) -> dict[str, Any]:
    rng = run.rng
    result: dict[str, Any]
    if rng.random() < (0.14 if run.now >= RUN_QUERY_EMPTY_HANDED else 0.01):
        result = {"error": f'relation "{table}_v2" does not exist'}
    else:
        weeks = [{"week": f"2026-W{week}", "n": rng.randrange(3, 900)} for week in range(36, 36 + rng.randrange(3, 10))]
        result = {"rows": weeks}
    run.tool("run_query", run.seconds(0.4, 0.7), {"sql": sql}, result)
    return result
