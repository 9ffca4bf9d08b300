"""Late imports: functions that load when they are first asked for."""

from __future__ import annotations

import inspect

import pytest

import nestedmlm as nm
from nestedmlm.late import Late, late_imports, late_name, late_property


def test_a_function_stands_where_its_late_import_stood() -> None:
    class Shape:
        area = Late("tests.ground.test_late", "area")
        doubled = late_property(Late("tests.ground.test_late", "doubled"))
        plain = late_property(lambda self: 7)
        side = 3.0

    assert Shape().doubled == 18.0
    assert Shape.__dict__["doubled"].__doc__ == "Twice the area."
    assert Shape().area(2.0) == 18.0
    assert inspect.isfunction(Shape.__dict__["area"])
    assert Shape.area.__doc__ == "Area of a square."
    assert Shape().plain == 7


def area(shape, factor=1.0):
    """Area of a square."""
    return factor * shape.side**2


def doubled(shape):
    """Twice the area."""
    return 2.0 * area(shape)


def test_late_functions_can_be_called_in_a_module() -> None:
    found = late_imports("os", {"path": "basename join"})
    assert found["basename"](found["join"]("a", "b")) == "b"


def test_names_of_a_package() -> None:
    assert late_name("os", {"join": "os.path"}, "join")("a", "b") == "a/b"
    assert late_name("os", {}, "path").basename("a/b") == "b"
    with pytest.raises(AttributeError, match="'os' has no attribute 'nothing'"):
        late_name("os", {}, "nothing")


def test_every_public_name_is_there_and_says_what_it_is() -> None:
    for name in nm.__all__:
        assert getattr(nm, name) is not None
        assert name in dir(nm)
    assert inspect.signature(nm.LmerFit.bootstrap).parameters["nsim"].default == 500
    with pytest.raises(AttributeError):
        _ = nm.nothing_of_the_kind
