"""Prompts that are managed in Langfuse, with the packaged texts to fall back on.

Under the name ``hansei/<file>`` a prompt is a chat of a system and a user message. A run fetches all of them once, by
label, when it first asks a model. What comes from there is configuration: it may say anything to the model, and nothing
to Hansei. It has to hold the packaged text's places, each in its message, and what untrusted text is marked with. The
values that are put in are masked and quoted before, and the schema of the answer is added after, whatever it says.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hansei.errors import LangfuseFailed
from hansei.tools.langfuse.connection import Server
from hansei.tools.langfuse.prompts import Message, StoredPrompt, fetch_prompts
from hansei.tools.langfuse.untrusted import OPENING
from hansei.tools.language_model.prompt import Prompt, PromptVersion, places, read_prompt

FOLDER = "hansei/"
"""Where the prompts lie in Langfuse."""

LABEL = "production"
"""The label that is usual."""

PATIENCE = 3.0
"""Seconds that a run waits for its prompts, all of them together."""

LONGEST = 20_000
"""Letters of a prompt."""

MISSING = "not found under the label"


class Unfit(Exception):
    """Why a prompt cannot take the packaged one's place, in words after its name."""


def name_of(path: Path) -> str:
    """A packaged prompt's name in Langfuse."""
    return FOLDER + path.stem


def packaged_prompts(folder: Path) -> dict[str, Prompt]:
    """The packaged prompts by their names in Langfuse."""
    return {name_of(path): read_prompt(path) for path in sorted(folder.glob("*.md"))}


def fitting(messages: Sequence[Message], packaged: Prompt) -> Prompt:
    """Messages from Langfuse in the packaged prompt's place.

    Raises:
        Unfit: they are no system and user message, or lack what the packaged ones hold.
    """
    if [role for role, _ in messages] != ["system", "user"]:
        raise Unfit("not a chat of one system and one user message")
    found = Prompt(messages[0][1], messages[1][1])
    if sum(len(text) for _, text in messages) > LONGEST:
        raise Unfit(f"longer than {LONGEST:,} letters")
    for (role, wanted), (_, given) in zip(packaged.messages, messages, strict=True):
        if missing := sorted(places(wanted) - places(given)):
            raise Unfit(f"without the place {{{{{missing[0]}}}}} in its {role} message")
        if places(given) - places(wanted):
            raise Unfit(f"with a place in its {role} message that nothing is put into")
    if OPENING in packaged.system and OPENING not in found.system:
        raise Unfit(f"without a word on {OPENING}")
    return found


class Prompts:
    """The prompts of one run: what Langfuse holds under a label where it fits, else the packaged ones.

    Args:
        label: which versions; None: the packaged ones.
    """

    def __init__(self, label: str | None = None) -> None:
        self._label = label
        self._lock = threading.Lock()
        self._fetched: dict[Path, dict[str, Prompt]] = {}
        self.notes: list[str] = []
        """One line when Langfuse's prompts could not all be used."""

    def read(self, path: Path) -> Prompt:
        """The prompt of a packaged file. The first one of a folder fetches all of them.

        Raises:
            ValueError: the file is no prompt.
        """
        name, folder = name_of(path), path.parent
        if self._label is None or (server := Server.from_environment()) is None:
            return read_prompt(path)
        with self._lock:
            if folder not in self._fetched:
                self._fetched[folder] = self._fetch(server, packaged_prompts(folder), self._label)
            return self._fetched[folder][name]

    def _fetch(self, server: Server, packaged: Mapping[str, Prompt], label: str) -> dict[str, Prompt]:
        found = fetch_prompts(server, list(packaged), label, PATIENCE)
        used, unfit = dict(packaged), dict[str, str]()
        for name, stored in found.items():
            try:
                used[name] = _taken(stored, packaged[name])
            except Unfit as problem:
                unfit[name] = str(problem)
        managed = [name for name, one in found.items() if isinstance(one, StoredPrompt)]
        if not managed and set(unfit.values()) == {MISSING}:
            # Nobody has put any there under the usual label: they are not managed in Langfuse.
            if label != LABEL:
                self.notes.append(f"No prompt in Langfuse has the label “{label}”: the packaged ones were used.")
            return used
        if unfit:
            self.notes.append(_told(unfit, len(packaged)))
        return used


def _taken(stored: StoredPrompt | LangfuseFailed, packaged: Prompt) -> Prompt:
    if isinstance(stored, LangfuseFailed):
        raise Unfit(MISSING if stored.reason == "not_found" else f"not fetched ({stored.message.rstrip('.')})")
    return replace(fitting(stored.messages, packaged), version=PromptVersion(stored.name, stored.version))


def _told(unfit: Mapping[str, str], count: int) -> str:
    """One line: which prompts are the packaged ones, and why."""
    by_reason: dict[str, list[str]] = {}
    for name, why in unfit.items():
        by_reason.setdefault(why, []).append(name)
    told = [
        f"{names[0] if len(names) == 1 else f'{len(names)} prompts'}: {why}"
        for why, names in sorted(by_reason.items(), key=lambda one: one[0] == MISSING)
    ]
    more = f"; and {len(told) - 3} more reasons" if len(told) > 3 else ""
    which = f"For {len(unfit)} of {count} prompts the packaged text took the place of Langfuse's"
    return f"{which}: {'; '.join(told[:3])}{more}."


PACKAGED = Prompts()

KEPT = 256
"""Runs whose prompts are kept; the one that was used longest ago goes first."""

_of_runs: OrderedDict[tuple[str, str], Prompts] = OrderedDict()
_of_runs_lock = threading.Lock()


def prompts_of(run_id: str, label: str | None) -> Prompts:
    """The prompts of a run in this process, shared by all its steps.

    Args:
        run_id: the run.
        label: which versions; None: the packaged ones.
    """
    if label is None:
        return PACKAGED
    with _of_runs_lock:
        prompts = _of_runs.setdefault((run_id, label), Prompts(label))
        _of_runs.move_to_end((run_id, label))
        while len(_of_runs) > KEPT:
            _of_runs.popitem(last=False)
    return prompts
