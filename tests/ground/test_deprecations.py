"""`deprecated`: the warning names the caller's line and what to write instead."""

from __future__ import annotations

import inspect

import pytest

from nestedmlm.deprecations import deprecated, renamed
from nestedmlm.errors import NestedMLMDeprecationWarning, RenamedError


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


class Fit:
    __getattr__ = renamed({"old": "fit.new"})

    @property
    def broken(self):
        return self.design

    new = 1


def test_renamed_name_says_the_new_one():
    with pytest.raises(RenamedError, match=r"^Fit\.old is gone: write fit\.new$") as caught:
        Fit().old  # noqa: B018
    assert isinstance(caught.value, AttributeError)
    assert Fit().new == 1
    assert not hasattr(Fit(), "old")


def test_other_errors_are_those_of_python():
    with pytest.raises(AttributeError, match="'Fit' object has no attribute 'design'"):
        Fit().broken  # noqa: B018
    with pytest.raises(AttributeError, match="'Fit' object has no attribute 'other'"):
        Fit().other  # noqa: B018
