"""From a finding to tests: its failing traces and passing ones like them, as a pytest file or as a Langfuse dataset."""

from hansei.tools.cases.collect import Case, collect_cases, read_cases
from hansei.tools.cases.items import dataset_writes
from hansei.tools.cases.pytest_file import pytest_text

__all__ = ["Case", "collect_cases", "dataset_writes", "pytest_text", "read_cases"]
