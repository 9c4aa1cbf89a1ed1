"""Messages as templates: what ClickHouse folds, and what is told as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from hansei.contracts import Comparison, Evidence
from hansei.tools.clickhouse import close_readers, open_writer
from hansei.tools.langfuse.relations import Needs
from hansei.tools.playbook.measure import Rows
from hansei.tools.playbook.model import Candidate
from hansei.tools.playbook.templates import Cluster, count_templates, messages_of, template

Fold = Callable[..., list[str]]


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    found = open_writer("chdb://")
    yield found
    found.close()
    close_readers()


@pytest.fixture(scope="module")
def fold(client: Client) -> Fold:
    """Gives the templates of texts."""

    def folded(*texts: str) -> list[str]:
        sql = f"SELECT {template('t')} FROM (SELECT arrayJoin({{texts:Array(String)}}) AS t)"
        return [row[0] for row in client.query(sql, parameters={"texts": list(texts)}).result_rows]

    return folded


def test_a_message_is_new_since_the_moment_at_which_it_first_came(client: Client) -> None:
    """Not since the start of that day of the window, which may begin at any hour: that is often the day before."""
    candidate = Candidate(
        detector="error", metric="error_rate", direction="regression", segment={},
        comparison=Comparison(against="baseline", segment={}),
    )  # fmt: skip
    at = "toDateTime64(['2026-11-22 09:30:00', '2026-11-21 12:03:00'][n], 6, 'UTC') AS moment"
    cte = f"rows AS (SELECT 'window' AS period, 1 AS y, 'boom' AS text, {at} FROM (SELECT arrayJoin([1, 2]) AS n))"
    found = client.query(count_templates(Rows(cte, {}, (), Needs(), candidate), "text"))
    told = dict(zip(found.column_names, found.result_rows[0], strict=True))
    assert (told["now"], told["first"]) == (2, "2026-11-21T12:03:00Z")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("timeout after 30012 ms calling https://x.io/orders/4711?q=a", "timeout after <n> ms calling <url>"),
        ("order ORD-48392 not found", "order ORD-<n> not found"),
        ("lock 9f1c2d3e-4a5b-6c7d-8e9f-0a1b2c3d4e5f since 2026-11-11T08:15:30.123Z", "lock <id> since <time>"),
        ("request req_8f3ka92k from 10.0.3.17:5432 at 08:15:30", "request <id> from <address> at <time>"),
        ("Request failed with status code 429", "Request failed with status code 429"),
        ("HTTP/1.1 503: try again in 12s", "HTTP/1.1 503: try again in <n>s"),
        ("HTTP 200 after 451 ms", "HTTP <n> after <n> ms"),
        ("Unknown tool 'search_orders'", "Unknown tool <value>"),
        ("can't reach the user's inbox", "can't reach the user's inbox"),
        ('no column "total", did you mean "totals"?', "no column <value>, did you mean <value>?"),
        ('{"error": "no such order", "order": 5512}', '{"error": "no such order", "order": <n>}'),
        ("No such file: '/var/data/7/in.csv' (errno 2)", "No such file: <value> (errno <n>)"),
        ("cannot open /var/data/7/in.csv", "cannot open <path>"),
        ("either/or is no path, nor is 1/2", "either/or is no path, nor is <n> …"),
        ("missing ids 4, 8, 15, 16", "missing ids <n> …"),
        ("mail to jane.doe+x@example.co.uk bounced", "mail to <email> bounced"),
        ("pointer 0xDEADBEEF, sha 3f2a9b1c8d7e6f50", "pointer <id>, sha <id>"),
        ("多すぎるリクエスト: 4711件", "多すぎるリクエスト: <n>件"),
        ("  two\n\tlines\x00here  ", "two lines here"),
        ("invalid key sk-proj-Ab1cdefghij0123456789 given", "invalid key <secret> given"),
        ("ghp_0123456789abcdefghijABCDEF is expired", "<secret> is expired"),
        ("jwt eyJhbGciOiJIUzI1NiJ9.eyJwbGFudGVkIjoxfQ.c2lnbmF0dXJl expired", "jwt <secret> expired"),
        ("login failed: password=hunter2-for-ann, user=ann", "login failed: password=<secret>, user=ann"),
        ("401 for Authorization: Bearer abcdef0123456789abcdef", "<n> for Authorization: Bearer <secret>"),
        ("pk_customers_order_lines is violated", "pk_customers_order_lines is violated"),
        ("", ""),
        ("internal_server_error_while_processing_request", "internal_server_error_while_processing_request"),
    ],
)  # fmt: skip
def test_what_differs_from_call_to_call_is_folded(fold: Fold, text: str, wanted: str) -> None:
    assert fold(text) == [wanted]


def test_hostile_texts_are_folded_without_harm(fold: Fold) -> None:
    huge = "x" * 2_000_000
    html = "<script>alert('1')</script><img src=x onerror=\"alert(1)\">"
    turned = "\u202eesrever\u202c \U0001f469\u200d\U0001f469 e\u0301"
    found = fold(huge, html, turned, '{"broken": [1, 2', "\\' OR 1=1 --", "%s {0} {window_start:String}")
    assert len(found) == 6
    assert all(len(text) <= 200 for text in found)
    assert found[2] == turned


def answer(*rows: tuple[str, int, int]) -> Evidence:
    columns = ["message", "now", "before", "first", "failing", "failing_before", "templates"]
    now, before = sum(row[1] for row in rows), sum(row[2] for row in rows)
    full: list[list[Any]] = [[*row, "2026-11-11T00:00:00Z", now, before, len(rows)] for row in rows]
    return Evidence(
        id="d", purpose="detail", sql="", parameters={}, columns=columns, rows=full, row_count=len(full), rows_read=0,
        seconds=0, result_hash="",
    )  # fmt: skip


def clusters(*rows: tuple[str, int, int]) -> list[tuple[str, int, int]]:
    found = messages_of(answer(*rows))
    assert found is not None

    def told(one: Cluster) -> tuple[str, int, int]:
        return one.message, one.now, one.before

    return [told(one) for one in found.clusters]


def test_templates_that_differ_in_a_name_are_told_as_one() -> None:
    assert clusters(
        ("the upstream service answered too late for customer anna", 5, 1),
        ("the upstream service answered too late for customer hans", 4, 2),
        ("no route to host", 6, 0),
    ) == [("the upstream service answered too late for customer anna", 9, 3), ("no route to host", 6, 0)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("the orders service failed with status code 429", "the orders service failed with status code 503"),
        ("the order was found in the archive of this shop", "the order was not found in the archive of this shop"),
        ("connection refused by redis", "connection refused by postgres"),
        ("", "x"),
    ],
)  # fmt: skip
def test_templates_that_say_something_else_stay_apart(one: str, other: str) -> None:
    assert len(clusters((one, 5, 0), (other, 5, 0))) == 2
