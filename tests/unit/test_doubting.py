"""Which questions the critic puts, and that it puts none twice."""

from __future__ import annotations

from typing import cast

import pytest
from tests.support.drafts import FACTS, built, draft_of, measured

from hansei.nodes.doubting import _hold_against_several
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.playbook.conclude import Draft

CAUSES = [draft_of([(100, 10)] * 7, [(100, 2)] * 7, segment={"tool_name": name}) for name in ("lookup", "search")]


def dearer(*without: tuple[str, float]) -> Draft:
    """Traces that cost half as much again, and what they cost without others: the others' ids, dollars of a day."""
    now, before = [(100, 150.0)] * 7, [(100, 100.0)] * 7
    answers = [measured([(100, left)] * 7, before, purpose=f"without:{ids}", spread=0.3) for ids, left in without]
    segment = {"trace_name": "support"}
    return draft_of(now, before, *answers, metric="cost_per_trace", segment=segment, spread=0.3)


def ask(draft: Draft) -> None:
    """Holds the draft against both causes. There are no data here, so a question that is put fails."""
    drafts = {one.id: one for one in (*CAUSES, draft)}
    standing = [built(one) for one in drafts.values()]
    _hold_against_several(cast(Dataset, None), drafts, lambda: standing, None, FACTS)


def test_what_was_asked_of_several_causes_together_is_not_asked_in_the_next_round() -> None:
    halves = [(cause.id, left) for cause, left in zip(CAUSES, (122.0, 126.0), strict=True)]
    with pytest.raises(AttributeError):
        ask(dearer(*halves))
    ask(dearer(*halves, ("+".join(cause.id for cause in CAUSES), 122.0)))
