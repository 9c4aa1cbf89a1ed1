"""What went wrong, in one line with one remedy: the errors of engine and network as `HanseiError`s.

An engine's error text may quote the SQL, values of rows, even parts of the URL. So nothing of it is passed on but its
code, its name, and identifiers that a strict pattern finds in it (the missing grant).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from hansei.context import Limits
from hansei.errors import ConnectionFailed, HanseiError, PermissionMissing, QueryFailed
from hansei.tools.clickhouse.urls import Target

_CODE = re.compile(r"\bCode: (\d+)\b")
_NAME = re.compile(r"[A-Z][A-Z0-9_]{2,60}")
_WORD = r"(?:[A-Za-z_]\w{0,99}|`[\w .-]{1,100}`)"
_GRANT = re.compile(rf"to have (?:the )?grant ([A-Z][A-Z ]{{2,40}})(?:\([^()]*\))? ON ({_WORD}\.(?:{_WORD}|\*))")
_STATUS = re.compile(r"\bHTTP status (\d{3})\b")

_CREDENTIALS = {192, 193, 194, 516}  # UNKNOWN_USER, WRONG_PASSWORD, REQUIRED_PASSWORD, AUTHENTICATION_FAILED
_UNKNOWN_DATABASE, _ACCESS_DENIED = 81, 497
_READS_TOO_MUCH = {158, 307}  # TOO_MANY_ROWS, TOO_MANY_BYTES
_RETURNS_TOO_MUCH = 396  # TOO_MANY_ROWS_OR_BYTES
_BUSY = {202, 203, 209, 210, 236, 279, 425}  # too many queries, no free connection, its own network, shutting down
_UNAVAILABLE = {"429", "502", "503", "504"}
_REASONS = {
    6: "a text cannot be parsed",
    27: "an input cannot be parsed",
    36: "an argument is not allowed",
    38: "a date cannot be parsed",
    41: "a time cannot be parsed",
    42: "a function has the wrong number of arguments",
    43: "a function has an argument of the wrong type",
    46: "a function does not exist",
    47: "a column does not exist",
    48: "this is not supported",
    53: "types do not match",
    60: "a table does not exist",
    291: "a table does not exist",  # in the empty database of a session that is held to a project
    62: "it is not valid SQL",
    70: "a value cannot be converted",
    115: "a setting does not exist",
    164: "the session is read-only",
    184: "an aggregate function stands inside another",
    215: "a column is neither aggregated nor in GROUP BY",
    349: "a NULL stands where none is allowed",
    386: "types have nothing in common",
    407: "a decimal is too large",
    452: "a setting is outside of what the user's profile allows",
    456: "a parameter is missing",
    457: "a parameter does not fit its type",
}


def explain(error: BaseException, target: Target, limits: Limits | None = None, words_of: str = "") -> HanseiError:
    """An error of clickhouse-connect, urllib3 or chDB as an error for people.

    Raise it outside of the ``except`` block, else the original travels along as its context.

    Args:
        error: what was raised.
        target: where the query went.
        limits: the bounds of the session, to name the one that was hit.
        words_of: the query, where the one who wrote it is told: a name that ClickHouse complains about is passed on if
            it stands in here. It is never a value then.
    """
    if target.engine == "chdb" and "EmbeddedServer" in str(error):
        return _embedded(str(error), target)
    code = engine_code(error)
    if code is None:
        return _no_answer(error, target)
    if code in _CREDENTIALS:
        return ConnectionFailed(
            f"ClickHouse at {target.display} refuses the user or the password.",
            "Check both in the URL; special characters must be percent-encoded (@ as %40, / as %2F).",
        )
    if code == _UNKNOWN_DATABASE:
        return _no_database(target)
    if code == _ACCESS_DENIED:
        return _denied(str(error), target)
    name = str(getattr(error, "name", None) or "")
    return _refused(code, name if _NAME.fullmatch(name) else "", limits or Limits(), _word(code, str(error), words_of))


def engine_code(error: BaseException) -> int | None:
    """ClickHouse's error code, or None when ClickHouse did not get to answer."""
    code = getattr(error, "code", None)
    if isinstance(code, int) and code > 0:
        return code
    match = _CODE.search(str(error))
    return int(match[1]) if match else None


