"""`hansei prompts`: what the model is told, and its versions in Langfuse's prompt management."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hansei.cli.writes import approved
from hansei.errors import UsageError

if TYPE_CHECKING:
    from hansei.contracts.writes import WriteDecision, WritePreview
    from hansei.tools.language_model.prompt import Prompt

prompts = typer.Typer(
    name="prompts", rich_markup_mode=None, add_completion=False, no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip

Json = Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")]
Label = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Label in Langfuse. Default: HANSEI_PROMPT_LABEL, else production."),
]


@prompts.callback(invoke_without_command=True)
def group(context: typer.Context) -> None:
    """What the model is told: packaged texts, which may be managed in Langfuse (prompts named hansei/…).

    Where LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY are set, a run takes what has the label there, as far as it fits.

    \b
    Examples:
      hansei prompts list
      hansei prompts show writer_summary
      hansei prompts push
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


@prompts.command("list", short_help="The prompts, and what Langfuse holds of each.")
def list_prompts(label: Label = None, json: Json = False) -> int:
    """Show the packaged prompts, and what Langfuse holds of each under the label.

    What does not fit is refused: a run takes the packaged text in its place. Without Langfuse's keys only the packaged
    ones are shown.

    \b
    Examples:
      hansei prompts list
      hansei prompts list --label experiment --json
    """
    from hansei.cli.console import open_console
    from hansei.tools.langfuse.api import open_api
    from hansei.tools.langfuse.connection import Server
    from hansei.tools.writeback.prompts import PromptState, prompt_states

    console, packaged, named = open_console(json_wanted=json), _packaged(), _label(label)
    server = Server.from_environment()
    if server is None:
        states = [PromptState(name, prompt) for name, prompt in packaged.items()]
        told = ["packaged"] * len(states)
    else:
        with console, open_api(server) as api:
            states = prompt_states(api, packaged, named)
        told = [state.told for state in states]
    rows = [[state.name, one] for state, one in zip(states, told, strict=True)]
    console.table(["prompt", f"in Langfuse, label {named}"], rows)
    console.data(
        {
            "label": named,
            "prompts": [
                {
                    "name": state.name,
                    "version": state.labelled.version if state.labelled else None,
                    "packaged_text": state.is_there,
                    "refused": state.refused or None,
                }
                for state in states
            ],
        }
    )
    return 0


@prompts.command(short_help="One prompt as a run would send it.")
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Such as writer_summary.")],
    label: Label = None,
    diff: Annotated[bool, typer.Option("--diff", help="How Langfuse's text differs from the packaged one.")] = False,
    json: Json = False,
) -> int:
    """Show a prompt as a run would use it: Langfuse's text where there is one that fits, else the packaged text.

    \b
    Examples:
      hansei prompts show writer_summary
      hansei prompts show writer_summary --label experiment --diff
    """
    from hansei.cli.console import open_console
    from hansei.tools.language_model.managed import FOLDER, Prompts

    console, packaged = open_console(json_wanted=json), _packaged()
    wanted = name if name.startswith(FOLDER) else FOLDER + name
    if wanted not in packaged:
        raise UsageError(f"There is no prompt “{name[:80]}”.", "See hansei prompts list.")
    run = Prompts(_label(label))
    with console:
        used = run.read(_folder() / f"{wanted.removeprefix(FOLDER)}.md")
    source = f"Langfuse, version {used.version.version}" if used.version else "packaged"
    shown = _text(used)
    if diff:
        lines = difflib.unified_diff(
            _text(packaged[wanted]).splitlines(), shown.splitlines(), "packaged", source, lineterm=""
        )
        shown = "\n".join(lines) or "No difference."
    console.line(f"{wanted} ({source})", style="title")
    console.block(shown)
    for note in run.notes:
        console.note(note)
    version = used.version.version if used.version else None
    console.data({"name": wanted, "version": version, "messages": dict(used.messages), "notes": run.notes})
    return 0


@prompts.command(short_help="Put the packaged prompts into Langfuse.")
def push(
    label: Label = None,
    yes: Annotated[bool, typer.Option("--yes", help="Write without asking: you have seen the preview.")] = False,
    json: Json = False,
) -> int:
    """Put the packaged prompts into Langfuse's prompt management, under the label.

    Shown first; without --yes nothing is written unless you say so at the terminal. The same text makes no new version.
    A text that somebody has changed in Langfuse stays there as a version of its own; the label moves to the packaged
    one.

    Exits with 0 when all is there or the preview was all that was wanted, with 2 when something could not be written.

    \b
    Examples:
      hansei prompts push                    the preview
      hansei prompts push --yes
      hansei prompts push --label experiment --yes
    """
    from hansei.cli.console import open_console
    from hansei.contracts.writes import WriteDecision
    from hansei.graph.writes import write_if_approved
    from hansei.tools.langfuse.api import open_api
    from hansei.tools.writeback.prompts import PushingPrompts, prompt_states, prompts_plan

    console, named = open_console(json_wanted=json), _label(label)
    with console, open_api() as api:
        states = prompt_states(api, _packaged(), named)
        plan = prompts_plan(states, named, api.server.address, api.project_id())
    waiting = [write.what for write in plan.writes]
    outcome = {"label": named, "where": plan.where, "unchanged": len(states) - len(waiting), "writes": waiting}
    if not waiting:
        console.line(f"All {len(states)} prompts are there: {plan.where}, label {named}.", style="ok")
        console.data({**outcome, "dry_run": not yes, "written": [], "ok": True})
        return 0
    console.line(f"{plan.where}, label {named}:", style="title")
    console.table(["would be written"], [[one] for one in waiting], fold=True)

    def decide(shown: WritePreview) -> WriteDecision:
        agreed = approved(console, f"Write {shown.count} prompts to Langfuse?", yes=yes)
        return WriteDecision(decision="approve" if agreed else "reject", preview_key=shown.key)

    pushing = PushingPrompts()
    done = write_if_approved(plan, pushing, decide)
    if pushing.failure is not None:
        raise pushing.failure
    if done.decision == "reject":
        console.line("Nothing was written. With --yes it is.")
    else:
        console.line(f"Wrote {len(done.written)} prompts to Langfuse, {outcome['unchanged']} were there.", style="ok")
    console.data({**outcome, "dry_run": done.decision == "reject", "written": done.written, "ok": True})
    return 0


def _packaged() -> dict[str, Prompt]:
    from hansei.tools.language_model.managed import packaged_prompts

    return packaged_prompts(_folder())


def _folder() -> Path:
    from hansei.nodes.prompts import PROMPTS

    return PROMPTS


def _label(given: str | None) -> str:
    from hansei.context import prompt_label

    return given or prompt_label() or "production"


def _text(prompt: Prompt) -> str:
    return "\n\n".join(f"<{role}>\n{text}\n</{role}>" for role, text in prompt.messages)
