"""How commands talk: one interface, and a renderer for each kind of reader.

    TerminalConsole  a person at a terminal: colours, tables, live progress
    PlainConsole     a pipe or a log: plain lines
    JsonConsole      a machine: one JSON document on stdout, nothing else
    SilentConsole    nobody: the exit code says it all

Results go to stdout; progress and remarks go to stderr. Texts may hold names out of traces, so every renderer escapes
control characters, and none reads markup in them.
"""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID
    from rich.text import Text

    from hansei.contracts import Progress

Status = Literal["started", "running", "finished", "failed"]

_COLOURS = {
    "critical": "bold red", "high": "red", "medium": "yellow", "low": "cyan",
    "ok": "green", "note": "yellow", "failed": "bold red", "skipped": "dim", "title": "bold",
}  # fmt: skip


def one_line(text: str) -> str:
    """The text on one line, with every character that a terminal could obey written out, such as ``\\x1b``."""
    joined = " ".join(text.split())
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in joined)


def _indented(line: str) -> str:
    """One line with its indentation, and nothing that a terminal could obey."""
    return " " * (len(line) - len(line.lstrip(" "))) + one_line(line)


class Console(ABC):
    """What a command can tell. As a context manager it brackets the work that reports progress."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None

    def progress(self, event: Progress) -> None:
        """Shows what the graph is doing."""
        name = f"{event.step} {event.task}" if event.task else event.step
        self.step(name, event.status, event.message, _measured(event))

    @abstractmethod
    def step(self, name: str, status: Status, message: str, measured: str = "") -> None:
        """Shows what is running, under a name that stays the same from its start to its end."""

    @abstractmethod
    def note(self, text: str) -> None:
        """A remark beside the result."""

    @abstractmethod
    def line(self, text: str = "", style: str = "") -> None:
        """A line of the result for people; `style` is a severity, a status or ``title``."""

    @abstractmethod
    def block(self, text: str) -> None:
        """Lines of the result for people that keep their indentation."""

    @abstractmethod
    def table(self, headings: Sequence[str], rows: Sequence[Sequence[str]], *, fold: bool = False) -> None:
        """A table of the result for people. The first column gives a row its colour, the last one may be long.

        Args:
            fold: any column may be folded to fit the width.
        """

    @abstractmethod
    def data(self, document: Any) -> None:
        """The whole result for machines: plain JSON values."""


class SilentConsole(Console):
    """Says nothing."""

    def step(self, name: str, status: Status, message: str, measured: str = "") -> None:
        return None

    def note(self, text: str) -> None:
        return None

    def line(self, text: str = "", style: str = "") -> None:
        return None

    def block(self, text: str) -> None:
        return None

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[str]], *, fold: bool = False) -> None:
        return None

    def data(self, document: Any) -> None:
        return None


class JsonConsole(SilentConsole):
    """One JSON document on stdout, in ASCII, so that it survives every pipe; remarks go to stderr."""

    def note(self, text: str) -> None:
        print(one_line(text), file=sys.stderr, flush=True)

    def data(self, document: Any) -> None:
        print(json.dumps(document, indent=2, allow_nan=False), flush=True)


class PlainConsole(Console):
    """Lines without colours or cursor movements."""

    def step(self, name: str, status: Status, message: str, measured: str = "") -> None:
        if status != "running":
            self.note(f"{name}: {message} {measured}")

    def note(self, text: str) -> None:
        print(one_line(text), file=sys.stderr, flush=True)

    def line(self, text: str = "", style: str = "") -> None:
        print(one_line(text) if text == text.lstrip() else f"  {one_line(text)}", flush=True)

    def block(self, text: str) -> None:
        for line in text.splitlines():
            print(_indented(line), flush=True)

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[str]], *, fold: bool = False) -> None:
        cells = [[one_line(cell) for cell in row] for row in [headings, *rows]]
        widths = [max(_width(row[column]) for row in cells) for column in range(len(headings) - 1)]
        for row in cells:
            padded = [cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=False)]
            print("  " + "  ".join([*padded, row[-1]]).rstrip(), flush=True)

    def data(self, document: Any) -> None:
        return None


def _width(text: str) -> int:
    """Columns that a text takes: letters of Chinese, Japanese and Korean take two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


class TerminalConsole(Console):
    """Colours and tables on stdout, one live line per running step on stderr."""

    def __init__(self) -> None:
        from rich.console import Console as RichConsole

        self._out = RichConsole(highlight=False, markup=False, emoji=False)
        self._err = RichConsole(highlight=False, markup=False, emoji=False, stderr=True)
        self._live = self._new_live()
        self._tasks: dict[str, TaskID] = {}

    def _new_live(self) -> RichProgress:
        from rich.progress import Progress as RichProgress
        from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

        return RichProgress(
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.fields[step]}", markup=False, style="bold"),
            TextColumn("{task.description}", markup=False),
            TextColumn("{task.fields[measured]}", markup=False, style="dim"),
            TimeElapsedColumn(),
            console=self._err,
        )

    def __enter__(self) -> Self:
        self._live, self._tasks = self._new_live(), {}
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()

    def step(self, name: str, status: Status, message: str, measured: str = "") -> None:
        if name not in self._tasks:
            self._tasks[name] = self._live.add_task("", total=1, step=name, measured="")
        task = self._tasks[name]
        completed = 1 if status == "finished" else 0
        self._live.update(task, description=one_line(message), measured=measured, completed=completed)
        if status in ("finished", "failed"):
            self._live.stop_task(task)

    def note(self, text: str) -> None:
        self._err.print(one_line(text), style="dim", soft_wrap=True)

    def line(self, text: str = "", style: str = "") -> None:
        indent = "  " if text != text.lstrip() else ""
        self._out.print(indent + one_line(text), style=_COLOURS.get(style, ""), soft_wrap=style != "title")

    def block(self, text: str) -> None:
        for line in text.splitlines():
            self._out.print(_indented(line), soft_wrap=False)

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[str]], *, fold: bool = False) -> None:
        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for heading in headings[:-1]:
            table.add_column(heading, no_wrap=not fold, overflow="fold")
        table.add_column(headings[-1], overflow="fold", ratio=1)
        for row in rows:
            table.add_row(*(_coloured(cell, row[0] if column == 0 else "") for column, cell in enumerate(row)))
        self._out.print(table)

    def data(self, document: Any) -> None:
        return None


def _coloured(text: str, style: str) -> Text:
    from rich.text import Text

    return Text(one_line(text), style=_COLOURS.get(style, ""))


def _measured(event: Progress) -> str:
    """``(1.2 M rows, 0.8 s)``, as far as it is known."""
    from hansei.tools.report.formats import format_count, format_value

    parts = []
    if event.rows_read is not None:
        parts.append(f"{format_count(event.rows_read)} rows")
    if event.seconds is not None:
        parts.append(format_value(event.seconds, "s"))
    return f"({', '.join(parts)})" if parts else ""


def open_console(*, json_wanted: bool = False, quiet: bool = False) -> Console:
    """The renderer for the reader at hand."""
    if json_wanted:
        return JsonConsole()
    if quiet:
        return SilentConsole()
    if sys.stdout.isatty() and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        return TerminalConsole()
    return PlainConsole()
