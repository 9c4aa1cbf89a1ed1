"""A real model that is hopeless: the whole graph against a llama.cpp server ends in a valid report."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.small_model import compared
from tests.support.small_model import serving, set_up, why_not


@pytest.mark.long
def test_a_hopeless_model_ends_in_a_valid_report_with_the_rules_findings(tmp_path: Path) -> None:
    if reason := why_not():
        pytest.skip(reason)
    set_up()
    with serving() as url:
        found = compared(tmp_path, url, traces=1_000, calls=12)
    assert found["same"], found
    assert found["usage"]
    assert found["tokens"] > 0
