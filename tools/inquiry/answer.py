"""What a tool gives: words for the model and the ids of their evidence, or a refusal that says what to do instead."""

from __future__ import annotations

from typing import NamedTuple

from langchain_core.tools import ToolException


class Answer(NamedTuple):
    """A tool's answer, in the order that LangChain calls content and artifact.

    The artifact holds ids only: the evidence itself is in the notebook, and so neither in a trace of this run nor in a
    checkpoint.
    """

    content: str
    artifact: list[str]


class Refusal(ToolException):
    """The tool does not do this; its one line says why and what to do instead, for the model to read."""
