"""What an investigation works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hansei.context import ModelBudget
from hansei.tools.inquiry.bounds import Bounds
from hansei.tools.inquiry.notebook import Notebook
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.language_model import Endpoint, ModelMeter
from hansei.tools.playbook.assess import Facts

MOST_ROWS = 200
MOST_CHARACTERS = 40_000
"""Of one answer of the data: less than the tools give on their own, since what an answer cites goes into the report."""


@dataclass
class Desk:
    """What an investigation works with.

    Args:
        dataset: the data, within the bounds of the model's own queries.
        endpoint, meter, node: the model, and as whom it is asked.
        budget: of the model.
        facts: the spans and totals.
        language: of the answer.
        tell: told what is being done.
    """

    dataset: Dataset
    endpoint: Endpoint
    meter: ModelMeter
    node: str
    budget: ModelBudget
    facts: Facts
    language: str
    tell: Callable[[str], None]
    notebook: Notebook = field(default_factory=Notebook)
    notes: list[str] = field(default_factory=list)

    @property
    def kit(self) -> Bounds:
        """What the tools may say to this model."""
        return Bounds(result_rows=MOST_ROWS, result_characters=MOST_CHARACTERS, masked=self.endpoint.masked)
