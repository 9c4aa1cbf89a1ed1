"""A conversation on a report: its thread in the report's folder, one question at a time."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

from hansei.errors import UsageError

if TYPE_CHECKING:
    from types import TracebackType

    from langchain_core.runnables import RunnableConfig

    from hansei.context import Context
    from hansei.contracts import Progress, Report
    from hansei.contracts.answers import Answer
    from hansei.contracts.writes import WriteDecision, WritePlan

THREADS = "chat.sqlite"
"""Beside report.json: the threads' checkpoints, one thread for each run's report."""


class Conversation:
    """The thread of a report; goes on where it stopped, in whatever process.

    Raises:
        UsageError: the folder's checkpoints cannot be read or written.
        HanseiError: ClickHouse cannot be reached, or no longer holds the project.
    """

    def __init__(self, folder: Path, report: Report, context: Context) -> None:
        from langgraph.checkpoint.sqlite import SqliteSaver

        from hansei.graph.threads import begin_thread
        from hansei.graph.workflow import build_graph

        self.folder, self.report, self._context = folder, report, context
        self._config: RunnableConfig = {"configurable": {"thread_id": report.run.id}}
        try:
            self._connection = sqlite3.connect(folder / THREADS, check_same_thread=False, timeout=2)
            saver = SqliteSaver(self._connection)
            saver.setup()
            self._graph = build_graph(saver)
            known = bool(self._graph.get_state(self._config).values)
        except sqlite3.Error as error:
            raise _unusable(folder, error) from None
        if not known:
            begin_thread(self._graph, self._config, report, context)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.close()

    @property
    def answers(self) -> list[Answer]:
        """All answers so far."""
        from hansei.contracts.answers import Answer

        values = self._graph.get_state(self._config).values
        return [Answer.model_validate(one) for one in values.get("answers", [])]

    @property
    def unfinished(self) -> bool:
        """Whether a question was being answered when the process ended."""
        return bool(self._graph.get_state(self._config).next)

    @property
    def waiting(self) -> WritePlan | None:
        """What is to be written elsewhere and waits for a decision."""
        from hansei.contracts.writes import WritePlan

        state = self._graph.get_state(self._config)
        return WritePlan.model_validate(state.values["writes"]) if state.interrupts else None

    def ask(self, question: str | None, listen: Callable[[Progress], None]) -> tuple[Answer | WritePlan, str | None]:
        """Answers a question; None: the one that was not finished.

        Returns:
            The answer, or what is to be written elsewhere and waits for `decide`; and one line when tracing was lost.

        Raises:
            HanseiError: it could not be looked up; the thread is as before, and the question may be asked again.
        """
        if question is not None and self.unfinished:
            # A question that failed is given up for the next one.
            self._graph.update_state(self._config, {"inquiry": {}}, as_node="answerer")
        return self._go_on(None if question is None else {"messages": [{"role": "user", "content": question}]}, listen)

    def decide(
        self, decision: WriteDecision, listen: Callable[[Progress], None]
    ) -> tuple[Answer | WritePlan, str | None]:
        """Answers what is `waiting`; only this writes anything elsewhere.

        Raises:
            ValidationError: the decision does not fit the plan; nothing was written, and it waits on.
        """
        from langgraph.types import Command

        return self._go_on(Command(resume=decision.model_dump(mode="json")), listen)

    def _go_on(self, asked: Any, listen: Callable[[Progress], None]) -> tuple[Answer | WritePlan, str | None]:
        from hansei import __version__
        from hansei.contracts import Progress
        from hansei.tools.langfuse.tracing import start_trace

        url = self._context.clickhouse_url.get_secret_value() if self._context.clickhouse_url else None
        trace = start_trace(
            str(uuid4()), session_id=self.report.run.id, tags=["cli", "chat"], version=__version__, clickhouse_url=url
        )
        try:
            for part in self._graph.stream(
                asked,
                trace.config(self._config),
                context=self._context,
                stream_mode=["custom"],
                version="v2",
                durability="sync",
            ):
                listen(Progress.model_validate(part["data"]))
        except sqlite3.Error as error:
            raise _unusable(self.folder, error) from None
        finally:
            lost = trace.close()
        if (plan := self.waiting) is not None:
            return plan, lost
        self._forget_older_checkpoints()
        return self.answers[-1], lost

    def as_text(self) -> str:
        """The conversation in Markdown."""
        from hansei.tools.conversation.showing import as_markdown

        told = [f"# {self.report.headline}"]
        for answer in self.answers:
            told += [
                f"## {answer.number}. {' '.join(answer.question.split())}",
                as_markdown(answer, self.report.language),
            ]
        return "\n\n".join(told) + "\n"

    def as_json(self) -> str:
        """The answers with their evidence, which `hansei verify` asks again."""
        from hansei.tools.conversation.verifying import dump_answers

        return json.dumps(dump_answers(self.answers, self.report.run.id), indent=1, ensure_ascii=False) + "\n"

    def _forget_older_checkpoints(self) -> None:
        """Each checkpoint holds the whole report; once a question is answered only the last one is of use."""
        thread = self.report.run.id
        last = "SELECT max(checkpoint_id) FROM checkpoints WHERE thread_id = ?"
        for table in ("writes", "checkpoints"):
            self._connection.execute(
                f"DELETE FROM {table} WHERE thread_id = ? AND checkpoint_id < ({last})", (thread, thread)
            )
        self._connection.commit()


def _unusable(folder: Path, error: sqlite3.Error) -> UsageError:
    reason = str(error).partition("\n")[0]
    remedy = "Is another hansei chat open on it?" if "locked" in reason else "Move the file away to begin anew."
    return UsageError(f"The conversation in {folder / THREADS} cannot be used: {reason}.", remedy)
