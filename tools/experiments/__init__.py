"""Experiments: runs over a dataset in Langfuse, read back and compared item by item."""

from hansei.tools.experiments.compare import Comparison, Criterion, compare_runs
from hansei.tools.experiments.runs import Run, read_run

__all__ = ["Comparison", "Criterion", "Run", "compare_runs", "read_run"]
