"""Criteria out of the data: a model reads traces and notes what goes wrong first; the notes become ways to go wrong.

Read are as many traces of those that failed as of the rest, mixed with traces drawn at random, until the last
`UNTIL_NOTHING_NEW` brought no new label. Only a note whose quote stands in its trace counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from pydantic import Field

from hansei.contracts.evaluation import Criterion, Example
from hansei.errors import ModelFailed
from hansei.nodes.evaluating import PROMPTS
from hansei.nodes.founded import founded
from hansei.nodes.prompts import LANGUAGES
from hansei.tools.evaluation.asking import is_quote, shown_of
from hansei.tools.evaluation.choosing import choose
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.trace_tree import read_trees
from hansei.tools.langfuse.untrusted import one_line, quoted
from hansei.tools.language_model import Endpoint, ModelAnswer, ModelMeter, ask, ask_fitting

NODE = "criteria"
AT_ONCE = 10
"""Traces in one question."""
UNTIL_NOTHING_NEW = 20
MOST_READ = 120
MOST_MODES = 10
LETTERS = 2_500
"""Of each trace."""
EXAMPLES = 2
_NONE = "none"


class Note(ModelAnswer):
    """The first thing that went wrong in one trace."""

    trace: str = Field(description="The trace's mark, such as t3.")
    label: str
    wrong: str
    quote: str


class Notes(ModelAnswer):
    """One note for each trace."""

    notes: list[Note]


class Mode(ModelAnswer):
    """A way to go wrong."""

    name: str
    definition: str
    labels: list[str]


class Modes(ModelAnswer):
    """All ways to go wrong."""

    modes: list[Mode]


@dataclass
class Discovered:
    """Criteria, how many traces were read for them, and remarks."""

    criteria: list[Criterion] = field(default_factory=list)
    read: int = 0
    notes: list[str] = field(default_factory=list)


@dataclass
class Discovering:
    """What it works with. `seed` draws the traces; `tell` is told what is being done."""

    dataset: Dataset
    endpoint: Endpoint
    meter: ModelMeter
    language: str
    seed: int
    tell: Callable[[str], None]

    def run(self) -> Discovered:
        """Reads, notes and groups.

        Raises:
            ModelFailed: no trace could be read by the model.
            HanseiError: ClickHouse cannot be asked.
        """
        out, found = Discovered(), dict[str, list[tuple[str, Note]]]()
        barren = dropped = 0
        for batch in self._batches():
            try:
                notes, bad = self._notes(batch, list(found))
            except ModelFailed as failure:
                if not found:
                    raise
                out.notes.append(f"Fewer traces were read than planned: {failure.message}")
                break
            out.read += len(batch)
            dropped += bad
            fresh = {note.label for _, note in notes} - found.keys()
            for trace_id, note in notes:
                found.setdefault(note.label, []).append((trace_id, note))
            barren = 0 if fresh else barren + len(batch)
            self.tell(f"{out.read} traces read, {len(found)} labels")
            if barren >= UNTIL_NOTHING_NEW:
                break
        else:
            out.notes.append(f"All {out.read} traces were read; the last ones may still have brought something new.")
        if dropped:
            out.notes.append(f"{dropped} notes of the model were left out: their quotes are not in their traces.")
        if found:
            out.criteria = self._grouped(found, out.notes)
        if not out.criteria:
            out.notes.append(f"In {out.read} traces the model saw nothing go wrong that could be judged by.")
        return out

    def _batches(self) -> Iterator[list[str]]:
        """Ids of traces, of failed ones and of the rest in turn, and every second one drawn at random."""
        half = MOST_READ // 2
        sorts, _ = choose(self.dataset, half, plan="stratified", by="outcome", seed=self.seed)
        alike, _ = choose(self.dataset, MOST_READ, seed=self.seed + 1)
        mixed = [one.id for pair in zip(sorts, alike, strict=False) for one in pair]
        ids = list(dict.fromkeys([*mixed, *(one.id for one in alike)]))[:MOST_READ]
        yield from (ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE))

    def _notes(self, trace_ids: Sequence[str], known: Sequence[str]) -> tuple[list[tuple[str, Note]], int]:
        """The notes whose quotes stand in their traces, by trace; and how many others there were."""
        trees = read_trees(self.dataset, trace_ids)
        marks = {f"t{number}": tree for number, tree in enumerate(trees.values(), 1)}
        whole = {mark: shown_of(tree, self.endpoint, LETTERS) for mark, tree in marks.items()}

        def messages(letters: int) -> list[tuple[str, str]]:
            each = letters // max(1, len(marks))
            told = "\n\n".join(
                f"{mark}:\n{quoted(shown_of(tree, self.endpoint, each))}" for mark, tree in marks.items()
            )
            labels = quoted("\n".join(known)) if known else "(none yet)"
            values = {"labels": labels, "traces": told, "language": LANGUAGES[self.language]}
            return self.endpoint.prompts.read(PROMPTS / "discover_notes.md").filled(values)

        answer = ask_fitting(self.endpoint, self.meter, NODE, messages, LETTERS * max(1, len(marks)), Notes)
        noted: list[tuple[str, Note]] = []
        dropped = 0
        for note in answer.notes:
            mark, label = note.trace.strip(), one_line(note.label.casefold(), 60)
            if mark not in marks or label in ("", _NONE):
                continue
            if not is_quote(note.quote, whole[mark]) or not founded(f"{label} {note.wrong}", whole[mark]):
                dropped += 1
                continue
            wrong = one_line(note.wrong, 400)
            noted.append((marks[mark].trace_id, note.model_copy(update={"label": label, "wrong": wrong})))
        return noted, dropped

    def _grouped(self, found: dict[str, list[tuple[str, Note]]], remarks: list[str]) -> list[Criterion]:
        """The ways to go wrong, those with most traces first; where the model does not sort them, the labels are."""
        lines = [f"{label}: {note.wrong}" for label, notes in found.items() for _, note in notes[:3]]
        material = "\n".join(lines)
        values = {"most": str(MOST_MODES), "notes": quoted(material), "language": LANGUAGES[self.language]}
        try:
            messages = self.endpoint.prompts.read(PROMPTS / "discover_groups.md").filled(values)
            modes = ask(self.endpoint, self.meter, NODE, messages, Modes).modes[:MOST_MODES]
        except ModelFailed as failure:
            remarks.append(f"The labels are not sorted: {failure.message}")
            modes = []
        if not modes:
            order = sorted(found, key=lambda label: -len(found[label]))[:MOST_MODES]
            modes = [Mode(name=label, definition=found[label][0][1].wrong, labels=[label]) for label in order]
        criteria: dict[str, tuple[int, Criterion]] = {}
        for mode in modes:
            name, definition = _name(mode.name), one_line(mode.definition, 300)
            notes = [pair for label in mode.labels for pair in found.get(label.strip().casefold(), ())]
            if not name or not definition or not notes or not founded(f"{name} {definition}", material):
                continue
            examples = [
                Example(trace=id, verdict="fail", why=note.wrong or note.label) for id, note in notes[:EXAMPLES]
            ]
            one = Criterion(name=name, kind="judge", definition=definition, examples=examples)
            criteria.setdefault(name, (len(notes), one))
        return [one for _, one in sorted(criteria.values(), key=lambda pair: -pair[0])]


def _name(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.casefold()).strip("_")[:60]
