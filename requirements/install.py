"""Prepares .venv for `make`: the locked packages, with their hashes checked, and Hansei itself in editable mode.

    python3 requirements/install.py runtime|development

The standard library only, so that it runs with nothing prepared. A call that finds everything as it should be does
nothing and needs no network: each part leaves a note in .venv of what it was made from.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
SUPPORTED = ((3, 11), (3, 12), (3, 13))
SOURCE_ONLY = "forbiddenfruit"
"""What LangGraph's development server needs and PyPI has no wheel of; it is built with the locked setuptools."""


def digest(*parts: str | bytes) -> str:
    """A key that changes when any of the parts does."""
    key = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        key.update(len(data).to_bytes(8, "big") + data)
    return key.hexdigest()


def call(*command: str | Path) -> None:
    """Runs a command and stops with its exit code when it fails."""
    done = subprocess.run([str(part) for part in command], cwd=ROOT, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def pip(*arguments: str | Path) -> None:
    call(PYTHON, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--quiet", *arguments)


class Note:
    """What a part of .venv was made from, written only once the part is complete."""

    def __init__(self, name: str, key: str) -> None:
        self.path = VENV / f"hansei-{name}.made-from"
        self.key = key

    def holds(self) -> bool:
        return self.path.is_file() and self.path.read_text() == self.key

    def write(self) -> None:
        self.path.write_text(self.key)


def main(kind: str) -> None:
    if sys.version_info[:2] not in SUPPORTED:
        found = ".".join(str(number) for number in sys.version_info[:3])
        print(
            f"Hansei needs Python 3.11, 3.12 or 3.13, and this is {found}. Name one: make PYTHON=python3.12 …",
            file=sys.stderr,
        )
        sys.exit(2)

    interpreter = Note("interpreter", digest(sys.version, sys.base_prefix, str(ROOT)))
    if not (PYTHON.exists() and interpreter.holds()):
        print(f"Setting up {VENV.name} with Python {sys.version.split()[0]} …", file=sys.stderr)
        call(sys.executable, "-m", "venv", "--clear", VENV)
        interpreter.write()

    # What runs comes first for the tests too: it holds the setuptools that builds the one package without a wheel.
    for name in ("runtime",) if kind == "runtime" else ("runtime", "development"):
        lock = ROOT / "requirements" / f"{name}.txt"
        note = Note(name, digest(lock.read_bytes()))
        if not note.holds():
            print(f"Installing the packages of requirements/{lock.name} …", file=sys.stderr)
            wheels = ("--only-binary", ":all:", "--no-binary", SOURCE_ONLY, "--no-build-isolation")
            pip("--require-hashes", *wheels, "--requirement", lock)
            note.write()

    project = Note("project", digest((ROOT / "pyproject.toml").read_bytes()))
    if not project.holds():
        pip("--no-deps", "--no-build-isolation", "--editable", ROOT)
        project.write()


if __name__ == "__main__":
    if sys.argv[1:] not in (["runtime"], ["development"]):
        sys.exit("usage: python3 requirements/install.py runtime|development")
    main(sys.argv[1])
