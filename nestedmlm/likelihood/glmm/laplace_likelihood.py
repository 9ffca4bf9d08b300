"""The Laplace approximation as a function of the parameters, in compiled loops where they pay.

Who asks for it again and again (a descent, a sampler) is near the point it asked for before: each
search for modes starts from the last.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.likelihood.elimination.speed import Speed, speed
from nestedmlm.likelihood.glmm.fused_laplace import (
    applies,
    compiled_laplace,
    first_order,
    gradients_on_both_sides,
)
from nestedmlm.likelihood.glmm.glmm_model import GlmmModel
from nestedmlm.likelihood.glmm.laplace import Approximation, Slopes, laplace, laplace_slopes
from nestedmlm.likelihood.glmm.modes import find_modes, from_modes
from nestedmlm.statistics.parts import twice_products


def in_loops(model: GlmmModel) -> bool:
    """Whether compiled loops evaluate the approximation and its derivatives."""
    return speed(model.products.empty) == Speed.DESCENT and applies(model)


def laplace_with_slopes(
    model: GlmmModel,
    T: FloatArray,
    gamma: FloatArray,
    dispersion: float,
    B: FloatArray | None,
    *,
    joint: bool = False,
    effects: bool = True,
) -> tuple[Approximation, Slopes]:
    """The approximation and its exact derivatives, by the quicker of two routes.

    Parameters
    ----------
    model, T, gamma, dispersion, B, joint
        As of `nestedmlm.likelihood.glmm.modes.find_modes`.
    effects : bool
        As of `nestedmlm.likelihood.glmm.laplace.laplace`.

    Raises
    ------
    numpy.linalg.LinAlgError
        If there is none.
    """
    if not joint and in_loops(model):
        none, run = np.zeros(model.parts[-1].rows.stop), compiled_laplace()
        return from_modes(
            lambda start: first_order(
                run, model, T, gamma, dispersion, none if start is None else start, effects=effects
            ),
            B,
        )
    modes = find_modes(model, T, gamma, dispersion, B=B, joint=joint)
    found = laplace(model, T, modes, effects=effects)
    return found, laplace_slopes(model, T, found, dispersion, joint=joint)


def laplace_slopes_on_both_sides(
    model: GlmmModel, T: FloatArray, gamma: FloatArray, B: FloatArray, near: FloatArray
) -> tuple[FloatArray, FloatArray] | None:
    """Derivatives at pairs of points without what else an evaluation makes; None if loops do not.

    Parameters
    ----------
    model, T, gamma, B, near
        As of `nestedmlm.likelihood.glmm.fused_laplace.gradients_on_both_sides`: the family has no
        dispersion.
    """
    if not in_loops(model):
        return None
    return gradients_on_both_sides(compiled_laplace(), model, T, gamma, B, near)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LaplaceLikelihood:
    """The Laplace approximation of a model at flat factors, fixed effects and dispersion.

    Attributes
    ----------
    model : GlmmModel
    warm : list
        B of the last modes, if any.
    """

    model: GlmmModel
    warm: list[FloatArray] = field(default_factory=list)

    def value(self, T: FloatArray, gamma: FloatArray, dispersion: float) -> Approximation:
        """The approximation at parameters.

        Raises
        ------
        numpy.linalg.LinAlgError
            If there is none.
        """
        modes = find_modes(self.model, T, gamma, dispersion, B=self._start)
        found = laplace(self.model, T, modes)
        self.warm[:] = [modes.B]
        return found

    def slopes(
        self, T: FloatArray, gamma: FloatArray, dispersion: float
    ) -> tuple[Approximation, Slopes]:
        """The approximation and its exact derivatives.

        Raises
        ------
        numpy.linalg.LinAlgError
            If there is none.
        """
        found, slopes = laplace_with_slopes(self.model, T, gamma, dispersion, self._start)
        self.warm[:] = [found.modes.B]
        return found, slopes

    def log_likelihood(
        self, T: FloatArray, gamma: FloatArray, dispersion: float
    ) -> tuple[float, FloatArray, FloatArray, float]:
        """The approximate log-likelihood; its gradient in T, gamma and the log dispersion.

        Minus infinity, with zeros, where there is none.
        """
        try:
            with np.errstate(all="ignore"):
                found, own = self.slopes(T, gamma, dispersion)
        except (np.linalg.LinAlgError, ArithmeticError):
            return -np.inf, np.zeros_like(T), np.zeros_like(gamma), 0.0
        of_T = twice_products(own.M, T, self.model.parts)
        return -0.5 * found.value, -0.5 * of_T, -0.5 * own.gamma, -0.5 * own.log_dispersion

    @property
    def _start(self) -> FloatArray | None:
        return self.warm[0] if self.warm else None
