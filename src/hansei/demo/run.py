"""Records one run of an app as Langfuse's SDK would: spans that nest, generations with usage and cost, one clock."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

from hansei.demo.calendar import RELEASES, VERSIONS, to_datetime
from hansei.demo.pricing import Model
from hansei.demo.rows import ObservationRow, TraceRow
from hansei.demo.visits import Visit


class Run:
    """One trace in the making. `now` is the run's clock in milliseconds; each step moves it on.

    Args:
        rng: where every chance comes from.
        project_id: the Langfuse project.
        visit: who, when and which app.
        opentelemetry: True when the app sends OpenTelemetry: the trace's input and output are those of its first span.
    """

    def __init__(self, rng: Random, project_id: str, visit: Visit, *, opentelemetry: bool = False) -> None:
        self.rng = rng
        self.visit = visit
        self.now = visit.at
        self.observations: list[ObservationRow] = []
        self._parents: list[str] = []
        self.trace = TraceRow(
            id=f"{rng.getrandbits(128):032x}",
            timestamp=to_datetime(visit.at),
            name=visit.app,
            project_id=project_id,
            environment=visit.environment,
            user_id=visit.user.id,
            session_id=visit.session_id,
            release=RELEASES[visit.app].at(visit.at),
            version=VERSIONS[visit.app],
            tags=(visit.app.split("-")[0], visit.user.plan),
            metadata={"language": visit.user.language, "plan": visit.user.plan},
            opentelemetry=opentelemetry,
        )

    @property
    def language(self) -> str:
        """The user's language, such as ``ja``."""
        return self.visit.user.language

    def seconds(self, median: float, spread: float = 0.45) -> float:
        """A heavy-tailed duration (lognormal)."""
        return median * self.rng.lognormvariate(0, spread)

    @contextmanager
    def span(self, kind: str, name: str, **fields: Any) -> Iterator[ObservationRow]:
        """A span around what is recorded inside the `with` block. It ends when the block ends."""
        row = self._observe(kind, name, fields)
        self._parents.append(row.id)
        yield row
        self._parents.pop()
        self.now += self.rng.randrange(2, 12)
        self._finish(row, self.now)

    def step(self, kind: str, name: str, seconds: float, **fields: Any) -> ObservationRow:
        """A call without children that takes `seconds`."""
        row = self._observe(kind, name, fields)
        self.now += max(1, round(seconds * 1000))
        self._finish(row, self.now)
        self.now += self.rng.randrange(1, 8)
        return row

    def generation(
        self,
        name: str,
        model: Model,
        prompt: tuple[str, int] | None,
        *,
        tokens: tuple[int, int, int],
        slowdown: float = 1.0,
        error: str | None = None,
        kind: str = "GENERATION",
        **fields: Any,
    ) -> ObservationRow:
        """A call of a model.

        Args:
            tokens: input tokens that were not cached, cached input tokens, output tokens.
            slowdown: factor on the usual time.
            error: when given, the call fails early with this message, without output, usage and cost.
            kind: EMBEDDING for a call that gives no text.
        """
        fresh, cached, output = tokens
        first_token = self.seconds(model.first_token, 0.35) * slowdown
        total = first_token + output / self.seconds(model.speed, 0.25) * slowdown
        fields["model"] = model.name
        fields["model_id"] = f"model-{model.name}"
        fields["model_parameters"] = '{"temperature": 0.2}'
        if prompt is not None:
            fields["prompt_name"], fields["prompt_version"] = prompt
            fields["prompt_id"] = f"prompt-{prompt[0]}-{prompt[1]}"
        if error is not None:
            return self.step(kind, name, first_token, level="ERROR", status_message=error, **fields)
        usage = {"input": fresh, "total": fresh + cached + output}
        if cached:
            usage["input_cached_tokens"] = cached
        if kind == "GENERATION":
            usage["output"] = output
            fields["completion_start_time"] = to_datetime(self.now + round(first_token * 1000))
        fields["usage_details"] = fields["provided_usage_details"] = usage
        fields["cost_details"] = model.cost(usage)
        return self.step(kind, name, total, **fields)

    def tool(self, name: str, seconds: float, arguments: dict[str, Any], result: Any, **fields: Any) -> ObservationRow:
        """A call of a tool: arguments and result are recorded as JSON; a result of None is no output."""
        output = None if result is None else as_json(result)
        return self.step("TOOL", name, seconds, input=as_json(arguments), output=output, **fields)

    def _observe(self, kind: str, name: str, fields: dict[str, Any]) -> ObservationRow:
        fields.setdefault("parent_observation_id", self._parents[-1] if self._parents else None)
        row = ObservationRow(
            id=f"{self.rng.getrandbits(64):016x}",
            trace_id=self.trace.id,
            start_time=to_datetime(self.now),
            type=kind,
            name=name,
            project_id=self.trace.project_id,
            environment=self.trace.environment,
            version=self.trace.version,
            **fields,
        )
        self.observations.append(row)
        return row

    @staticmethod
    def _finish(row: ObservationRow, end: int) -> None:
        row.end_time = to_datetime(end)


def as_json(value: Any) -> str:
    """Compact JSON that keeps every script readable."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
