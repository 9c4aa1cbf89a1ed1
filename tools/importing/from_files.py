"""Importing what Langfuse's blob-storage integration wrote: a folder on this machine, or an S3-compatible bucket.

ClickHouse itself reads the files (JSON, JSONL, CSV, Parquet; gzip), so nothing of them passes through Python.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from hansei.errors import HanseiError, UsageError
from hansei.tools.importing.statements import COLUMNS, KINDS, Kind
from hansei.tools.importing.store import STRUCTURE, Store

_NAME = re.compile(r"(?:^|/)(" + "|".join(KINDS) + r")/[^/]+\.(parquet|jsonl|json|csv)(\.gz)?$")
_FORMATS = {"parquet": "Parquet", "jsonl": "JSONEachRow", "json": "JSONEachRow", "csv": "CSVWithNames"}

Progress = Callable[[int, int], None]
"""Is told how many files are read, of how many."""


@dataclass(frozen=True)
class Export:
    """One file of an export. `stamp` changes when the file does."""

    path: str
    kind: Kind
    format: str
    stamp: str


@dataclass(frozen=True)
class FilesRead:
    """How many files were read, how many were known from a former import, and what does not fit their manifests."""

    read: int
    known: int
    remarks: tuple[str, ...]


def import_from_files(store: Store, place: str, *, again: bool = False, progress: Progress | None = None) -> FilesRead:
    """Imports all files of an export that are new or have changed since the last import.

    Args:
        store: what is filled.
        place: a folder, or ``s3://bucket/prefix``, or ``https://endpoint/bucket/prefix``. A bucket is read with
            AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, without them as anybody; AWS_ENDPOINT_URL names another S3.
        again: files that are known as well.
        progress: see `Progress`.

    Raises:
        UsageError: there is no such folder or file, or a file is not what it should be.
        QueryFailed: ClickHouse cannot read a file.
    """
    source = _Bucket(store, place) if "://" in place else _Folder(place)
    files = list(source.files())
    if not files:
        raise UsageError(
            f"There are no files of an export in “{place}”.",
            "Name the folder above observations_v2/, observations/, traces/ or scores/.",
        )
    key = f"files {place}"
    state = {} if again else store.state(key)
    known: dict[str, str] = dict(state.get("files", {}))
    if not state.get("open"):
        store.begin()
    todo = [file for file in files if known.get(file.path) != file.stamp]
    counts: dict[str, int] = dict(state.get("counts", {}))
    for number, file in enumerate(todo, start=1):
        counts[file.path] = source.read(store, file)
        known[file.path] = file.stamp
        store.keep(key, {"open": True, "files": known, "counts": counts})
        if progress:
            progress(number, len(todo))
    store.build_traces()
    store.keep(key, {"files": known, "counts": counts})
    return FilesRead(len(todo), len(files) - len(todo), tuple(source.remarks(counts)))


class _Folder:
    """A folder on this machine."""

    def __init__(self, place: str) -> None:
        self._folder = Path(place).expanduser().resolve()
        if not self._folder.is_dir():
            raise UsageError(f"There is no folder “{place}”.", "Name the folder that holds the export.")

    def files(self) -> Iterator[Export]:
        for path in sorted(self._folder.rglob("*")):
            found = _NAME.search(path.relative_to(self._folder.parent).as_posix())
            if found and path.is_file() and path.stat().st_size:
                about = path.stat()
                stamp = f"{about.st_size} {about.st_mtime_ns}"
                yield Export(str(path), _kind(found[1]), _FORMATS[found[2]], stamp)

    def read(self, store: Store, file: Export) -> int:
        return _read(store, file, "file({path:String}, {format:String}{structure})", {"path": _literal(file.path)})

    def remarks(self, counts: dict[str, int]) -> Iterator[str]:
        """What the manifests say that is not so: files that are missing, and other counts of rows."""
        for path in sorted(self._folder.rglob("manifests/*.json")):
            try:
                manifest = json.loads(path.read_text("utf-8"))
                named = [(str(file["key"]), file.get("rowCount")) for file in manifest["files"]]
            except (OSError, ValueError, LookupError, TypeError):
                yield f"The manifest {path.name} cannot be read."
                continue
            yield from _compared(named, counts, lambda name: any(p.is_file() for p in self._at(name)))

    def _at(self, key: str) -> Iterator[Path]:
        """Where an object's key may lie below the folder: the folder may begin anywhere in it."""
        parts = key.split("/")
        return (self._folder.joinpath(*parts[start:]) for start in range(len(parts)))


