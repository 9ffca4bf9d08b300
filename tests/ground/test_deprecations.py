"""`deprecated`: the warning names the caller's line and what to write instead."""

from __future__ import annotations

import inspect

import pytest

from nestedmlm.deprecations import deprecated
from nestedmlm.errors import NestedMLMDeprecationWarning


@deprecated("nm.old", since="0.2", instead="nm.new", removed_in="0.3")
def old(x: int) -> int:
    """Double."""
    return 2 * x


def test_it_says_what_to_write_and_still_works():
    with pytest.warns(NestedMLMDeprecationWarning, match=r"nm\.old .* 0\.2 .* 0\.3: write nm\.new"):
        assert old(2) == 4


def test_it_names_the_callers_line():
    with pytest.warns(FutureWarning) as caught:
        old(1)
    assert caught[0].filename == __file__


def test_help_shows_the_function_itself():
    assert inspect.getdoc(old) == "Double."
    assert list(inspect.signature(old).parameters) == ["x"]
