"""What every expected failure must look like."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from hansei.errors import HanseiError

Kind = TypeVar("Kind", bound=HanseiError)


def failure_of(action: Callable[[], Any], kind: type[Kind], *secrets: str) -> Kind:
    """Runs `action`, which must fail with exactly `kind`, and returns the error.

    Asserts that message and remedy are one line each, and that none of `secrets` (passwords, values, SQL) can be found
    in what a traceback, a log or a serialiser would show, and that no foreign error travels along.
    """
    with pytest.raises(HanseiError) as caught:
        action()
    error = caught.value
    assert type(error) is kind, f"{type(error).__name__}: {error}"
    for line in (error.message, error.remedy):
        assert line
        assert "\n" not in line
        assert line[-1] in ".;)", line
    assert error.__cause__ is None
    assert error.__context__ is None
    shown = "".join(traceback.format_exception_only(error)) + repr(error) + str(vars(error))
    for secret in secrets:
        assert secret not in shown
    assert isinstance(error, kind)
    return error
