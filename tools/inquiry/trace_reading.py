"""read_trace: one trace as an indented tree."""

from __future__ import annotations

from hansei.errors import NoData
from hansei.tools.inquiry.answer import Answer, Refusal
from hansei.tools.inquiry.bounds import Bounds
from hansei.tools.inquiry.notebook import Notebook
from hansei.tools.inquiry.wording import FRAME, UNTRUSTED
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.langfuse.trace_excerpt import FEWEST_CHARACTERS, excerpt
from hansei.tools.langfuse.trace_tree import TraceTree, read_tree
from hansei.tools.langfuse.untrusted import quoted


def read_trace(dataset: Dataset, bounds: Bounds, notebook: Notebook, trace_id: str, focus: str | None = None) -> Answer:
    """The trace's excerpt; its evidence is the query for its steps.

    Raises:
        Refusal: there is no such trace.
    """
    id = notebook.id_for(dataset, "read_trace", trace_id)
    try:
        tree = read_tree(dataset, trace_id.strip(), focus, id=id)
    except NoData as error:
        raise Refusal(str(error)) from None
    notebook.keep(tree.evidence)
    if tree.failing is None:
        marked = "No step failed, hangs or carries a warning; if something went wrong, its texts must show it."
    elif focus and _names(focus, tree):
        marked = f"▶ marks step #{tree.failing + 1}."
    else:
        marked = f"▶ marks step #{tree.failing + 1}, where it went wrong first."
    if focus and not _names(focus, tree):
        marked = f"No step is what you named as focus. {marked}"
    head = (
        f"Evidence {id}: the steps of one trace. {marked} Times count from its first step; another step "
        f"is shown in full when you name it as focus. {UNTRUSTED}\n"
    )
    room = bounds.trace_characters - len(head) - FRAME
    return Answer(head + quoted(excerpt(tree, max(FEWEST_CHARACTERS, room), masking=bounds.masking).text), [id])


def _names(focus: str, tree: TraceTree) -> bool:
    """Whether the step that stands out is the one that was asked for."""
    if tree.failing is None:
        return False
    step = tree.steps[tree.failing]
    return focus in (step.id, step.name, f"#{tree.failing + 1}")
