"""Opening a ledger by its name: a file, or a database of the user's own."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from hansei.errors import UsageError
from hansei.tools.ledger.clickhouse import ClickHouseStore
from hansei.tools.ledger.entries import Store
from hansei.tools.ledger.sqlite import SqliteStore

FILE = "hansei-ledger.sqlite"
"""What the file is called when nothing is said."""


def open_ledger(name: SecretStr | str, *, must_exist: bool = False) -> Store:
    """Opens a ledger; a missing one is made with its first entry.

    Args:
        name: a path, or clickhouse://…, clickhouses://… or chdb://… with a database of its own.
        must_exist: a file that is not there is an error.

    Raises:
        UsageError: it is no ledger, or must not be one.
    """
    text = name.get_secret_value() if isinstance(name, SecretStr) else name
    scheme, found, _ = text.partition("://")
    if found and scheme in ("chdb", "clickhouse", "clickhouses"):
        return ClickHouseStore(SecretStr(text))
    if found:
        raise UsageError(
            "The ledger's URL does not begin with clickhouse://, clickhouses:// or chdb://.",
            "Give such a URL, or the path of a file.",
        )
    if not text.strip() or "\0" in text:
        raise UsageError("The ledger has no name.", "Give the path of a file.")
    path = Path(text)
    if must_exist and not path.exists():
        raise UsageError(
            f"There is no ledger {path}.", "hansei analyze makes one beside its report; name it with --ledger PATH."
        )
    return SqliteStore(path)
