"""A report as files: ``report.json``, ``report.md`` and ``report.html``; and back from JSON."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import ValidationError

from hansei.contracts import SCHEMA_VERSION, Report
from hansei.errors import UsageError
from hansei.tools.report.html import render_html
from hansei.tools.report.markdown import render_markdown
from hansei.tools.report.text import excerpt, one_line

NAME = "report.json"
_VERSION = re.compile(r"[0-9]{1,4}\.[0-9]{1,4}")


def render_json(report: Report) -> str:
    """The report as JSON: UTF-8, indented, keys in the order of the contract, one line end at the end.

    NaN and infinity, which JSON lacks, become the strings ``NaN``, ``Infinity`` and ``-Infinity``, in rows null.
    """
    plain = _finite(report.model_dump(mode="json", by_alias=True))
    return json.dumps(plain, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def write_report(report: Report, directory: str | os.PathLike[str]) -> dict[str, Path]:
    """Writes the three files into `directory`, which is made if it is missing.

    Everything is rendered and stored beside its place first, and then renamed into it: a reader never meets half a
    file, and when anything fails the files of an earlier run stay as they were.

    Returns:
        The files by form: ``json``, ``md`` and ``html``.

    Raises:
        UsageError: when the directory cannot be written.
    """
    return write_forms(report, directory, ("json", "md", "html"))


_RENDERERS = {"json": render_json, "md": render_markdown, "html": render_html}


def write_forms(report: Report, directory: str | os.PathLike[str], forms: Iterable[str]) -> dict[str, Path]:
    """Writes only these forms (json, md, html), as `write_report` does."""
    names = {form: str(Path(NAME).with_suffix(f".{form}")) for form in forms}
    written = write_texts({name: _RENDERERS[form](report) for form, name in names.items()}, Path(directory))
    return {form: written[name] for form, name in names.items()}


def write_texts(texts: Mapping[str, str], folder: Path) -> dict[str, Path]:
    """Writes texts as files of these names into a folder, all beside their places first, and then renamed into them.

    Raises:
        UsageError: when the folder cannot be written.
    """
    files = {name: folder / name for name in texts}
    drafts = {name: folder / f".{name}.{uuid4().hex}" for name in texts}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in files.values():
            if file.is_dir():
                raise IsADirectoryError(21, "there is a folder of that name", str(file))
        for name, text in texts.items():
            _store(drafts[name], text)
        for name, draft in drafts.items():
            os.replace(draft, files[name])
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise UsageError(
            f"The report cannot be written to {_name(folder)}: {reason}.",
            "Name a folder that you may write to and that has room, with --out.",
        ) from None
    finally:
        for draft in drafts.values():
            _discard(draft)
    return files


def read_report(path: str | os.PathLike[str]) -> Report:
    """Reads a ``report.json``, or the one in a folder.

    Raises:
        UsageError: when there is no such file, it cannot be read, is no JSON, is no report, or is of a newer Hansei.
    """
    file = Path(path)
    if file.is_dir():
        file = file / NAME
    remedy = "Give the report.json that hansei analyze wrote."
    try:
        plain = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise UsageError(f"There is no file {_name(file)}.", remedy) from None
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise UsageError(f"{_name(file)} cannot be read: {reason}.", remedy) from None
    except (ValueError, RecursionError):
        raise UsageError(f"{_name(file)} is not JSON.", remedy) from None
    version = plain.get("schema_version") if isinstance(plain, dict) else None
    if not isinstance(version, str) or _VERSION.fullmatch(version) is None:
        raise UsageError(f"{_name(file)} is not a report: it has no schema_version.", remedy)
    if _order(version) > _order(SCHEMA_VERSION):
        raise UsageError(
            f"{_name(file)} has schema {version}, newer than this Hansei's {SCHEMA_VERSION}.",
            "Update Hansei, or read the report with the version that wrote it.",
        )
    try:
        return Report.model_validate(plain)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = one_line(".".join(str(part) for part in first["loc"]))
        more = f" ({error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise UsageError(
            f"{_name(file)} is not a report: {excerpt(place, 80)}: {first['type']}{more}.", remedy
        ) from None


def _store(draft: Path, text: str) -> None:
    # A lone surrogate, which UTF-8 lacks, becomes its escape: in JSON that is the same character.
    with draft.open("xb") as file:
        file.write(text.encode("utf-8", errors="backslashreplace"))
        file.flush()
        os.fsync(file.fileno())


def _discard(draft: Path) -> None:
    try:
        draft.unlink(missing_ok=True)
    except OSError:
        return  # The folder itself could not be reached: there is nothing of ours in it.


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return value


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _name(path: Path) -> str:
    return excerpt(one_line(str(path)), 200)
