"""`hansei chat`: questions on a finished report, at a terminal or through a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from hansei.cli.bounds import MaxCalls, MaxCost, MaxSeconds, MaxTokens, model_bounds
from hansei.cli.options import Clickhouse
from hansei.errors import HanseiError, UsageError

if TYPE_CHECKING:
    from hansei.cli.console import Console
    from hansei.cli.conversation import Conversation
    from hansei.contracts import Progress
    from hansei.contracts.answers import Answer
    from hansei.contracts.writes import WritePlan

HISTORY = "chat.history"
SAVED = "chat"

COMMANDS = """\
/sql [N]     the queries of the last answer, or of answer N, as they can be run in any ClickHouse client
/trace ID    one trace as a tree of its steps
/save [NAME] the conversation as NAME.md, and its answers with their evidence as NAME.json, beside the report
/help        this, and the forms of questions that are understood
/quit        end; the conversation goes on when you come back"""


def chat(
    report: Annotated[
        Path, typer.Argument(metavar="REPORT_DIR", help="The folder with report.json that hansei analyze wrote.")
    ],
    clickhouse: Clickhouse = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Language model that understands free questions. Default: HANSEI_MODEL."),
    ] = None,
    no_llm: Annotated[bool, typer.Option("--no-llm", help="Rules only, also where HANSEI_MODEL is set.")] = False,
    max_tokens: MaxTokens = None,
    max_cost: MaxCost = None,
    max_calls: MaxCalls = None,
    max_seconds: MaxSeconds = None,
) -> int:
    """Ask questions on a finished report, on the same window and the same findings.

    Every answer is measured by its own queries and derived again by another. The conversation is kept in the folder
    (chat.sqlite) and goes on when you come back, also after a crash. When input is piped, each line is a question, and
    the exit code is 2 when one could not be looked up. A finding's traces become a Langfuse dataset when you ask for
    it: shown first, and written only when you say so at the terminal.

    \b
    In the conversation:
      show me five of those          is it only Japanese users?      why not the model?
      what changed on the 14th?      compare v6 and v7 on cost       tell me about the second one
      make a dataset of these
      /sql   /trace ID   /save   /help   /quit

    \b
    Examples:
      hansei chat hansei-report
      hansei chat hansei-demo/report --clickhouse chdb://$PWD/hansei-demo/clickhouse
      echo "which findings are there?" | hansei chat hansei-report
    """
    from hansei.cli.analysis import make_context
    from hansei.cli.console import open_console
    from hansei.cli.conversation import Conversation
    from hansei.tools.report.files import read_report

    folder = report if report.is_dir() else report.parent
    bounds = model_bounds(max_tokens, max_cost, max_calls, max_seconds)
    context = make_context(clickhouse, model=model, no_llm=no_llm, bounds=bounds)
    try:
        found = read_report(report)
    except UsageError as error:
        raise UsageError(error.message, "Give the folder that hansei analyze wrote, with its report.json.") from None
    console = open_console()
    with Conversation(folder, found, context) as talk:
        if sys.stdin.isatty():
            console.line(found.headline, style="title")
            console.line("Ask about it, or type /help.")
        failed = False
        if talk.unfinished:
            waits = talk.waiting is not None
            console.note(
                "A request to write waits for your decision."
                if waits
                else "A question was not finished; it is answered now."
            )
            failed |= not _answer(None, talk, console)
        for line in _lines(folder):
            if line in ("/quit", "/exit"):
                break
            failed |= not (_command(line, talk, console) if line.startswith("/") else _answer(line, talk, console))
    return 2 if failed and not sys.stdin.isatty() else 0


def _lines(folder: Path) -> Iterator[str]:
    """What is asked: from the prompt with its history, or from a pipe."""
    if not sys.stdin.isatty():
        for line in sys.stdin:
            if line.strip():
                yield line.strip()
        return
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import FileHistory

    session: PromptSession[str] = PromptSession(history=FileHistory(str(folder / HISTORY)))
    while True:
        try:
            line = session.prompt("> ").strip()
        except KeyboardInterrupt:  # as in a shell: the line is given up
            continue
        except EOFError:
            return
        if line:
            yield line


def _answer(question: str | None, talk: Conversation, console: Console) -> bool:
    """Answers one question; False when it could not be looked up, or is not to be written by anybody here."""
    from hansei.contracts.writes import WritePlan

    found = _heard(lambda progress: talk.ask(question, progress), console)
    if isinstance(found, WritePlan):
        return _decided(found, talk, console)
    if found is not None:
        _tell(found, talk, console)
    return found is not None


_Turn = Callable[["Callable[[Progress], None]"], "tuple[Answer | WritePlan, str | None]"]


def _heard(turn: _Turn, console: Console) -> Answer | WritePlan | None:
    """What a turn of the conversation comes to, its progress told as it goes; None, and told why, if to nothing."""
    try:
        with console:
            heard = _Heard(console)
            found, lost = turn(heard.progress)
            heard.finished(found)
    except HanseiError as error:
        console.note(f"{error.message} {error.remedy}")
        return None
    if lost:
        console.note(lost)
    return found


def _decided(plan: WritePlan, talk: Conversation, console: Console) -> bool:
    """Shows what would be written elsewhere, and does what the person at the terminal says; False when nobody is."""
    from hansei.cli.approving import NOBODY, decision_on
    from hansei.contracts.answers import Answer

    decision = decision_on(plan, console)
    answer = _heard(lambda progress: talk.decide(decision, progress), console)
    if answer is None:
        return False
    assert isinstance(answer, Answer)
    _tell(answer, talk, console)
    return answer.outcome is not None and not answer.outcome.failed and decision.reason != NOBODY


class _Heard:
    """The progress of one answer on one line: at a terminal rewritten, in a pipe its beginning and its end."""

    def __init__(self, console: Console) -> None:
        self._console, self._since = console, perf_counter()

    def progress(self, event: Progress) -> None:
        looking = event.step in ("inquirer", "preparer", "delivery") and event.status == "started"
        self._console.step("answer", "started" if looking else "running", event.message)

    def finished(self, answer: Answer | WritePlan) -> None:
        from hansei.contracts.writes import WritePlan
        from hansei.tools.report.formats import format_count, format_value

        if isinstance(answer, WritePlan):
            return self._console.step("answer", "finished", f"{len(answer.writes):,} to write, when you approve")
        if answer.outcome is not None:
            return self._console.step("answer", "finished", f"{len(answer.outcome.written):,} written")
        if not answer.evidence and answer.usage is None:
            return self._console.step("answer", "finished", "from the report itself")
        read = sum(item.rows_read for item in answer.evidence)
        asked = f"{len(answer.evidence):,} {'query' if len(answer.evidence) == 1 else 'queries'}"
        took = format_value(perf_counter() - self._since, "s")
        used = ""
        if answer.usage is not None and (answer.usage.calls or answer.usage.cached):
            used = f", {answer.usage.tokens:,} tokens of the model to understand it"
            used += f" (${answer.usage.usd:.4f})" if answer.usage.usd else ""
        self._console.step("answer", "finished", f"{asked}{used}", f"({format_count(read)} rows, {took})")


def _tell(answer: Answer, talk: Conversation, console: Console) -> None:
    from hansei.tools.conversation.showing import MARKS
    from hansei.tools.report.catalogue import say, speaking

    console.block(answer.text)
    if answer.table is not None:
        console.table(answer.table.columns, answer.table.rows, fold=True)
    if answer.chart:
        console.line(f"  {answer.chart}")
    for check in answer.checks:
        console.line(f"  {MARKS[check.passed]} {check.detail}", style="ok" if check.passed else "note")
    for url in answer.trace_urls:
        console.line(f"  {url}")
    for note in answer.notes:
        console.note(note)
    if answer.follow_ups:
        with speaking(talk.report.language):
            console.line(f"{say('ask.next_title')}: {' · '.join(answer.follow_ups)}", style="skipped")
    console.line()


def _command(line: str, talk: Conversation, console: Console) -> bool:
    """One of the commands; False when it could not be done."""
    from hansei.tools.conversation.forms import examples

    name, _, argument = line.partition(" ")
    argument = argument.strip()
    match name:
        case "/help":
            console.block(COMMANDS)
            console.line()
            for example in examples(talk.report):
                console.line(f"  {example}")
        case "/sql":
            return _sql(argument, talk, console)
        case "/trace" if argument:
            return _answer(f'trace "{argument}"', talk, console)
        case "/save":
            return _save(argument or SAVED, talk, console)
        case _:
            console.note(f"{name} is no command, or lacks something. Type /help.")
            return False
    return True


def _sql(argument: str, talk: Conversation, console: Console) -> bool:
    answers = talk.answers
    place = int(argument) if argument.isdigit() else len(answers)
    if not 1 <= place <= len(answers):
        console.note("There is no such answer yet." if answers else "There is no answer yet.")
        return False
    evidence = answers[place - 1].evidence
    if not evidence:
        console.line("This answer comes out of the report itself, and asked nothing.")
    for item in evidence:
        values = ", ".join(f"{key} = {value!r}" for key, value in item.parameters.items())
        console.block(f"-- {item.id}: {item.purpose}, {item.row_count} rows, sha256 {item.result_hash[:12]}")
        console.block(f"-- {values}")
        console.block(item.sql)
        console.line()
    return True


def _save(name: str, talk: Conversation, console: Console) -> bool:
    from hansei.tools.report.files import write_texts

    if Path(name).name != name or name.startswith(".") or name in ("report", "options"):
        console.note("Give a plain name: the conversation is saved beside the report.")
        return False
    try:
        written = write_texts({f"{name}.md": talk.as_text(), f"{name}.json": talk.as_json()}, talk.folder)
    except UsageError as error:
        console.note(str(error))
        return False
    for file in written.values():
        console.line(f"Wrote {file}")
    return True
