"""Connection URLs: what `HANSEI_CLICKHOUSE_URL` and `--clickhouse` may hold. No password is ever shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from pydantic import SecretStr

from hansei.errors import UsageError

Engine = Literal["chdb", "http"]

URL_FORMS = (
    "chdb:///directory, clickhouse://user:password@host:8123/database or clickhouses://user:password@host:8443/database"
)


@dataclass(frozen=True)
class Target:
    """Where the data is. `repr` and `display` never show the password.

    `path` is the directory of an embedded engine (None: in memory) and is unset for a server.
    """

    engine: Engine
    path: str | None = None
    host: str = ""
    port: int = 0
    username: str = ""
    password: SecretStr = field(default_factory=lambda: SecretStr(""))
    database: str = "default"
    secure: bool = False

    @property
    def display(self) -> str:
        """The URL without the password."""
        if self.engine == "chdb":
            suffix = "" if self.database == "default" else f"?database={quote(self.database, safe='')}"
            return f"chdb://{quote(self.path or '', safe='/')}{suffix}"
        scheme = "clickhouses" if self.secure else "clickhouse"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{quote(self.username, safe='')}@{host}:{self.port}/{quote(self.database, safe='')}"


def parse_url(url: str | SecretStr) -> Target:
    """Reads a connection URL.

    User, password, database and path are percent-decoded. The ports default to 8123 and 8443, the user and the
    database to ``default``.

    Raises:
        UsageError: for anything that is no such URL. The message repeats no part of it, since any part of a mistyped
            URL may be the password.
    """
    text = (url.get_secret_value() if isinstance(url, SecretStr) else url).strip()
    parts = _split(text)
    if parts is None:
        raise _unreadable("is not a URL")
    match parts.scheme:
        case "chdb":
            return _embedded(parts)
        case "clickhouse" | "clickhouses":
            return _server(parts)
        case "http" | "https":
            raise UsageError(
                f"The ClickHouse URL begins with {parts.scheme}://.",
                f"Write {'clickhouses' if parts.scheme == 'https' else 'clickhouse'}:// instead.",
            )
        case _:
            raise _unreadable("does not begin with chdb://, clickhouse:// or clickhouses://")


def _embedded(parts: SplitResult) -> Target:
    if parts.netloc:
        raise UsageError(
            "The chdb URL does not hold an absolute path.", "Write three slashes: chdb:///absolute/directory."
        )
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    database = options.pop("database", "") or "default"
    if options or parts.fragment:
        raise UsageError("The chdb URL has an option other than database.", "Write chdb:///directory?database=name.")
    path = unquote(parts.path)
    if "\0" in path:
        raise _unreadable("has a path with a NUL character")
    return Target("chdb", path=path if path.strip("/") else None, database=database)


def _server(parts: SplitResult) -> Target:
    secure = parts.scheme == "clickhouses"
    port = _port(parts)
    if port is None:
        raise UsageError(
            "The ClickHouse URL has no valid port.",
            "Write a number after the host, and percent-encode special characters of the password "
            "(/ as %2F, # as %23, ? as %3F).",
        )
    if not parts.hostname:
        raise _unreadable("names no host and port")
    if parts.query or parts.fragment:
        raise UsageError(
            "The ClickHouse URL has options, or a password with an unescaped ? or #.",
            "Write ? as %3F and # as %23 in a password; options are not supported.",
        )
    database = unquote(parts.path.removeprefix("/").removesuffix("/"))
    if "/" in parts.path.removeprefix("/").removesuffix("/"):
        raise UsageError(
            "The ClickHouse URL has a path of several parts.", "Write the database alone after the host: /database."
        )
    return Target(
        "http",
        host=unquote(parts.hostname),
        port=port or (8443 if secure else 8123),
        username=unquote(parts.username or "") or "default",
        password=SecretStr(unquote(parts.password or "")),
        database=database or "default",
        secure=secure,
    )


# The errors of urllib.parse quote the URL. They are dropped here, so that none becomes the context of ours.
def _split(text: str) -> SplitResult | None:
    try:
        return urlsplit(text)
    except ValueError:
        return None


def _port(parts: SplitResult) -> int | None:
    """The port, 0 when none is written, or None when it is not one."""
    try:
        port = parts.port
    except ValueError:
        return None
    return None if port == 0 else port or 0


def _unreadable(what: str) -> UsageError:
    return UsageError(f"The ClickHouse URL {what}.", f"Write {URL_FORMS}.")
