"""Joint regions of two parameters from their profiles, without further fits."""

from __future__ import annotations

import numpy as np

from nestedmlm._typing import FloatArray

_POINTS = 181  # of a contour


def region_boundary(
    along_first: tuple[FloatArray, FloatArray],
    along_second: tuple[FloatArray, FloatArray],
    radius: float,
) -> tuple[FloatArray, FloatArray]:
    """Boundary of the joint region in the zetas of two parameters.

    Parameters
    ----------
    along_first : tuple of two arrays
        The first profile's own zeta, ascending, and the second parameter's zeta on the way.
    along_second : tuple of two arrays
        The second profile's own zeta, and the first parameter's zeta.
    radius : float
        Square root of the chi-squared quantile with two degrees of freedom.

    Returns
    -------
    zeta_first, zeta_second : arrays
        A closed curve.

    Notes
    -----
    Bates & Watts (1988), *Nonlinear Regression Analysis*, appendix 6: in the coordinates
    ``zeta_1 = r cos(a + d/2)``, ``zeta_2 = r cos(a - d/2)`` the curve touches each profile's trace
    twice, at its extremes in that parameter; the phase d is interpolated between these four places
    by a periodic spline in a. Where a profile ends before `radius` (a standard deviation of
    zero) its last point stands for the rest.
    """
    from scipy.interpolate import CubicSpline

    def phase(own: tuple[FloatArray, FloatArray], at: float) -> float:
        other = float(np.interp(at, *own))
        return float(np.arccos(np.clip(np.sign(at) * other / radius, -1.0, 1.0)))

    first = [phase(along_first, side * radius) for side in (1.0, -1.0)]
    second = [phase(along_second, side * radius) for side in (1.0, -1.0)]
    angle = np.array([-first[0] / 2, second[0] / 2, np.pi - first[1] / 2, np.pi + second[1] / 2])
    d = np.array([first[0], second[0], first[1], second[1]])
    order = np.argsort(angle)
    angle, d = angle[order], d[order]
    apart = np.append(True, np.diff(angle) > 1e-9)
    angle, d = angle[apart], d[apart]
    curve = CubicSpline(np.append(angle, angle[0] + 2 * np.pi), np.append(d, d[0]),
                        bc_type="periodic")  # fmt: skip
    a = np.linspace(0.0, 2 * np.pi, _POINTS)
    between = curve(a)
    return radius * np.cos(a + between / 2), radius * np.cos(a - between / 2)