class _Bucket:
    """A bucket, read by ClickHouse's own client."""

    def __init__(self, store: Store, place: str) -> None:
        self._store = store
        parts = urlsplit(place)
        if parts.scheme not in ("s3", "http", "https") or not parts.netloc:
            raise UsageError(f"“{place}” is no place that can be read.", "Use s3://bucket/prefix or https://….")
        endpoint = (os.environ.get("AWS_ENDPOINT_URL") or "").rstrip("/")
        if parts.scheme != "s3":
            self._base = place.rstrip("/")
        elif endpoint:
            self._base = f"{endpoint}/{parts.netloc}{parts.path}".rstrip("/")
        else:
            region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
            self._base = f"https://{parts.netloc}.s3.{region}.amazonaws.com{parts.path}".rstrip("/")
        address = urlsplit(self._base)
        self._root = f"{address.scheme}://{address.netloc}"
        self._virtual = parts.scheme == "s3" and not endpoint
        access, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
        self._keys = {"access": access, "secret": secret} if access and secret else {}

    def _function(self, url: str, rest: str) -> str:
        keys = "{access:String}, {secret:String}" if self._keys else "NOSIGN"
        return f"s3({{{url}:String}}, {keys}, {rest})"

    def files(self) -> Iterator[Export]:
        listing = self._function("url", "'One'")
        rows = self._store.query(
            f"SELECT _path, any(_size), any(_time) FROM {listing} GROUP BY _path ORDER BY _path",
            url=f"{self._base}/**",
            **self._keys,
        )
        for path, size, moment in rows:
            found = _NAME.search(path)
            if found and size:
                yield Export(path, _kind(found[1]), _FORMATS[found[2]], f"{size} {moment}")

    def read(self, store: Store, file: Export) -> int:
        # ClickHouse names an object by its bucket and key.
        key = file.path.split("/", 1)[1] if self._virtual else file.path
        url = f"{self._root}/{quote(key)}"
        function = self._function("path", "{format:String}{structure}")
        return _read(store, file, function, {"path": url, **self._keys})

    def remarks(self, counts: dict[str, int]) -> Iterator[str]:
        whole = self._function("url", "'RawBLOB', 'raw String'")
        rows = self._store.query(
            f"SELECT raw FROM {whole}",
            url=f"{self._base}/**/manifests/*.json",
            **self._keys,
        )
        for (raw,) in rows:
            try:
                named = [(str(file["key"]), file.get("rowCount")) for file in json.loads(raw)["files"]]
            except (ValueError, LookupError, TypeError):
                yield "A manifest cannot be read."
                continue
            yield from _compared(named, counts, lambda name: True)


def _read(store: Store, file: Export, function: str, parameters: dict[str, Any]) -> int:
    bound = {**parameters, "format": file.format}
    if file.format == "Parquet":
        given = _typed(store, file.kind, function.replace("{structure}", ""), bound)
        source = function.replace("{structure}", "")
    else:
        given, source = None, function.replace("{structure}", ", {structure:String}")
        bound["structure"] = STRUCTURE[file.kind]
    try:
        return store.add_from(file.kind, source, bound, given)
    except UsageError:
        raise
    except HanseiError as error:
        raise UsageError(
            f"The file {Path(file.path).parent.name}/{Path(file.path).name} cannot be read: {error.message}",
            "Fetch it anew; files that were read before it are imported, and are not read again.",
        ) from None


def _typed(store: Store, kind: Kind, function: str, parameters: dict[str, Any]) -> list[str]:
    """An expression for each column that gives a Parquet value as the text that JSON would have."""
    types = {row[0]: str(row[1]) for row in store.query(f"DESCRIBE {function}", **parameters)}
    nested = re.compile(r"Map|Array|Tuple|JSON")
    return [
        "NULL"
        if name not in types
        else f"toJSONString(`{name}`)"
        if nested.match(types[name])
        else f"toString(`{name}`)"
        for name in COLUMNS[kind]
    ]


def _compared(named: list[tuple[str, Any]], counts: dict[str, int], there: Callable[[str], bool]) -> Iterator[str]:
    for key, rows in named:
        read = [count for path, count in counts.items() if path.endswith(f"/{'/'.join(key.split('/')[-2:])}")]
        if not read:
            if rows and not there(key):
                yield f"{key} is missing, though its manifest names it."
        elif isinstance(rows, int) and rows not in read:
            yield f"{key} has {read[0]:,} rows, its manifest says {rows:,}."


def _literal(path: str) -> str:
    """A path without the characters that ClickHouse takes for a pattern."""
    return re.sub(r"([*?{}\[\]])", "?", path)


def _kind(name: str) -> Kind:
    return next(kind for kind in KINDS if kind == name)