def is_transient(error: BaseException) -> bool:
    """True when a read may simply be sent again: the connection was lost, or the server was too busy to take it."""
    code = engine_code(error)
    if code is not None:
        return code in _BUSY
    if status := _STATUS.search(str(error)):
        return status[1] in _UNAVAILABLE
    names = _names(error)
    return bool(names & _LOST) and not names & _SILENT


_SILENT = {"ReadTimeoutError", "ConnectTimeoutError", "TimeoutError"}
_UNREADABLE = {"NotSupportedError", "InternalError", "DataError", "UnicodeDecodeError"}  # the driver's, on decoding
_LOST = {"ProtocolError", "RemoteDisconnected", "ConnectionResetError", "BrokenPipeError", "IncompleteRead"}


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what caused it."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _names(error: BaseException) -> set[str]:
    return {kind.__name__ for link in _chain(error) for kind in type(link).__mro__}


def _no_database(target: Target) -> ConnectionFailed:
    place = "chdb:///directory?database=name" if target.engine == "chdb" else "clickhouse://…/name"
    return ConnectionFailed(
        f"ClickHouse at {target.display} has no such database, or hides it from this user.",
        f"Name the database that Langfuse writes to at the end of the URL: {place}.",
    )


def _denied(text: str, target: Target) -> HanseiError:
    user = target.username or "default"
    match = _GRANT.search(text)
    if match is None:
        return PermissionMissing(
            f"The ClickHouse user {user} lacks a privilege for this query.",
            "Hansei needs SELECT on Langfuse's tables and nothing else: hansei doctor names what is missing.",
        )
    privilege, table = match[1].strip(), match[2]
    if privilege == "SHOW DATABASES":
        return _no_database(target)
    message = f"The ClickHouse user {user} lacks the privilege {privilege} on {table}."
    if privilege == "SELECT":
        grantee = user if re.fullmatch(r"[A-Za-z_]\w*", user) else "`" + re.sub(r"[`\\]", "", user) + "`"
        return PermissionMissing(message, f"Have an administrator run: GRANT SELECT ON {table} TO {grantee};")
    return PermissionMissing(
        message, "The analysis needs SELECT only. To load sample data, use a user who may create and write tables."
    )


_ABOUT = {
    42: re.compile(r"\bfunction `?(\w{1,80})`?"),
    43: re.compile(r"\bfunction `?(\w{1,80})`?"),
    46: re.compile(r"\b[Ff]unction (?:with name )?[`']?(\w{1,80})[`']?"),
    47: re.compile(r"\bidentifier [`']([\w.]{1,80})[`']"),
    60: re.compile(r"\bidentifier [`']([\w.]{1,80})[`']"),
    62: re.compile(r"\bfailed at position \d+ \([`']?(\w{1,80})[`']?\)"),
    215: re.compile(r"\b[Cc]olumn [`']?([\w.]{1,80})[`']? is not under aggregate"),
}
"""Code → the name that the error is about, in texts where names of the query stand and values do not."""


