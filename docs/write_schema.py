"""Writes docs/report.schema.json from the report's model: `make schema`."""

from __future__ import annotations

import json
from pathlib import Path

from hansei.contracts import Report

PATH = Path(__file__).with_name("report.schema.json")


def schema() -> str:
    """The JSON Schema of report.json, as text."""
    document = Report.model_json_schema(by_alias=True, mode="serialization")
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PATH.write_text(schema(), encoding="utf-8")
