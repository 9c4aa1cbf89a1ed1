"""The wheel, installed beside a host application that has its own `tools` and `graph`."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

HOST = """
import graph, tools                       # the host's own
import hansei.graph, hansei.nodes, hansei.tools

assert graph.OWNER == tools.OWNER == "host"
from hansei.contracts import Request
from hansei.tools.report.formats import format_value
print(tools.shout(Request(project_id="p").window), format_value(0.18, "ratio"), hansei.__file__)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built offline from a copy of what git tracks or would track."""
    source = tmp_path_factory.mktemp("source")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        file, copy = ROOT / name, source / name
        if file.is_symlink():
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.symlink_to(os.readlink(file))
        elif file.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    made = tmp_path_factory.mktemp("wheel")
    built = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(made), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (file,) = made.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def host(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel and a host application. Returns its Python.

    What Hansei depends on is borrowed from the environment of the tests, behind the fresh one, so that no network is
    needed; Hansei itself is not, since its editable install only takes effect in its own site-packages.
    """
    folder = tmp_path_factory.mktemp("host")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    python = folder / "venv" / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    (site_packages(python) / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    app = folder / "app"
    for name in ("graph", "tools"):
        (app / name).mkdir(parents=True)
        text = 'OWNER = "host"\ndef shout(text):\n    return text.upper()\n'
        (app / name / "__init__.py").write_text(text, encoding="utf-8")
    (app / "main.py").write_text(HOST, encoding="utf-8")
    return python


def site_packages(python: Path) -> Path:
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return Path(subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip())


def test_the_wheel_holds_exactly_what_the_packages_hold(wheel: Path) -> None:
    homes = {"hansei": ROOT / "src" / "hansei"} | {f"hansei/{top}": ROOT / top for top in ("graph", "nodes", "tools")}
    on_disk = {
        f"{prefix}/{file.relative_to(folder).as_posix()}"
        for prefix, folder in homes.items()
        for file in folder.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
        metadata = [name for name in archive.namelist() if name.endswith("METADATA")]
        text = archive.read(metadata[0]).decode()
    assert inside == on_disk
    assert "hansei/py.typed" in inside
    assert "License-Expression: Apache-2.0" in text


def test_a_host_with_its_own_tools_and_graph_uses_both(host: Path) -> None:
    main = host.parents[2] / "app" / "main.py"
    done = subprocess.run([str(host), str(main)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loud, percent, place = done.stdout.split(maxsplit=1)[0], "18 %", done.stdout.split()[-1]
    assert loud == "7D"
    assert percent in done.stdout
    assert Path(place).is_relative_to(host.parents[1])


def test_no_top_level_name_but_hansei_is_installed(host: Path) -> None:
    place = site_packages(host)
    assert (place / "hansei" / "py.typed").is_file()
    assert {"graph", "nodes", "tools", "tests", "docs", "src"}.isdisjoint(path.name for path in place.iterdir())
    record = next(place.glob("hansei-*.dist-info")) / "top_level.txt"
    assert record.read_text(encoding="utf-8").split() == ["hansei"]


def test_the_installed_command_answers(host: Path) -> None:
    done = subprocess.run([str(host.with_name("hansei")), "--version"], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("hansei "), done.stderr
