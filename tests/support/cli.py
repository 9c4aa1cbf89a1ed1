"""Calling `hansei`: in a process of its own, as a user does, or here, when a process would prove nothing more."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

from hansei.cli.app import run
from hansei.tools.clickhouse import close_readers

_OURS = ("HANSEI_", "LANGFUSE_", "LANGSMITH_", "LANGCHAIN_", "OTEL_", "OPENAI_")
"""How the names of settings begin that must not reach a test from the desk of whoever runs it."""

Done = subprocess.CompletedProcess[str]
"""Exit code, stdout and stderr."""


def clean_environment(**settings: str) -> dict[str, str]:
    """The environment without settings of Hansei, with those given. The tests' servers are on this machine."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)} | {
        "no_proxy": "*",
        **settings,
    }


def hansei(folder: Path, *arguments: str, **settings: str) -> Done:
    """Runs the command in a process of its own, with its output piped."""
    command = [sys.executable, "-m", "hansei", *arguments]
    environment = clean_environment(**settings)
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def hansei_here(folder: Path, *arguments: str, **settings: str) -> Done:
    """Runs the command in this process, which has the code loaded already; the rest is as with `hansei`.

    Readers are closed afterwards, so that other processes can open the embedded ClickHouse.
    """
    out, err = io.StringIO(), io.StringIO()
    environment = clean_environment(**settings)
    # What a command reads from a .env file is undone as well.
    with chdir(folder), patch.dict(os.environ, environment, clear=True), redirect_stdout(out), redirect_stderr(err):
        try:
            code = run(arguments)
        finally:
            close_readers()
    return Done(list(arguments), code, out.getvalue(), err.getvalue())
