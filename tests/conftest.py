"""What all tests share: the marker `long`, and which tests run when nothing is said."""

from __future__ import annotations

import pytest

LONG = "long: takes long and proves what shorter tests prove in part; `make test-long` runs these"


@pytest.fixture(autouse=True)
def no_kept_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers of a model are not kept from one test to the next: a server may get the same port again."""
    monkeypatch.setenv("HANSEI_MODEL_CACHE", "off")


def pytest_configure(config: pytest.Config) -> None:
    """Leaves the long tests out unless -m or a test's own name asks for them."""
    config.addinivalue_line("markers", LONG)
    by_name = any("::" in argument for argument in config.invocation_params.args if isinstance(argument, str))
    if not config.option.markexpr and not by_name:
        config.option.markexpr = "not long"
