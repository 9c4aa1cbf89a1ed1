"""The embedded engine: directories, other processes, and what it must not do to the process that hosts it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.failures import failure_of

from hansei.errors import ConnectionFailed
from hansei.tools.clickhouse import close_readers, open_reader, open_writer

NOBODY = 65534
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def nothing_stays_open() -> Iterator[None]:
    yield
    close_readers()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A closed ClickHouse directory with one row."""
    path = tmp_path / "clickhouse"
    writer = open_writer(f"chdb://{path}")
    writer.command("CREATE TABLE days (at DateTime64(3), id UInt8) ENGINE = MergeTree ORDER BY (toDate(at), id)")
    writer.command("INSERT INTO days VALUES ('2026-11-20 22:00:00', 1)")
    writer.close()
    return path


def python(script: str, *arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


FAIL_TO_OPEN = """
import sys
from tests.support.failures import failure_of
from hansei.errors import ConnectionFailed
from hansei.tools.clickhouse import open_reader, open_writer
open_ = open_writer if sys.argv[2] == "write" else open_reader
print(failure_of(lambda: open_(sys.argv[1]), ConnectionFailed))
"""


HOLD = """
import sys
from hansei.tools.clickhouse import open_reader
reader = open_reader(sys.argv[1])
print(1, flush=True)
sys.stdin.read()
"""


@contextmanager
def held_by_another_process(path: Path) -> Iterator[int]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, f"chdb://{path}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "1\n"
        yield process.pid
        process.stdin.close()


@pytest.mark.parametrize("mode", ["read", "write"])
def test_a_directory_in_use_names_the_other_process(
    directory: Path, mode: str, capfd: pytest.CaptureFixture[str]
) -> None:
    open_ = open_writer if mode == "write" else open_reader
    with held_by_another_process(directory) as pid:
        error = failure_of(lambda: open_(f"chdb://{directory}"), ConnectionFailed)

    assert f"in use by process {pid}" in error.message
    assert "one process at a time" in error.remedy
    assert capfd.readouterr() == ("", "")
    reader = open_reader(f"chdb://{directory}")
    assert reader.query("SELECT count() FROM days").rows == [[1]]
    reader.close()


def test_a_directory_is_free_again_after_a_process_was_killed(directory: Path) -> None:
    with held_by_another_process(directory) as pid:
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        reader = open_reader(f"chdb://{directory}")

    assert reader.query("SELECT count() FROM days").rows == [[1]]
    reader.close()


def test_a_missing_directory_is_not_made_by_reading(tmp_path: Path) -> None:
    error = failure_of(lambda: open_reader(f"chdb://{tmp_path}/missing"), ConnectionFailed)

    assert "does not exist" in error.message
    assert "hansei demo" in error.remedy
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    for open_ in (open_reader, open_writer):
        error = failure_of(lambda open_=open_: open_(f"chdb://{tmp_path}/file"), ConnectionFailed)  # type: ignore[misc]
        assert "directory" in error.message


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_text("")

    error = failure_of(lambda: open_reader(f"chdb://{tmp_path}"), ConnectionFailed)

    assert "holds no ClickHouse data" in error.message
    assert [file.name for file in tmp_path.iterdir()] == ["photo.jpg"]


@pytest.mark.parametrize("mode", ["read", "write"])
def test_a_directory_that_may_not_be_written(directory: Path, mode: str) -> None:
    script = FAIL_TO_OPEN
    with tempfile.TemporaryDirectory() as folder:
        locked = Path(shutil.copytree(directory, Path(folder, "locked")))
        if os.geteuid() == 0:  # root may write everywhere: become somebody else once all is imported
            Path(folder).chmod(0o755)
            change = f"import os, clickhouse_connect; os.setresuid({NOBODY}, {NOBODY}, {NOBODY})"
            script = script.replace("open_ =", f"{change}\nopen_ =")
        locked.chmod(0o555)
        done = python(script, f"chdb://{locked}", mode)
        locked.chmod(0o755)

    assert (done.stderr, done.returncode) == ("", 0)
    assert "written" in done.stdout


def test_a_damaged_directory(directory: Path) -> None:
    for table in directory.glob("store/*/*/days.sql"):
        table.write_text("hunter2")

    done = python(FAIL_TO_OPEN, f"chdb://{directory}", "read")

    assert done.returncode == 0
    assert "cannot be opened" in done.stdout
    assert "hunter2" not in done.stdout


def test_a_second_directory_in_one_process(directory: Path, tmp_path: Path) -> None:
    reader = open_reader(f"chdb://{directory}")

    error = failure_of(lambda: open_writer(f"chdb://{tmp_path}/second"), ConnectionFailed)
    assert "another embedded ClickHouse" in error.message
    assert "close_readers" in error.remedy

    reader.close()
    open_writer(f"chdb://{tmp_path}/second").close()


def test_memory_needs_no_directory() -> None:
    writer = open_writer("chdb://?database=lf")
    writer.command("CREATE TABLE t (x UInt8) ENGINE = Memory")
    reader = open_reader("chdb://?database=lf")

    assert reader.query("SELECT count() FROM t").rows == [[0]]
    reader.close()
    writer.close()


SURROUNDINGS = """
import os, sys, time
before = (os.environ.get("TZ"), os.getcwd(), time.strftime("%H %Z", time.localtime(0)))
from hansei.tools.clickhouse import open_reader
reader = open_reader(sys.argv[1])
print(*reader.query("SELECT timezone(), toHour(at), count() FROM days WHERE at >= '2026-11-20' AND at < '2026-11-21' "
                    "GROUP BY ALL").rows[0])
assert before == (os.environ.get("TZ"), os.getcwd(), time.strftime("%H %Z", time.localtime(0)))
"""


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York", "UTC"])
def test_the_engine_runs_in_utc_wherever_the_process_runs(directory: Path, zone: str) -> None:
    done = python(SURROUNDINGS, f"chdb://{directory}", TZ=zone)

    assert (done.stdout, done.stderr, done.returncode) == ("UTC 22 1\n", "", 0)


def test_an_engine_that_someone_started_in_another_zone_is_refused(directory: Path) -> None:
    done = python("import chdb\n" + FAIL_TO_OPEN, f"chdb://{directory}", "read", TZ="Asia/Tokyo")

    assert (done.stderr, done.returncode) == ("", 0)
    assert "Asia/Tokyo, not in UTC" in done.stdout


def test_a_config_file_in_the_working_directory_is_not_loaded(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "config.xml").write_text("<clickhouse><this is broken")

    done = python(SURROUNDINGS, f"chdb://{directory}", cwd=tmp_path)

    assert (done.stdout, done.stderr, done.returncode) == ("UTC 22 1\n", "", 0)


def test_a_process_ends_although_nothing_was_closed(directory: Path) -> None:
    script = """
import sys
from hansei.context import Context
from hansei.tools.clickhouse import open_reader, open_writer, shared_reader
kept = [open_writer(sys.argv[1]), open_reader(sys.argv[1]), shared_reader(Context(clickhouse_url=sys.argv[1]))]
"""
    done = python(script, f"chdb://{directory}")

    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_importing_the_package_imports_no_engine() -> None:
    script = "import sys, hansei.tools.clickhouse; print(*{'chdb', 'clickhouse_connect', 'urllib3'} & set(sys.modules))"

    assert python(script).stdout == "\n"
