"""`hansei render`: the forms of a report again, from its report.json."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer


class Form(StrEnum):
    """A form of a report; ``terminal`` is its first screen, printed."""

    HTML = "html"
    MARKDOWN = "md"
    TERMINAL = "terminal"


def render(
    report: Annotated[Path, typer.Argument(metavar="REPORT.json", help="A report.json that Hansei wrote.")],
    form: Annotated[
        list[Form] | None,
        typer.Option("--form", help="Only this form; may be repeated. Default: html and md."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to write. Default: beside report.json.")
    ] = None,
    language: Annotated[
        Literal["en", "ja"] | None, typer.Option(help="Language of the report. Default: as it was written.")
    ] = None,
) -> int:
    """Write report.html and report.md again from a report.json, or print its first screen. Asks nothing of ClickHouse.

    For reports of an older Hansei, for another language, or when only report.json was kept.

    \b
    Examples:
      hansei render hansei-report/report.json
      hansei render hansei-report/report.json --language ja --out reports/ja
      hansei render hansei-report/report.json --form terminal
    """
    from hansei.cli.console import open_console
    from hansei.cli.first_screen import tell_report
    from hansei.tools.report.files import read_report, write_forms
    from hansei.tools.report.reword import in_language

    found = read_report(report)
    if language is not None:
        found = in_language(found, language)
    forms = form or [Form.HTML, Form.MARKDOWN]
    folder = out or (report if report.is_dir() else report.parent)
    written = write_forms(found, folder, [one.value for one in forms if one is not Form.TERMINAL])
    console = open_console()
    if Form.TERMINAL in forms:
        tell_report(console, found, list(written.values()))
    else:
        for file in written.values():
            console.line(f"Wrote {file}")
    return 0