def _word(code: int, text: str, sql: str) -> str:
    match = _ABOUT[code].search(text) if code in _ABOUT else None
    names = (match[1], match[1].rpartition(".")[2]) if match else ()  # ClickHouse may write the table before a column
    return next((name for name in names if re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", sql)), "")


def _refused(code: int, name: str, limits: Limits, word: str = "") -> QueryFailed:
    label = f"{name}, code {code}" if name else f"code {code}"
    match code:
        case 159:
            message = f"ClickHouse stopped a query after its {limits.seconds} s ({label})."
            remedy = "Choose a shorter window, or raise the limit on seconds."
        case 241:
            message = f"ClickHouse stopped a query at its {limits.memory_bytes / 1e6:,.0f} MB of memory ({label})."
            remedy = "Choose a shorter window, or raise the limit on memory."
        case _ if code in _READS_TOO_MUCH:
            message = f"ClickHouse stopped a query that reads too much ({label})."
            remedy = f"Choose a shorter window: a query may read {limits.rows_read:,} rows."
        case _ if code == _RETURNS_TOO_MUCH:
            message = f"ClickHouse stopped a query with a result of too many rows or bytes ({label})."
            remedy = (
                f"Aggregate further or add a LIMIT: a result may have {limits.result_rows:,} rows and "
                f"{limits.result_bytes / 1e6:,.0f} MB."
            )
        case _ if code in _BUSY:
            message = f"ClickHouse is too busy to take a query ({label})."
            remedy = "Try again in a minute."
        case 394:
            message = f"A query was cancelled in ClickHouse ({label})."
            remedy = "Start it again."
        case 164:
            message = f"ClickHouse refused a query: {_REASONS[code]} ({label})."
            remedy = "Only reading is possible here, with the settings as they are."
        case _:
            reason = f": {_REASONS[code]}" if code in _REASONS else ""
            reason += f", see {word}" if word else ""
            message = f"ClickHouse refused a query{reason} ({label})."
            remedy = "Run hansei doctor, which checks the tables; if it finds nothing, report this code."
    return QueryFailed(message, remedy, code=code, name=name, retryable=code in _BUSY)


def too_many_rows(limits: Limits) -> QueryFailed:
    """What `explain` says of a result above ``limits.result_rows``, for a server whose user may not set that limit."""
    return _refused(396, "TOO_MANY_ROWS_OR_BYTES", limits)


_PORTS = "(8123, or 8443 with TLS)"


def _no_answer(error: BaseException, target: Target) -> HanseiError:
    where = f"ClickHouse at {target.display}"
    names = _names(error)
    if names & _UNREADABLE and not names & _LOST:
        return QueryFailed(
            "ClickHouse answered a query in a form that cannot be read.",
            "Convert its columns to plain types in the SQL (no aggregate states, only text in UTF-8).",
        )
    if target.engine == "chdb":
        return _embedded(str(error), target)
    text = " ".join(str(link) for link in _chain(error)).lower()
    if names & {"NameResolutionError", "gaierror"}:
        return ConnectionFailed(f"The host of {target.display} is unknown.", "Check the host name in the URL.")
    if names & {"SSLError", "SSLCertVerificationError"}:
        return _tls(text, target)
    if "ConnectionRefusedError" in names or "connection refused" in text:
        return ConnectionFailed(
            f"{where} refuses the connection.",
            f"Check that the server runs, and that the port is its HTTP port {_PORTS}.",
        )
    if "NewConnectionError" in names:
        return ConnectionFailed(f"{where} cannot be reached.", "Check the network, the host and the port.")
    if "ConnectTimeoutError" in names:
        return ConnectionFailed(
            f"{where} gives no sign of life.",
            "Check host and port, and that firewalls and IP access lists let this machine through.",
        )
    if names & _SILENT:
        return ConnectionFailed(
            f"{where} took a query but did not answer in time.",
            "Check that the server is well, and choose a shorter window.",
        )
    if status := _STATUS.search(str(error)):
        return _foreign(status[1], target)
    if names & _LOST:
        return ConnectionFailed(
            f"{where} closed the connection.",
            f"Try again; if it stays so, check the port {_PORTS} and the server's log.",
        )
    return _foreign("", target)


def _foreign(status: str, target: Target) -> ConnectionFailed:
    if status in _UNAVAILABLE:
        return ConnectionFailed(
            f"ClickHouse at {target.display} is not available (HTTP status {status}).",
            "Try again in a minute; if it stays so, check the server and the proxy before it.",
        )
    said = f" (HTTP status {status})" if status else ""
    return ConnectionFailed(
        f"What answers at {target.display} is not ClickHouse's HTTP interface{said}.",
        f"Check host and port {_PORTS}; a proxy in between must pass the requests on unchanged.",
    )


def _tls(text: str, target: Target) -> ConnectionFailed:
    if "certificate" in text:
        return ConnectionFailed(
            f"The TLS certificate of {target.display} is not trusted.",
            "Name the authority's certificate in the environment variable SSL_CERT_FILE, and use the host it names.",
        )
    return ConnectionFailed(
        f"ClickHouse at {target.display} does not speak TLS at this port.",
        "Write clickhouse:// and port 8123 for a server without TLS, or its TLS port (8443).",
    )


def _embedded(text: str, target: Target) -> HanseiError:
    if "already initialized with path" in text:
        return ConnectionFailed(
            f"{target.display} cannot be opened: this process has another embedded ClickHouse open.",
            "Close that one first (close_readers()), or use a second process.",
        )
    if "client has been closed" in text:
        return QueryFailed("The ClickHouse session is closed.", "Open a new one.")
    return ConnectionFailed(
        f"The embedded ClickHouse at {target.display} cannot be opened.",
        "Check that the directory is intact and in use by no other process, and that the disk is not full.",
    )
