"""Names of things in the reader's language: metrics, kinds, dimensions, segments, what a value is compared with."""

from __future__ import annotations

from hansei.contracts import Finding, Segment
from hansei.tools.report.catalogue import catalogue
from hansei.tools.report.text import one_line


def label(group: str, code: str, language: str) -> str:
    """The catalogue's word for a code, such as ``label("kind", "cost", "en")``; else the code with blanks."""
    return catalogue(language).texts.get(f"{group}.{code}") or one_line(code.replace("_", " "))


def segment_parts(segment: Segment, language: str) -> list[tuple[str, str]]:
    """A segment as (dimension in words, value); values are untrusted text on one line."""
    words = catalogue(language)
    parts = []
    for dimension, value in segment.items():
        if dimension.startswith("metadata."):
            name = words.text("dimension.metadata", name=one_line(dimension.removeprefix("metadata.")))
        else:
            name = label("dimension", dimension, language)
        parts.append((name, one_line(value) or words.text("segment.blank")))
    return parts


def segment_text(segment: Segment, language: str) -> str:
    """A segment on one line: ``prompt answer, prompt version 7``; the empty segment is the whole project."""
    words = catalogue(language)
    named = [f"{name} {value}" for name, value in segment_parts(segment, language)]
    return words.text("say.place.join").join(named) or words.text("segment.all")


def reference_label(finding: Finding, language: str) -> str:
    """What the finding's current value is held against, with the segment where that is another."""
    words = catalogue(language)
    name = words.text(f"reference.{finding.comparison.against}")
    other = finding.comparison.segment
    if other == finding.segment or (finding.comparison.against == "rest_of_window" and not other):
        return name
    differing = {key: value for key, value in other.items() if finding.segment.get(key) != value}
    if not differing:  # The reference is wider, not different: errors of a tool, whatever the release.
        return words.text("reference.of", reference=name, segment=segment_text(other, language))
    return words.text("reference.of", reference=name, segment=segment_text(differing, language))
