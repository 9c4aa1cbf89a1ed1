"""Both of Langfuse's schemas, where each costs a whole analysis: the short suite takes one, the long tests the other.

That both give the same report is what integration/test_schema_parity.py proves in the short suite.
"""

from __future__ import annotations

from typing import Any

import pytest

from hansei.demo.tables import SCHEMAS, Schema


def both(short: Schema) -> list[Any]:
    """The parameters of a test or a fixture; only `short` is in the short suite."""
    return [schema if schema == short else pytest.param(schema, marks=pytest.mark.long) for schema in SCHEMAS]
