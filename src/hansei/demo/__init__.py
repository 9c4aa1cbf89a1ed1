"""A simulated company in Langfuse's own tables, with planted problems, traps, and the truth beside the data."""

from hansei.demo.make import Made, make_demo
from hansei.demo.simulate import PROJECT_ID, SEED, TRACES, Simulation
from hansei.demo.tables import SCHEMAS, Schema, create_tables
from hansei.demo.truth import Truth
from hansei.demo.writer import Writer, write

__all__ = [
    "PROJECT_ID", "SCHEMAS", "SEED", "TRACES", "Made", "Schema", "Simulation", "Truth", "Writer", "create_tables",
    "make_demo", "write",
]  # fmt: skip
