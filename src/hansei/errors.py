"""Everything that Hansei raises on purpose, as one tree.

    HanseiError
    ├── UsageError          (ValueError)         the request cannot be understood: a bad window, URL or option
    ├── ConnectionFailed    (ConnectionError)    ClickHouse or another service cannot be reached or refuses us
    ├── PermissionMissing   (PermissionError)    reached, but a grant is missing
    ├── SchemaNotSupported  (LookupError)        reached, but there are no Langfuse tables of a shape we know
    ├── NoData              (LookupError)        the project or the window holds nothing to analyse
    ├── ModelFailed         (RuntimeError)       the language model gave nothing usable: `reason` says why
    ├── LangfuseFailed      (ConnectionError)    Langfuse's API did not do what was asked: `reason` says why
    ├── QueryRefused        (ValueError)         SQL is not let through to ClickHouse: `reason` says why
    └── QueryFailed         (RuntimeError)       ClickHouse refused or stopped a query: `code`, `name`, `retryable`
        └── BudgetExceeded                       not asked: beyond what its run may still read: `estimate`

Each carries `message` (one line: what happened) and `remedy` (one line: what to do). Neither may ever contain a
password, nor text that came out of a trace. The command line prints both and exits with 2; anything that is not a
`HanseiError` is a bug and keeps its traceback.
"""

from __future__ import annotations

from typing import Literal, get_args


class HanseiError(Exception):
    """Base of all expected failures.

    Args:
        message: one line that says what happened.
        remedy: one line that says what the user can do about it.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message if not remedy else f"{message} {remedy}")
        self.message = message
        self.remedy = remedy

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.message, self.remedy))

    def _asdict(self) -> dict[str, str]:
        """What LangGraph's server tells its clients; of an exception without this it hides the text."""
        return {"error": type(self).__name__, "message": str(self)}


class UsageError(HanseiError, ValueError):
    """The request cannot be understood."""


class ConnectionFailed(HanseiError, ConnectionError):
    """A service cannot be reached, or refuses us."""


class PermissionMissing(HanseiError, PermissionError):
    """The service was reached, but a grant is missing."""


class SchemaNotSupported(HanseiError, LookupError):
    """There are no Langfuse tables, or none of a shape that Hansei knows."""


class NoData(HanseiError, LookupError):
    """The project or the window holds nothing to analyse."""


class QueryFailed(HanseiError, RuntimeError):
    """ClickHouse refused or stopped a query.

    Args:
        message: one line, scrubbed of values.
        remedy: one line that says what to do.
        code: ClickHouse's error code (0 when unknown).
        name: ClickHouse's error name, such as ``TIMEOUT_EXCEEDED`` ("" when unknown).
        retryable: True when the same query may succeed if it is sent again.
    """

    def __init__(
        self, message: str, remedy: str = "", *, code: int = 0, name: str = "", retryable: bool = False
    ) -> None:
        super().__init__(message, remedy)
        self.code = code
        self.name = name
        self.retryable = retryable

    def __reduce__(self) -> tuple[object, ...]:
        return (_query_failed, (self.message, self.remedy, self.code, self.name, self.retryable))


def _query_failed(message: str, remedy: str, code: int, name: str, retryable: bool) -> QueryFailed:
    return QueryFailed(message, remedy, code=code, name=name, retryable=retryable)


class BudgetExceeded(QueryFailed):
    """A query was not asked, since it would go beyond what its run may still read or wait for.

    Args:
        message: one line with the estimate and what is left.
        remedy: one line that says how the query could be narrowed.
        estimate: rows that the query would read from tables; None: nothing is left for any query.
    """

    def __init__(self, message: str, remedy: str = "", *, estimate: int | None = None) -> None:
        super().__init__(message, remedy)
        self.estimate = estimate

    def __reduce__(self) -> tuple[object, ...]:
        return (_budget_exceeded, (self.message, self.remedy, self.estimate))


def _budget_exceeded(message: str, remedy: str, estimate: int | None) -> BudgetExceeded:
    return BudgetExceeded(message, remedy, estimate=estimate)


