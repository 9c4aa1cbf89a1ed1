"""The read-only session: the one way in which Hansei reads from ClickHouse."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from hansei.context import Budget, Context, Limits
from hansei.contracts.spent import Spent
from hansei.errors import UsageError
from hansei.tools.clickhouse.budget import Meter
from hansei.tools.clickhouse.copies import Copies, Shortcut
from hansei.tools.clickhouse.session import Answer, Session, SessionFacts, open_session
from hansei.tools.clickhouse.urls import Engine, Target, parse_url
from hansei.tools.clickhouse.values import bindable, plain_rows


@dataclass(frozen=True)
class Result:
    """The answer to a query.

    `rows` hold plain JSON values in the order of `columns`. Sum decimals as decimals, ``toFloat64(sum(total_cost))``
    and not ``sum(toFloat64(total_cost))``: ClickHouse adds floats in no fixed order, so their last digits vary.
    `rows_read` and `bytes_read` count what ClickHouse read from tables; `seconds` is the time until the answer was
    here. `more` says that there would have been further rows than the ones that were asked for.
    """

    columns: list[str]
    rows: list[list[Any]]
    rows_read: int
    seconds: float
    bytes_read: int = 0
    more: bool = False

    def records(self) -> list[dict[str, Any]]:
        """The rows as dictionaries."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


class Reader:
    """A read-only session with bounds on time, memory, what is read and what is returned. Threads may share it.

    On a server they run side by side; the embedded engine takes one query at a time, on all cores, until
    `side_by_side` or `hold` lets small ones run beside each other.
    Made by `open_reader` or `shared_reader`. A session without a project is for finding out what is there; a run asks
    all its questions on a session that is held to its project.
    """

    def __init__(self, session: Session, meter: Meter | None = None) -> None:
        self._session = session
        self._meter = meter
        self._spent = Meter(Budget())

    @property
    def target(self) -> Target:
        """Where it reads."""
        return self._session.target

    @property
    def limits(self) -> Limits:
        """The bounds on each query."""
        return self._session.limits

    @property
    def project_id(self) -> str | None:
        """The project that the session is for; None: it reads all of the database."""
        return self._session.project_id

    @property
    def session(self) -> SessionFacts:
        """What holds the session to reading, to its limits and to its project."""
        return self._session.facts

    @property
    def engine(self) -> Engine:
        """``chdb`` or ``http``."""
        return self.target.engine

    @property
    def version(self) -> str:
        """ClickHouse's version, such as 26.9.2.1."""
        return str(self._session.client.server_version)

    @property
    def spent(self) -> Spent:
        """What the queries of this reader have cost."""
        return self._spent.spent

    def side_by_side(self, queries: int) -> None:
        """Lets as many queries run at the same time on an embedded engine, which else takes one after the other.

        For small data: each may use its own bound of memory, and runs on one core; a query over many rows uses all
        cores by itself.
        """
        self._session.side_by_side(queries)

    def hold(self, queries: int, copies: Copies) -> None:
        """Lets queries run side by side over copies of what they ask for, in the memory of an embedded engine.

        A run with a small budget, a server, and data that are too large have none; nobody needs to know, since a
        question brings its shortcut along.
        """
        if self._meter is not None and not self._meter.is_ample(self.limits):
            self._session.side_by_side(queries)
        else:
            cost = self._session.hold(queries, copies)
            if cost.queries:
                self._count(cost)

    @property
    def copies(self) -> str | None:
        """The name of the copies that are held."""
        return self._session.copies

    def let_go(self, name: str) -> None:
        """Gives up the copies of that name, when nobody asks for them any more."""
        self._session.let_go(name)

    def metered(self, meter: Meter) -> Reader:
        """The same session for one step of a run: its cost is counted in `meter` too, whose budget it cannot exceed."""
        return Reader(self._session, meter)

    def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        at_most: int | None = None,
        shortcut: Shortcut | None = None,
        foreign: bool = False,
    ) -> Result:
        """Asks and returns the answer as plain JSON values: the whole one, or an error when it has too many rows.

        Args:
            sql: one SELECT with ``{name:Type}`` placeholders.
            parameters: their values; the server binds them. Times may be datetimes (naive ones count as UTC) or
                ISO 8601 texts; what has no placeholder is ignored.
            at_most: the answer is cut after exactly this many rows, and `Result.more` says whether it was.
            shortcut: the same question, for a session that holds the copies that it is about. For whole answers.
            foreign: somebody else wrote it, a model or a person. What it would read is estimated before it runs, and an
                error names the word of it that ClickHouse stumbled over.

        Raises:
            QueryFailed: ClickHouse refused or stopped it.
            BudgetExceeded: it would go beyond what the run may read, or nothing is left of that.
            PermissionMissing: a grant is missing.
            ConnectionFailed: no answer.
        """
        started = time.perf_counter()
        wanted = sql if at_most is None else f"SELECT * FROM (\n{sql}\n) LIMIT {at_most + 1}"
        answer = self._ask(wanted, parameters, shortcut=shortcut if at_most is None else None, foreign=foreign)
        rows = plain_rows(answer.columns)
        more = at_most is not None and len(rows) > at_most
        return Result(
            answer.names,
            rows[:at_most] if more else rows,
            answer.rows_read,
            time.perf_counter() - started,
            answer.bytes_read,
            more,
        )

    def columns(
        self, sql: str, parameters: Mapping[str, Any] | None = None, *, shortcut: Shortcut | None = None
    ) -> dict[str, Sequence[Any]]:
        """Like `query`, for large results: column → values as the driver delivers them (ints, floats, Decimals,
        aware datetimes, …), without conversion."""
        answer = self._ask(sql, parameters, shortcut=shortcut)
        return dict(zip(answer.names, answer.columns, strict=True))

    def estimate(self, sql: str, parameters: Mapping[str, Any] | None = None, *, foreign: bool = False) -> int:
        """How many rows a SELECT would read from tables at most, by their primary keys; its sub-queries may run.

        Raises:
            HanseiError: as `query`.
        """
        answer, _ = self._session.send(f"EXPLAIN ESTIMATE {sql}", bindable(sql, parameters), foreign=foreign)
        found = dict(zip(answer.column_names, answer.result_columns, strict=False))
        return sum(map(int, found.get("rows", ())))

    def close(self) -> None:
        """Ends the session. An embedded directory is free for others once its last session is closed."""
        self._session.close()

    def _ask(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None,
        *,
        shortcut: Shortcut | None = None,
        foreign: bool = False,
    ) -> Answer:
        bound = bindable(sql, parameters)
        kept = 0
        if self._meter is not None:
            self._meter.check()
            # The engine lets no query read more than its limit: while that much is left, there is nothing to estimate.
            # Neither is there for DESCRIBE, which reads no rows.
            tight = self._meter.rows_left < self.limits.rows_read and not sql.startswith("DESCRIBE ")
            if foreign or tight:
                kept = self.estimate(sql, parameters, foreign=foreign)
                self._meter.admit(kept)
        started = time.perf_counter()
        try:
            answer = self._session.ask(sql, bound, shortcut=shortcut, foreign=foreign)
        except BaseException:
            # What it had read until then is not told.
            self._count(Spent(queries=1, seconds=time.perf_counter() - started))
            raise
        else:
            self._count(Spent(queries=1, rows=answer.rows_read, bytes=answer.bytes_read, seconds=answer.seconds))
        finally:
            if self._meter is not None:
                self._meter.release(kept)
        return answer

    def _count(self, cost: Spent) -> None:
        self._spent.add(cost)
        if self._meter is not None:
            self._meter.add(cost)


