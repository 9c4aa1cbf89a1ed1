"""What the names in a sentence stand for in a report, and the `Ask` that each form makes of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from hansei.contracts import Finding, Report
from hansei.contracts.asks import (
    MOST_EXAMPLES,
    About,
    Ask,
    Breakdown,
    Compare,
    Examples,
    Measure,
    Named,
    OnDay,
    ToDataset,
    Trace,
)
from hansei.tools.conversation.lexicon import normalised, segments_of
from hansei.tools.conversation.phrases import VERSIONED, Reference, Sentence
from hansei.tools.playbook.catalogue import detector_of
from hansei.tools.playbook.segments import split_of

_TRACE_WIDE = frozenset({"trace_name", "user_id", "session_id", "release", "environment", "tag", "version"})
_METRICS = {
    "cost": ("cost_per_call", "cost_per_trace"),
    "latency": ("step_latency_p95", "trace_latency_p95"),
    "first_token": ("first_token_p95", "first_token_p95"),
    "score": ("score_mean", "score_mean"),
}
"""A measure by its everyday name → of calls, and of traces."""


class Unclear(Exception):
    """A question that is not understood. `why` is a key of the words for it, `values` fill them."""

    def __init__(self, why: str, **values: Any) -> None:
        super().__init__(why)
        self.why, self.values = why, values


@dataclass(frozen=True)
class World:
    """The report that is spoken of, and what was named last."""

    report: Report
    named: Named

    @property
    def all(self) -> Sequence[Finding]:
        return [*self.report.findings, *self.report.refuted]

    def finding(self, id: str | None) -> Finding | None:
        """The finding of that id, refuted ones included."""
        return next((finding for finding in self.all if finding.id == id), None)


def trace(s: Sentence, w: World) -> Ask:
    """“show trace 4f2a…”"""
    return Trace(trace=s.traces[0])


def examples(s: Sentence, w: World) -> Ask:
    """“show me five of those”, “three failing traces”; a trace that was listed before is shown itself."""
    if s.metrics and not s.references:
        s.references.append(Reference("metric", s.metrics[0]))
    count = s.counts[0] if s.counts else 5
    if s.references and s.references[0].kind == "listed" and w.named.listed:
        item = listed_item(s.references[0].value, w)
        if "trace" in item:
            return Trace(trace=item["trace"])
    if not 1 <= count <= MOST_EXAMPLES:
        raise Unclear("too_many", most=MOST_EXAMPLES)
    return Examples(finding=finding_meant(s, w).id, count=count)


def dataset(s: Sentence, w: World) -> Ask:
    """“make a dataset from the second finding”; “send these to Langfuse”: the traces that were listed last."""
    listed = [item["trace"] for item in w.named.listed if "trace" in item]
    plain = not s.references or s.references[0].kind == "it"
    if plain and w.named.metric is None and len(w.report.findings) > 1:
        raise Unclear("which_finding")  # nothing was spoken of but all of them
    if listed and s.references and s.references[0].kind == "listed":
        s.references, listed = [], [listed_item(s.references[0].value, w)["trace"]]
        plain = True
    finding = finding_meant(s, w)
    traces = listed if listed and plain else finding.example_trace_ids
    if not traces:
        raise Unclear("no_examples")
    name = s.names[0] if s.names else f"hansei-{finding.kind}-{finding.id}"
    return ToDataset(finding=finding.id, traces=traces[:MOST_EXAMPLES], name=name[:200])


def about(s: Sentence, w: World) -> Ask:
    """“tell me about the second one”; a row of a table is measured."""
    if s.references[0].kind == "listed" and w.named.listed:
        item = listed_item(s.references[0].value, w)
        if "trace" in item:
            return Trace(trace=item["trace"])
        if "finding" not in item:
            return Measure(metric=w.named.listed_metric or _spoken_metric(w), segment=item)
    if s.references[0].kind == "dimension" and w.finding(w.named.finding) is None:
        return Measure(metric=_spoken_metric(w), segment=_that(s.references[0].value, w))
    return About(finding=finding_meant(s, w).id)


def about_slice(s: Sentence, w: World) -> Ask:
    """“tell me about tool lookup_order”: the finding about it."""
    segment = segment_named(s.slices, w)
    for finding in w.all:
        if segment.items() <= finding.segment.items():
            return About(finding=finding.id)
    raise Unclear("no_finding")


def advice(s: Sentence, w: World) -> Ask:
    """“what should I do about it?”"""
    return About(finding=finding_meant(s, w).id, what="advice")


def proof(s: Sentence, w: World) -> Ask:
    """“show the queries of the first one”."""
    of_last = not s.references or s.references[0].kind == "it"
    if of_last and w.finding(w.named.finding) is None and w.named.metric is not None:
        raise Unclear("own_queries")
    return About(finding=finding_meant(s, w).id, what="proof")


def cause(s: Sentence, w: World) -> Ask:
    """“why?”, “why did cost change?”, “why does tool lookup_order fail?”"""
    if s.slices:
        segment = segment_named(s.slices, w)
        meant = _metrics_named(s.metrics[0], w) if s.metrics else None
        about = [finding for finding in w.all if segment.items() <= finding.segment.items()]
        if not about:
            raise Unclear("no_finding")
        nearest = next((finding for finding in about if meant and finding.metric in meant), about[0])
        return About(finding=nearest.id, what="cause")
    if s.metrics:
        s.references.insert(0, Reference("metric", s.metrics[0]))
    return About(finding=finding_meant(s, w).id, what="cause")


def day(s: Sentence, w: World) -> Ask:
    """“what changed on the 14th?”"""
    segment = segment_named(s.slices, w)
    if s.references:
        kind = s.references[0]
        segment = _that(kind.value, w) if kind.kind == "dimension" else dict(finding_meant(s, w).segment)
    return OnDay(day=_day(s.days[0], w), segment=segment)


def compare(s: Sentence, w: World) -> Ask:
    """“compare v6 and v7 on cost”."""
    slices = [(_dimension_of(dimension, value, w), value) for dimension, value in s.slices]
    names = [dimension for dimension, _ in slices]
    twice = next((name for name in names if names.count(name) == 2), None)
    if twice is None:
        raise Unclear("compare_two")
    first, second = (value for dimension, value in slices if dimension == twice)
    rest = {dimension: value for dimension, value in slices if dimension != twice}
    if twice == "prompt_version" and "prompt_name" not in rest:
        rest |= {"prompt_name": _prompt_with({first, second}, w)}
    near = next(
        (f for f in w.all if f.segment.get(twice) in (first, second) and rest.items() <= f.segment.items()), None
    )
    if near is not None and not s.metrics and w.named.metric is None:
        named = near.metric  # nothing else was spoken of yet
    else:
        named = metric_meant(s.metrics, {*rest, twice}, w)
    return Compare(metric=named, dimension=twice, first=first, second=second, segment=rest)


def breakdown(s: Sentence, w: World) -> Ask:
    """“cost by model”, “which users?”"""
    return _broken_down(s, w, s.dimensions[0], None)


def only(s: Sentence, w: World) -> Ask:
    """“is it only Japanese users?”, “is it the model?”"""
    if s.dimensions:
        return _broken_down(s, w, s.dimensions[0], None)
    dimension, value = s.slices[0]
    s.slices = []
    return _broken_down(s, w, _dimension_of(dimension, value, w), value)


def not_this(s: Sentence, w: World) -> Ask:
    """“why not the model?”"""
    return only(s, w)


def course(s: Sentence, w: World) -> Ask:
    """“cost of tool x over time”, “how did it go day by day?”"""
    if s.metrics:
        return measure(s, w)
    if s.slices:
        segment = segment_named(s.slices, w)
        return Measure(metric=metric_meant([], set(segment), w), segment=segment)
    finding, metric, segment = topic_of(s, w)
    return Measure(metric=metric, segment=segment, finding=finding)


def measure(s: Sentence, w: World) -> Ask:
    """“how often does tool lookup_order fail?”"""
    segment = _spoken_of(s, w)
    return Measure(metric=metric_meant(s.metrics, set(segment), w), segment=segment)


def _spoken_of(s: Sentence, w: World) -> dict[str, str]:
    """The slice that is asked about: what is named, and what “it” or “that tool” stands for."""
    segment = segment_named(s.slices, w)
    for reference in s.references:
        segment |= _that(reference.value, w) if reference.kind == "dimension" else topic_of(s, w)[2]
    return segment


def _broken_down(s: Sentence, w: World, dimension: str, value: str | None) -> Ask:
    dimension = "metadata.language" if dimension == "language" else dimension
    if s.metrics:
        segment = _spoken_of(s, w)
        chosen, finding = metric_meant(s.metrics, {*segment, dimension}, w), None
    else:
        finding, chosen, spoken = topic_of(s, w)
        segment = {**spoken, **segment_named(s.slices, w)}
    # A slice is not broken down by what it holds still.
    segment = {key: held for key, held in segment.items() if key != dimension}
    if split_of(dimension, detector_of(chosen)[1]) is None:
        raise Unclear("no_column", dimension=dimension, metric=chosen)
    return Breakdown(finding=finding, metric=chosen, segment=segment, dimension=dimension, value=value)


def topic_of(s: Sentence, w: World) -> tuple[str | None, str, dict[str, str]]:
    """What is spoken of, (finding, metric, segment): what a reference names, else what was spoken of last.

    That need be no finding: after “cost by model” it is the cost.
    """
    of_last = not s.references or s.references[0].kind == "it"
    if of_last and w.named.metric is not None and w.finding(w.named.finding) is None:
        return None, w.named.metric, dict(w.named.segment)
    found = finding_meant(s, w)
    return found.id, found.metric, dict(found.segment)


def finding_meant(s: Sentence, w: World) -> Finding:
    """The finding that is referred to; without a reference the one that was spoken of last, else the first."""
    reference = s.references[0] if s.references else Reference("it")
    found: Finding | None = None
    match reference.kind:
        case "finding":
            found = w.finding(reference.value)
        case "item":
            found = _item(w.report.findings, reference.value)
        case "listed":
            if not w.named.listed:
                found = _item(w.report.findings, reference.value)
            else:
                found = w.finding(listed_item(reference.value, w).get("finding"))
        case "metric":
            group = _metrics_named(reference.value, w)
            found = next((finding for finding in w.all if finding.metric in group), None)
        case "dimension":
            segment = _that(reference.value, w)
            last = w.finding(w.named.finding)
            near = ([last] if last else []) + list(w.all)
            found = next((finding for finding in near if segment.items() <= finding.segment.items()), None)
        case _ if w.finding(w.named.finding) is None and w.named.metric is not None:
            # A figure was spoken of last: the finding about it, if there is one.
            spoken = w.named.segment.items()
            found = next((f for f in w.all if f.metric == w.named.metric and spoken <= f.segment.items()), None)
        case _:
            found = w.finding(w.named.finding) or next(iter(w.report.findings), None)
    if found is None:
        raise Unclear("no_finding")
    return found


def _metrics_named(word: str, w: World) -> set[str]:
    """The metrics of findings that an everyday name may mean."""
    group = {*_METRICS.get(word, ()), word}
    if word in ("score", "latency"):
        group |= {f.metric for f in w.all if f.kind == {"score": "quality"}.get(word, "latency")}
    return group


def _item(items: Sequence[Finding], ordinal: str) -> Finding:
    place = int(ordinal)
    try:
        return items[place - 1 if place > 0 else place]
    except IndexError:
        raise Unclear("so_many", count=len(items)) from None


def listed_item(ordinal: str, w: World) -> dict[str, str]:
    place = int(ordinal)
    try:
        return w.named.listed[place - 1 if place > 0 else place]
    except IndexError:
        raise Unclear("so_many", count=len(w.named.listed)) from None


def _that(dimension: str, w: World) -> dict[str, str]:
    """“that tool”: the value of this dimension that was named last, or that a finding has."""
    last = w.finding(w.named.finding)
    candidates: Iterable[dict[str, str]] = [
        w.named.segment,
        *([last.segment] if last else []),
        w.named.last,
        *(finding.segment for finding in w.all),
    ]
    for segment in candidates:
        if dimension in segment:
            return {dimension: segment[dimension]}
    raise Unclear("no_such", dimension=dimension)


def segment_named(slices: Sequence[tuple[str, str]], w: World) -> dict[str, str]:
    segment = {_dimension_of(dimension, value, w): value for dimension, value in slices}
    if "prompt_version" in segment and "prompt_name" not in segment:
        segment["prompt_name"] = _prompt_with({segment["prompt_version"]}, w)
    return segment


def _dimension_of(dimension: str, value: str, w: World) -> str:
    """The dimension of a value; of a bare version the sort of version that the report speaks of."""
    if dimension == "language":
        return "metadata.language"
    if dimension:
        return dimension
    spoken = [*w.named.segment.items(), *(pair for finding in w.all for pair in segments_of(finding))]
    for name in VERSIONED:
        if (name, value) in spoken:
            return name
    return next((name for name in VERSIONED if any(name == spoken_name for spoken_name, _ in spoken)), "prompt_version")


def _prompt_with(versions: set[str], w: World) -> str:
    """The prompt whose version is meant: the one spoken of last, else the one that a finding has with it."""
    if "prompt_name" in w.named.segment:
        return w.named.segment["prompt_name"]
    known = [finding.segment for finding in w.all if finding.segment.get("prompt_version") in versions]
    names = [segment["prompt_name"] for segment in known if "prompt_name" in segment]
    if len(set(names)) != 1:
        raise Unclear("which_prompt")
    return names[0]


def metric_meant(words: Sequence[str], dimensions: set[str], w: World) -> str:
    """The metric that an everyday name stands for, given which rows are asked about."""
    if not words:
        return _spoken_metric(w)
    name = words[0]
    if name == "score" and (last := w.finding(w.named.finding)) is not None and last.kind == "quality":
        return last.metric
    of_calls, of_traces = _METRICS.get(name, (name, name))
    if dimensions & {"tool_name", "status_message"} and name == "cost":
        return of_traces  # a tool has no cost of its own, but the traces that use it have
    # The whole project, and what a trace has, is measured by traces; what a step has, by calls.
    return of_traces if dimensions <= _TRACE_WIDE or any(d.startswith("metadata.") for d in dimensions) else of_calls


def _spoken_metric(w: World) -> str:
    last = w.finding(w.named.finding) or next(iter(w.report.findings), None)
    if w.named.metric is None and last is None:
        raise Unclear("no_metric")
    return w.named.metric or (last.metric if last else "")


def _day(text: str, w: World) -> date:
    """The day that is meant; of several, the last one that the report spans.

    Raises:
        Unclear: it is no day, or outside of what was compared.
    """
    year, month, number = text.split("-")
    first, last = w.report.baseline.start.date(), (w.report.window.end - timedelta(microseconds=1)).date()
    at = last
    while at >= first:
        if at.day == int(number) and month in ("", str(at.month), f"{at.month:02d}") and year in ("", str(at.year)):
            return at
        at -= timedelta(days=1)
    raise Unclear("outside", first=first.isoformat(), last=last.isoformat())


def same_value(first: str, second: str) -> bool:
    """Whether two values are one, as people write them."""
    return normalised(first) == normalised(second)
