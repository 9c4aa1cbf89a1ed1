"""The projects of a batch, read from a file: one request each."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hansei.errors import UsageError

if TYPE_CHECKING:
    from hansei.contracts import Request

_NAMES = {"project": "project_id", "environment": "environments"}
"""Other names of a request's fields in a file, as on the command line."""

_REMEDY = "See hansei analyze --help for what it may hold."


def read_projects(file: Path, **defaults: Any) -> list[Request]:
    """The requests of a projects file, in its order.

    ``.csv``: a heading ``project`` and any of window, baseline, until, question, environment (several separated by
    ``;``) and language. ``.json``: a list of ids or of objects with these keys. Anything else: one id a line; blank
    lines and what follows a ``#`` are left out.

    Args:
        file: the file, UTF-8.
        defaults: fields of the request for what the file leaves open.

    Raises:
        UsageError: it cannot be read or understood, names no project, or one twice.
    """
    from hansei.cli.analysis import make_request

    try:
        text = file.read_text("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {(error.strerror or '').lower()}.", "Name a readable file.") from None
    except UnicodeDecodeError:
        raise UsageError(f"{file} is not UTF-8 text.", "Save it as UTF-8.") from None
    readers = {".csv": _from_csv, ".json": _from_json}
    entries = readers.get(file.suffix.lower(), _from_lines)(text, file)
    requests: dict[str, Request] = {}
    for place, fields in entries:
        try:
            request = make_request(**{**defaults, **fields})
        except UsageError as error:
            raise UsageError(f"{file}, {place}: {error.message}", error.remedy) from None
        if request.project_id in requests:
            raise UsageError(f"{file}, {place}: the project {request.project_id} is named twice.", "Name it once.")
        requests[request.project_id] = request
    if not requests:
        raise UsageError(f"{file} names no project.", _REMEDY)
    return list(requests.values())


Entries = list[tuple[str, dict[str, Any]]]
"""Where each stands, and its fields."""


def _from_lines(text: str, file: Path) -> Entries:
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in text.splitlines())
    return [(f"line {number}", {"project_id": line}) for number, line in enumerate(lines, start=1) if line]


def _from_csv(text: str, file: Path) -> Entries:
    rows = csv.DictReader(io.StringIO(text), strict=True)
    entries: Entries = []
    try:
        for row in rows:
            place = f"line {rows.line_num}"
            if None in row:
                raise UsageError(f"{file}, {place}: there are more values than headings.", _REMEDY)
            entries.append((place, _fields({key: value for key, value in row.items() if value}, f"{file}, {place}")))
    except csv.Error as error:
        raise UsageError(f"{file}, line {rows.line_num}: it is not CSV: {error}.", _REMEDY) from None
    return entries


def _from_json(text: str, file: Path) -> Entries:
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError):
        raise UsageError(f"{file} is not JSON.", _REMEDY) from None
    if not isinstance(plain, list):
        raise UsageError(f"{file} is not a list.", _REMEDY)
    entries: Entries = []
    for number, item in enumerate(plain, start=1):
        place = f"entry {number}"
        if not isinstance(item, str | dict):
            raise UsageError(f"{file}, {place}: it is neither an id nor an object.", _REMEDY)
        entries.append((place, {"project_id": item} if isinstance(item, str) else _fields(item, f"{file}, {place}")))
    return entries


def _fields(row: dict[str, Any], where: str) -> dict[str, Any]:
    """A row's values under the request's names."""
    from hansei.contracts import Request

    fields = {_NAMES.get(key, key): value.strip() if isinstance(value, str) else value for key, value in row.items()}
    unknown = sorted(set(fields) - set(Request.model_fields))
    if unknown:
        raise UsageError(f"{where}: there is no option “{unknown[0]}”.", _REMEDY)
    if "project_id" not in fields:
        raise UsageError(f"{where}: no project is named.", _REMEDY)
    if isinstance(fields.get("environments"), str):
        fields["environments"] = [name.strip() for name in fields["environments"].split(";") if name.strip()]
    return fields
