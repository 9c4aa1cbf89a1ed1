"""Where the tools keep their queries and answers, so that what a model says can cite them."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hansei.contracts import Evidence
from hansei.tools.langfuse.dataset import Dataset


class Notebook:
    """Evidence by its id. Threads may share it.

    An id follows from the question and what it is asked about (``q`` and eight hexadecimal digits), so that it is the
    same on every run and whichever of several analysts asks; who asks the same again gets what was found before.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._evidence: dict[str, Evidence] = {}

    def id_for(self, dataset: Dataset, *question: object) -> str:
        """The id of the evidence that answers a question about a dataset; the question is told by plain values."""
        about = [dataset.project_id, dataset.periods.model_dump(mode="json"), list(dataset.environments)]
        text = json.dumps([about, question], ensure_ascii=False, sort_keys=True, default=str)
        return "q" + hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:8]

    def keep(self, evidence: Evidence) -> Evidence:
        """Keeps evidence under its id."""
        with self._lock:
            self._evidence[evidence.id] = evidence
        return evidence

    def get(self, id: str) -> Evidence | None:
        """The evidence with this id."""
        with self._lock:
            return self._evidence.get(id)

    def find(self, ids: Iterable[str]) -> list[Evidence]:
        """The evidence with these ids that there is, each once."""
        found: Mapping[str, Any] = {id: self.get(id) for id in ids}
        return [evidence for evidence in found.values() if evidence is not None]

    def __iter__(self) -> Iterator[Evidence]:
        with self._lock:
            return iter(list(self._evidence.values()))

    def __len__(self) -> int:
        with self._lock:
            return len(self._evidence)
