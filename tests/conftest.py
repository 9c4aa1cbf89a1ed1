"""What all tests share: the marker `long`, and which tests run when nothing is said."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

LONG = "long: takes long and proves what shorter tests prove in part; `make test-long` runs these"


@pytest.fixture(autouse=True)
def no_kept_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers of a model are not kept from one test to the next: a server may get the same port again."""
    monkeypatch.setenv("HANSEI_MODEL_CACHE", "off")


@pytest.fixture(autouse=True, scope="session")
def state_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Journals of what graphs send are kept apart from those of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture
def quick_model(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pauses before a model is asked again are as in life, only shorter; the next test begins without clients."""
    from hansei.tools.language_model import calling, close_models

    monkeypatch.setattr(calling, "FIRST_PAUSE", 0.01)
    yield
    close_models()


def pytest_collection_finish() -> None:
    """What is loaded and collected stays: looking through it again and again took a tenth of the processor's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def pytest_configure(config: pytest.Config) -> None:
    """Leaves the long tests out unless -m or a test's own name asks for them."""
    config.addinivalue_line("markers", LONG)
    by_name = any("::" in argument for argument in config.invocation_params.args if isinstance(argument, str))
    if not config.option.markexpr and not by_name:
        config.option.markexpr = "not long"
