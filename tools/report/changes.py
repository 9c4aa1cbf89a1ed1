"""Changes of texts that traces show, proposed by a model: a diff is made here, of the text as it was shown."""

from __future__ import annotations

import difflib

from hansei.contracts import TextChange
from hansei.tools.langfuse.instructions import Instruction
from hansei.tools.langfuse.untrusted import one_line
from hansei.tools.report.grounding import Facts, strange_in
from hansei.tools.report.text import visible

LONGEST = 2_000
"""Letters that may be put in."""


class Refused(Exception):
    """The change does not apply, or holds what stands nowhere."""


def changed(instruction: Instruction, shown: str, find: str, replace: str, facts: Facts) -> TextChange:
    """The change of a text in which `replace` takes the place of `find`.

    Args:
        instruction: which text it is.
        shown: the text as the model was shown it.
        find: what stands there once.
        replace: what is put there.
        facts: what the finding holds.

    Raises:
        Refused: it does not apply; it changes nothing; it is too long; or it holds links, numbers or identifiers that
            stand neither in the text nor in the finding.
    """
    put = visible(replace)
    if shown.count(find) != 1 or not find.strip() or put == find or len(put) > LONGEST:
        raise Refused
    if strange_in(put, shown, facts):
        raise Refused
    name = one_line(instruction.name, 100)
    lines = difflib.unified_diff(
        shown.splitlines(),
        shown.replace(find, put).splitlines(),
        f"{instruction.kind}/{name}",
        f"{instruction.kind}/{name} (proposed)",
        lineterm="",
        n=2,
    )
    diff = "\n".join(lines)
    if not diff:
        raise Refused
    return TextChange(
        target=instruction.kind,
        name=name,
        trace_id=instruction.trace_id,
        observation_id=instruction.observation_id,
        diff=diff,
    )
