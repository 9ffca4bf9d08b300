"""A curve through points of a profile."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from nestedmlm.inference.profile.curve import make_curve


@pytest.mark.parametrize("at", [[-0.7, 0.0, 0.4], [-0.3, 0.0, 0.9]])
def test_slope_at_the_estimate_is_exact_where_zeta_over_distance_is_a_cubic(at):
    ratio = np.polynomial.Polynomial([1.0, 0.3, -0.2, 0.1])
    zeta = ratio * np.polynomial.Polynomial([0.0, 1.0])
    slopes = [zeta.deriv()(x) if x else np.nan for x in at]  # at the estimate it is 0 / 0
    points = [
        SimpleNamespace(coordinate=x, zeta=zeta(x), slope=s)
        for x, s in zip(at, slopes, strict=True)
    ]
    coordinates = SimpleNamespace(lower=-np.inf, upper=np.inf, to_natural=lambda x: x)
    path = SimpleNamespace(points=points, coordinates=coordinates, centre=1, ends=("open", "open"))
    curve = make_curve("x", 0.0, path, lower=-1.0, upper=1.0)
    assert curve.slope == pytest.approx([slopes[0], 1.0, slopes[2]], rel=1e-12)


def test_a_jump_where_the_profile_stands_is_no_curve():
    """Of a likelihood without a maximum: its points come so near that none goes on."""
    points = [
        SimpleNamespace(coordinate=x, zeta=zeta, slope=1.0)
        for x, zeta in [(-1.0, -1e116), (-1.0, -1.0), (0.0, 0.0), (1.0, 1.0), (1.0, 1e116)]
    ]
    coordinates = SimpleNamespace(lower=-np.inf, upper=np.inf, to_natural=lambda x: x)
    path = SimpleNamespace(
        points=points, coordinates=coordinates, centre=2, ends=("cutoff", "cutoff")
    )
    curve = make_curve("x", 0.0, path, lower=-2.0, upper=2.0)
    assert [curve.limit(z) for z in (-1.0, 1.0)] == pytest.approx([-1.0, 1.0])
    assert np.isnan([curve.limit(z) for z in (-1.9, 1.9)]).all()
