"""The names that others rely on: they may be added to, never renamed or removed."""

from __future__ import annotations

import importlib.util
import inspect
import subprocess
import sys
from pathlib import Path

import hansei
from hansei import cli, contracts, errors
from hansei.cli.app import app

ROOT = Path(__file__).resolve().parents[2]

PUBLIC = {
    "ConnectionFailed", "Context", "Finding", "HanseiError", "Limits", "NoData", "PermissionMissing", "QueryFailed",
    "Report", "Request", "SchemaNotSupported", "UsageError", "__version__", "as_tool",
    "build_graph",
}  # fmt: skip


def test_from_hansei_import_gives_the_published_names() -> None:
    assert set(hansei.__all__) >= PUBLIC
    assert set(dir(hansei)) >= PUBLIC
    assert hansei.Context.__module__ == "hansei.context"
    assert hansei.Report is contracts.Report
    assert hansei.NoData is errors.NoData


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    assert not hasattr(hansei, "no_such_name")


def test_importing_hansei_loads_nothing_heavy() -> None:
    heavy = ("chdb", "clickhouse_connect", "langchain_core", "langfuse", "langgraph", "numpy", "pydantic", "scipy")
    code = f"import sys, hansei, hansei.cli; print(*sorted(set(sys.modules) & set({heavy!r})))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


def test_every_expected_failure_is_a_hansei_error_and_a_builtin() -> None:
    builtin = {
        errors.UsageError: ValueError,
        errors.ConnectionFailed: ConnectionError,
        errors.PermissionMissing: PermissionError,
        errors.SchemaNotSupported: LookupError,
        errors.NoData: LookupError,
        errors.QueryFailed: RuntimeError,
    }
    for error, base in builtin.items():
        assert issubclass(error, errors.HanseiError)
        assert issubclass(error, base)


def test_the_command_line_has_the_published_commands_and_options() -> None:
    options = {
        "demo": {"out", "traces", "seed", "schema"},
        "doctor": {"clickhouse", "project", "json"},
        "analyze": {
            "clickhouse", "project", "window", "baseline", "until", "question", "environment", "language", "out",
            "no_llm", "fail_on", "json", "projects", "parallel", "again",
        },
        "verify": {"report", "clickhouse"},
        "chat": {"report", "clickhouse", "model", "no_llm"},
    }  # fmt: skip
    commands = {command.callback.__name__: command.callback for command in app.registered_commands if command.callback}
    for name, wanted in options.items():
        assert set(inspect.signature(commands[name]).parameters) >= wanted
    assert callable(cli.main)


def test_the_published_schema_is_the_models() -> None:
    path = ROOT / "docs" / "write_schema.py"
    spec = importlib.util.spec_from_file_location("write_schema", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    written = path.with_name("report.schema.json").read_text(encoding="utf-8")
    assert written == module.schema(), "the report's model changed: run `make schema`"
