"""Criteria as a file that can be reviewed in git, and from the score configs that a project has in Langfuse."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from hansei.contracts.evaluation import CriteriaFile, Criterion
from hansei.errors import UsageError
from hansei.tools.evaluation.checks import checked_criterion
from hansei.tools.langfuse.untrusted import one_line
from hansei.tools.playbook.quality import is_lower_better
from hansei.tools.report.files import write_texts

if TYPE_CHECKING:
    from hansei.tools.langfuse.api import Api

NAME = "criteria.yaml"
LARGEST_FILE = 1_000_000
_HEAD = """# What traces are judged by. Edit it as you like, and keep it in git.
# The version follows from the text: another text is another criterion, and its traces are judged anew.
"""
_PAGE = 100


def read_criteria(path: Path) -> list[Criterion]:
    """The criteria in a YAML file.

    Raises:
        UsageError: it cannot be read, or a criterion cannot be judged.
    """
    try:
        text = path.read_bytes()[: LARGEST_FILE + 1].decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror or "").lower() if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"The criteria in “{path}” cannot be read: {reason}.", "Give a YAML file.") from None
    remedy = "See docs/evaluation.md for what it may hold."
    if len(text) > LARGEST_FILE:
        raise UsageError(f"“{path}” is too large for criteria.", remedy)
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        at = f" in line {mark.line + 1}" if mark else ""
        raise UsageError(f"“{path}” is no YAML{at}.", remedy) from None
    try:
        criteria = CriteriaFile.model_validate({"criteria": found} if isinstance(found, list) else found).criteria
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = one_line(".".join(str(part) for part in first["loc"]) or "the file", 100)
        said = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"“{path}” does not fit at {place}: {said}.", remedy) from None
    return [checked_criterion(one) for one in criteria]


def criteria_text(criteria: Sequence[Criterion]) -> str:
    """The criteria as YAML, with their versions."""
    rows = [one.model_dump(mode="json", exclude_defaults=True) | {"version": one.version} for one in criteria]
    return _HEAD + yaml.safe_dump({"criteria": rows}, sort_keys=False, allow_unicode=True, width=100)


def write_criteria(criteria: Sequence[Criterion], folder: Path) -> Path:
    """Writes ``criteria.yaml`` into a folder.

    Raises:
        UsageError: the folder cannot be written.
    """
    return write_texts({NAME: criteria_text(criteria)}, folder)[NAME]


def criteria_of_configs(api: Api) -> tuple[list[Criterion], list[str]]:
    """Judge criteria from the project's score configs, and a line for each config that cannot be judged by.

    A config without a description says too little to judge by. What a true score means is guessed from its name; it
    stands in the file, to be corrected.

    Raises:
        LangfuseFailed: Langfuse does not give them.
    """
    found: dict[str, Criterion] = {}
    left: list[str] = []
    page = 1
    while True:
        answer = api.ask(api.client.score_configs.get, page=page, limit=_PAGE)
        for config in answer.data:
            name = one_line(config.name, 80)
            if config.is_archived:
                continue
            if not (config.description or "").strip():
                left.append(f"The score config {name} has no description, so nothing could be judged by it.")
                continue
            try:
                one = _criterion(config)
            except ValidationError as error:
                said = error.errors(include_url=False, include_input=False)[0]["msg"].removeprefix("Value error, ")
                left.append(f"The score config {name} cannot be judged by: {said}.")
                continue
            found.setdefault(one.name, one)
        if page >= answer.meta.total_pages:
            return list(found.values()), left
        page += 1


def _criterion(config: Any) -> Criterion:
    kind = getattr(config.data_type, "value", str(config.data_type)).lower()
    fields: dict[str, Any] = {}
    if kind == "categorical":
        fields["categories"] = [one_line(category.label, 200) for category in config.categories or ()]
    elif kind == "numeric":
        fields |= {"lowest": config.min_value, "highest": config.max_value}
    return Criterion(
        name=re.sub(r"[^A-Za-z0-9 _.-]+", "_", config.name).strip("_ .-")[:80],
        kind="judge",
        type=kind,
        definition=one_line(config.description, 1_000),
        score=config.name,
        true_means="fail" if is_lower_better(config.name) else "pass",
        config_id=config.id,
        **fields,
    )