def open_reader(url: SecretStr | str, limits: Limits | None = None, *, project_id: str | None = None) -> Reader:
    """Opens a read-only session.

    Args:
        url: where.
        limits: the bounds on each query.
        project_id: the session is held to this project, as far as the engine can.

    Raises:
        UsageError: it is no URL.
        ConnectionFailed: it cannot be opened, with the reason and the remedy.
    """
    return Reader(open_session(parse_url(url), limits or Limits(), project_id))


_shared: dict[tuple[Target, Limits, str | None], Reader] = {}
_shared_lock = threading.Lock()


def shared_reader(context: Context, *, project_id: str | None = None) -> Reader:
    """The process's session for this URL, these limits and this project, opened when first asked for, closed at exit.

    Args:
        context: names the URL and the limits.
        project_id: the session is held to this project; None: to find out what is there.

    Raises:
        UsageError: the context names no ClickHouse, or not by a URL.
        ConnectionFailed: it cannot be opened.
    """
    if context.clickhouse_url is None:
        raise UsageError(
            "No ClickHouse is named.", "Set HANSEI_CLICKHOUSE_URL or give --clickhouse, such as chdb:///directory."
        )
    key = (parse_url(context.clickhouse_url), context.limits, project_id)
    with _shared_lock:
        if key not in _shared:
            _shared[key] = Reader(open_session(*key))
        return _shared[key]


def close_readers(url: SecretStr | str | None = None) -> None:
    """Closes the shared sessions, or only those of one URL. The next `shared_reader` opens a new one."""
    target = None if url is None else parse_url(url)
    with _shared_lock:
        for key in [key for key in _shared if target in (None, key[0])]:
            _shared.pop(key).close()


atexit.register(close_readers)
