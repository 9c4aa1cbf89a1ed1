"""Scores that are to be written: typed, checked before anything is sent, with ids that a rerun finds again."""

from __future__ import annotations

import hashlib
import math
import re
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hansei.tools.writeback.journal import Write

DataType = Literal["NUMERIC", "CATEGORICAL", "BOOLEAN", "TEXT"]

_LONGEST_TEXT = 500
"""Langfuse's own bound on the value of a text score, in characters."""

_LONGEST_COMMENT = 4_000
_ENVIRONMENT = re.compile(r"(?!langfuse)[a-z0-9_-]{1,40}")


class PendingScore(BaseModel):
    """One verdict on one trace or observation that Langfuse does not know yet.

    Args:
        name: the score's name in Langfuse.
        value: a number, true or false, or a category or text, as `data_type` says.
        data_type: Langfuse's kind of score.
        trace_id: the trace that is scored.
        observation_id: the observation in it; None: the trace as a whole.
        scored_at: when the trace or observation was. It becomes the score's timestamp: Langfuse keeps a score under its
            day, name and id, so that only the same time updates what a former run wrote.
        criterion: what was judged, by an id that stays.
        criterion_version: its version; another version is another score.
        comment: why, for people.
        environment: the trace's environment, left out when Langfuse would not take it.
        config_id: a score config of Langfuse's.
        metadata: what else is to be kept beside the score.

    Raises:
        pydantic.ValidationError: the value does not fit its type.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=200)
    value: bool | float | str
    data_type: DataType
    trace_id: str = Field(min_length=1)
    scored_at: datetime
    criterion: str = Field(min_length=1)
    criterion_version: str = Field(min_length=1)
    observation_id: str | None = None
    comment: str | None = None
    environment: str | None = None
    config_id: str | None = None
    metadata: dict[str, str | int | float | bool | None] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        value = self.value
        match self.data_type:
            case "BOOLEAN":
                fits = isinstance(value, bool)
            case "NUMERIC":
                fits = isinstance(value, float) and math.isfinite(value)
            case "CATEGORICAL":
                fits = isinstance(value, str) and bool(value)
            case "TEXT":
                fits = isinstance(value, str) and 1 <= len(value) <= _LONGEST_TEXT
        if not fits:
            raise ValueError(f"the value is no {self.data_type} value")
        if self.scored_at.tzinfo is None:
            raise ValueError("scored_at has no time zone")
        return self

    def write(self, project_id: str, run_id: str) -> Write:
        """The write that brings it to Langfuse."""
        parts = (project_id, self.name, self.criterion, self.criterion_version, self.trace_id, self.observation_id)
        identity = score_id(*parts, of_check=self.metadata.get("hansei_kind") == "code")
        body: dict[str, Any] = {
            "id": identity,
            "name": self.name,
            "value": float(self.value) if isinstance(self.value, bool) else self.value,
            "data_type": self.data_type,
            "trace_id": self.trace_id,
            "timestamp": self.scored_at.isoformat(),
            "metadata": {
                **self.metadata,
                "hansei_run": run_id,
                "hansei_criterion": self.criterion,
                "hansei_criterion_version": self.criterion_version,
            },
        }
        if self.observation_id:
            body["observation_id"] = self.observation_id
        if self.comment:
            body["comment"] = self.comment[:_LONGEST_COMMENT]
        if self.environment and _ENVIRONMENT.fullmatch(self.environment):
            body["environment"] = self.environment
        if self.config_id:
            body["config_id"] = self.config_id
        return Write(kind="score", id=identity, body=body)


def score_id(
    project_id: str, name: str, criterion: str, version: str, trace_id: str, observation_id: str | None = None,
    *, of_check: bool = False,
) -> str:  # fmt: skip
    """The id of a verdict: the same for the same criterion version on the same trace, whichever run gives it.

    That of a check's begins in another way than a judge's, since the tables tell by it who needs a calibration.
    """
    digest = _digest(project_id, name, criterion, version, trace_id, observation_id or "")
    return f"hansei-{'check-' if of_check else ''}{digest}"


def _digest(*parts: str) -> str:
    told = "".join(f"{len(part)}:{part}" for part in parts)  # lengths, so that no two lists of parts look alike
    return hashlib.sha256(told.encode()).hexdigest()[:40]
