"""The whole job in this process, for tests: write rows into a database, analyse it, verify the report."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from hansei import Context, Report, build_graph
from hansei.demo.rows import Rows
from hansei.demo.tables import Schema, create_tables
from hansei.demo.writer import write
from hansei.tools.clickhouse import open_reader, open_writer, parse_url
from hansei.tools.report.verify import Verification, verify_report

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

NewUrl = Callable[[], str]
"""Gives the URL of a database that nobody has used yet."""


@contextmanager
def writing(url: str) -> Iterator[Client]:
    """A client that may write into the URL's database, which is made when it is missing."""
    client = open_writer(url)
    try:
        yield client
    finally:
        client.close()


def fill(url: str, schema: Schema, *sets: Rows) -> str:
    """Makes the tables of one schema in the URL's database and writes the rows; returns the URL."""
    with writing(url) as client:
        create_tables(client, schema, database_of(url))
        for rows in sets:
            write(client, schema, rows, database_of(url))
    return url


def database_of(url: str) -> str:
    """The database that a URL names."""
    return parse_url(url).database


def analyse(url: str, project_id: str, **request: Any) -> Report:
    """The report of a whole run. The result of the graph must be plain JSON that is valid for `Report`."""
    result = build_graph().invoke({"project_id": project_id, **request}, context=Context(clickhouse_url=SecretStr(url)))
    return Report.model_validate(result["report"])


def verify(url: str, report: Report) -> Verification:
    """Asks every query of a report again, after the report went through its JSON."""
    reader = open_reader(url)
    try:
        return verify_report(Report.model_validate_json(report.model_dump_json()), reader)
    finally:
        reader.close()


def the_rules(report: Report) -> Any:
    """A report without what a model may add, and without what differs from run to run.

    A model may add: words beside the rules' (the summary, `worded`), hypotheses and open questions in the plan,
    investigations, notes of the coverage, usage of the run; and the questions of its rival explanations (evidence
    `rival:…`, checks `rival_…`), of which only `rival_mix` may lower a finding.
    """
    dump = report.model_dump(mode="json", exclude={"run", "seals", "plan", "investigations", "summary"})
    dump["coverage"].pop("notes")
    for finding in (*dump["findings"], *dump["refuted"]):
        finding.pop("worded", None)
        finding["evidence"] = [one for one in finding["evidence"] if not one["purpose"].startswith("rival:")]
        finding["checks"] = [one for one in finding["checks"] if not one["name"].startswith("rival_")]

    def still(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: still(item) for key, item in value.items() if key not in ("seconds", "rows_read")}
        return [still(item) for item in value] if isinstance(value, list) else value

    return still(dump)


def told(report: Report) -> dict[str, Any]:
    """What a report says, without what differs from run to run and from schema to schema.

    Left out are the queries' texts, timings, rows read and hashes, the parameters of conditions that only one schema's
    queries need to read less (``only``), and the run's id. The answers stay, so that the same
    data gives the same answers to the same questions.
    """
    dump = report.model_dump(mode="json", exclude={"run", "seals"})
    dump["coverage"].pop("schema")
    for evidence in _evidence_in(dump):
        for key in ("sql", "seconds", "rows_read", "result_hash"):
            evidence.pop(key)
        bound = evidence["parameters"]
        evidence["parameters"] = {name: bound[name] for name in bound if not re.match(r"(cause_)?only\d", name)}
        evidence["rows"] = [[_rounded(value) for value in row] for row in evidence["rows"]]
    return dump


def _evidence_in(value: Any) -> Iterator[dict[str, Any]]:
    """Every piece of evidence, wherever in the report it stands."""
    if isinstance(value, dict):
        yield from value.get("evidence", [])
        value = [part for name, part in value.items() if name != "evidence"]
    if isinstance(value, list):
        for part in value:
            yield from _evidence_in(part)


def _rounded(value: Any) -> Any:
    """ClickHouse adds floats in no fixed order, so their last digits vary."""
    if isinstance(value, float):
        return float(f"{value:.9g}")
    return [_rounded(item) for item in value] if isinstance(value, list) else value


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Where two JSON values differ by more than the last digits of a float, one line each."""
    if isinstance(one, dict) and isinstance(other, dict):
        return [
            line
            for key in sorted({*one, *other})
            for line in differences(one.get(key), other.get(key), f"{path}.{key}")
        ]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [
            line for i, pair in enumerate(zip(one, other, strict=True)) for line in differences(*pair, f"{path}[{i}]")
        ]
    if isinstance(one, float) and isinstance(other, float):
        return [] if abs(one - other) <= 1e-8 * max(abs(one), abs(other)) else [f"{path}: {one} / {other}"]
    return [] if one == other else [f"{path}: {_cut(one)} / {_cut(other)}"]


def _cut(value: Any) -> str:
    return re.sub(r"\s+", " ", repr(value))[:300]
