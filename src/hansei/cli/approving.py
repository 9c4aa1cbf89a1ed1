"""What is to be written elsewhere, shown to the person at the terminal, and what they say to it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from hansei.cli.console import Console
    from hansei.contracts.writes import WriteDecision, WritePlan

NOBODY = "no terminal to approve it at"
"""Why a plan is rejected where input or output is piped."""

_SHOWN = 10
"""Writes of a plan that are shown line by line; the editor shows all."""


def decision_on(plan: WritePlan, console: Console) -> WriteDecision:
    """Shows the plan and asks: y, n, or edit. What is no clear yes is a no; so is a pipe, and the end of the input."""
    from hansei.contracts.writes import WriteDecision

    _show(plan, console)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        console.note("Nothing is written where input or output is piped. Ask for it in hansei chat at a terminal.")
        return WriteDecision(decision="reject", preview_key=plan.key, reason=NOBODY)
    while True:
        try:
            said = typer.prompt("Write this? [y/N/edit]", default="n", show_default=False).strip().lower()
        except typer.Abort:
            said = "n"
        if said in ("y", "yes", "はい"):
            return WriteDecision(decision="approve", preview_key=plan.key)
        if said in ("n", "no", "いいえ"):
            return WriteDecision(decision="reject", preview_key=plan.key)
        if said in ("e", "edit", "編集"):
            edited = _edited(plan, console)
            if edited is not None and typer.confirm(f"{_told(edited, plan)} Write it so?", default=False):
                return edited
        else:
            console.note("Answer y, n or edit.")


def _told(decision: WriteDecision, plan: WritePlan) -> str:
    out = sum(edit.content is None for edit in decision.edits)
    return f"{len(plan.writes) - out:,} to write, {len(decision.edits) - out:,} of them changed; {out:,} left out."


def _show(plan: WritePlan, console: Console) -> None:
    console.line(f"{len(plan.writes):,} to write to {plan.where}:", style="title")
    console.line(plan.what)
    console.table(["#", "what"], [[str(n), write.what] for n, write in enumerate(plan.writes[:_SHOWN], 1)], fold=True)
    if len(plan.writes) > _SHOWN:
        console.line(f"  and {len(plan.writes) - _SHOWN:,} more; edit shows all of them.")


def _edited(plan: WritePlan, console: Console) -> WriteDecision | None:
    """What the person's editor leaves of the plan, as a decision; None: to be asked again."""
    from hansei.contracts.writes import WriteDecision, WriteEdit
    from hansei.tools.writeback import fits

    whole = [{"key": write.key, "content": write.content} for write in plan.writes]
    try:
        text = _in_editor(json.dumps(whole, indent=1, ensure_ascii=False))
        left: dict[str, Any] = {one["key"]: one["content"] for one in json.loads(text)}
        if strange := left.keys() - {write.key for write in plan.writes}:
            raise ValueError(f"nothing in the plan has the key {min(strange)}")
        edits = []
        for write in plan.writes:
            if left.get(write.key) == write.content:
                continue
            changed = write.model_copy(update={"content": left[write.key]}) if write.key in left else None
            if changed is not None:
                fits(changed)
            edits.append(WriteEdit(key=write.key, content=changed.content if changed else None))
    except (ValueError, TypeError, LookupError) as error:
        console.note(f"The edit cannot be used: {' '.join(str(error).split())[:200]}")
        return None
    except (OSError, subprocess.CalledProcessError):
        console.note("There is no editor that can be used. Set EDITOR to one, such as nano.")
        return None
    if not edits:
        return WriteDecision(decision="approve", preview_key=plan.key)
    return WriteDecision(decision="edit", edits=edits, preview_key=plan.key)


def _in_editor(text: str) -> str:
    """The text as the person's editor leaves it: VISUAL or EDITOR, else vi.

    Raises:
        OSError, CalledProcessError: the editor cannot be started, or gave up.
    """
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with TemporaryDirectory() as folder:  # nobody else's to read: the texts of traces are in it
        file = Path(folder) / "writes.json"
        file.write_text(text, "utf-8")
        subprocess.run([*shlex.split(editor), str(file)], check=True)
        return file.read_text("utf-8")