RefusalReason = Literal[
    "syntax",
    "statement",
    "clause",
    "table",
    "function",
    "column",
    "name",
    "parameter",
    "size",
    "unknown",
]
"""What SQL was refused for: it is not valid; not one SELECT; a clause; a table or table function; a function or type; a
column that nothing defines; a name that hides another; a parameter; too long or too deep; something unknown."""


class QueryRefused(HanseiError, ValueError):
    """SQL that a model or a person wrote is not let through to ClickHouse; nothing was executed.

    Args:
        message: one line: what it holds that is not allowed.
        remedy: one line: what to write instead.
        reason: see `RefusalReason`.
    """

    def __init__(self, message: str, remedy: str = "", *, reason: RefusalReason = "unknown") -> None:
        if reason not in get_args(RefusalReason):
            raise ValueError(f"“{reason}” is no reason for a refusal.")
        super().__init__(message, remedy)
        self.reason: RefusalReason = reason

    def __reduce__(self) -> tuple[object, ...]:
        return (_query_refused, (self.message, self.remedy, self.reason))

    def _asdict(self) -> dict[str, str]:
        return {**super()._asdict(), "reason": self.reason}


def _query_refused(message: str, remedy: str, reason: RefusalReason) -> QueryRefused:
    return QueryRefused(message, remedy, reason=reason)


ModelFailure = Literal[
    "setup",
    "connection",
    "timeout",
    "rate_limit",
    "server",
    "request",
    "too_long",
    "empty",
    "refusal",
    "truncated",
    "invalid",
    "budget",
]
"""What a model failed with: no key or a refused one, an unknown model, an unpaid bill; not reached or cut off; too
slow; too many requests; a fault of its server; a request that it does not take; more text than it can read; an empty
answer; it declined; its answer was cut off; it does not fit the schema; the run's bounds on its use are reached."""


class ModelFailed(HanseiError, RuntimeError):
    """The language model gave nothing usable. Rules take over, so it costs words and never a report.

    Args:
        message: one line that begins with “The model …” and holds no text of the model, its endpoint or a trace.
        remedy: one line that says what to do.
        reason: see `ModelFailure`.
        status: the HTTP status of the answer, 0 when there was none.
    """

    def __init__(self, message: str, remedy: str = "", *, reason: ModelFailure = "invalid", status: int = 0) -> None:
        super().__init__(message, remedy)
        self.reason: ModelFailure = reason
        self.status = status

    def __reduce__(self) -> tuple[object, ...]:
        return (_model_failed, (self.message, self.remedy, self.reason, self.status))

    def _asdict(self) -> dict[str, str]:
        return {**super()._asdict(), "reason": self.reason}


def _model_failed(message: str, remedy: str, reason: ModelFailure, status: int) -> ModelFailed:
    return ModelFailed(message, remedy, reason=reason, status=status)


LangfuseFailure = Literal[
    "setup",
    "unreachable",
    "credentials",
    "not_found",
    "refused",
    "rate_limit",
    "server",
    "unreadable",
]
"""What Langfuse's API failed with: no keys or no usable address; not reached or cut off; keys that it does not take;
there is no such thing; a request that it does not take; too many requests; a fault of its own; an answer of another
shape than the installed SDK knows."""


class LangfuseFailed(HanseiError, ConnectionError):
    """Langfuse's API did not do what was asked, after as many attempts as make sense.

    Args:
        message: one line; it holds neither a key nor what was sent or answered.
        remedy: one line that says what to do.
        reason: see `LangfuseFailure`.
        status: the HTTP status of the last answer, 0 when there was none.
    """

    def __init__(self, message: str, remedy: str = "", *, reason: LangfuseFailure = "server", status: int = 0) -> None:
        super().__init__(message, remedy)
        self.reason: LangfuseFailure = reason
        self.status = status

    def __reduce__(self) -> tuple[object, ...]:
        return (_langfuse_failed, (self.message, self.remedy, self.reason, self.status))

    @property
    def passing(self) -> bool:
        """Whether the same request may succeed later."""
        return self.reason in ("unreachable", "rate_limit", "server")

    def _asdict(self) -> dict[str, str]:
        return {**super()._asdict(), "reason": self.reason}


def _langfuse_failed(message: str, remedy: str, reason: LangfuseFailure, status: int) -> LangfuseFailed:
    return LangfuseFailed(message, remedy, reason=reason, status=status)
