"""From a design and a family to the generalized model at its optimum."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from nestedmlm._typing import BoolArray, FloatArray
from nestedmlm.arguments import check_choice, check_count, check_instance
from nestedmlm.callers import PACKAGE
from nestedmlm.design.design import Design
from nestedmlm.errors import ConvergenceWarning, DataError, OptionError
from nestedmlm.families.family import Family
from nestedmlm.likelihood.elimination.speed import held, refit_seconds
from nestedmlm.likelihood.glmm.glmm_model import GlmmModel, make_model
from nestedmlm.likelihood.glmm.glmm_solution import GlmmSolution, glmm_results_of
from nestedmlm.likelihood.glmm.quadrature import make_grid
from nestedmlm.likelihood.glmm.warm_start import WarmStart, cold_start
from nestedmlm.likelihood.plan import theta_of_phi
from nestedmlm.likelihood.threads import blas_threads
from nestedmlm.optimum.certificate import Certificate, min_slope
from nestedmlm.optimum.control import Control
from nestedmlm.optimum.glmm.coefficient_penalty import CoefficientPenalty, resolve_penalties
from nestedmlm.optimum.glmm.glmm_objective import (
    GlmmObjective,
    GlmmObjectiveAt,
    exact_hessian,
)
from nestedmlm.optimum.glmm.glmm_optimum import beside_pole, best_optimum
from nestedmlm.optimum.glmm.separation import (
    growing_terms,
    separated_coefficients,
    separation_message,
)
from nestedmlm.optimum.local_optimum import LocalOptimum
from nestedmlm.optimum.optimize import advice
from nestedmlm.optimum.penalty import Penalty
from nestedmlm.optimum.quadratic import RESOLVED
from nestedmlm.progress import interruptible

COV_METHODS = ("hessian", "conditional")
_VISITS_SHARE = 3  # times the eliminations that a linear model's fit takes
_FLAT_SHARE = 1e-9  # share of the largest curvature below which one is none


@dataclass(frozen=True, kw_only=True, eq=False)  # no slots: cached properties stand in __dict__
class GlmmSolved:
    """A generalized model's solution, and how it was found.

    Attributes
    ----------
    solution : GlmmSolution
        The model at the optimum.
    certificate : Certificate
    separated : tuple of str
        Coefficients that grow without bound; the certificate does not hold then.
    remarks : tuple of str
        That coefficients have no bound, or that other starts led lower and to no optimum.
    nAGQ : int
        Nodes of quadrature; 1: Laplace, 0: fixed effects at the joint mode.
    information : str
        ``"expected"`` or ``"observed"``: of the determinant.
    model : GlmmModel
    here : GlmmObjectiveAt
        The criterion at the optimum, with its derivatives in scaled columns.
    penalty : Penalty or None
        On the covariances.
    coefficient_penalty : CoefficientPenalty or None
    """

    solution: GlmmSolution
    certificate: Certificate
    separated: tuple[str, ...]
    remarks: tuple[str, ...]
    nAGQ: int
    information: str
    model: GlmmModel
    here: GlmmObjectiveAt
    penalty: Penalty | None
    coefficient_penalty: CoefficientPenalty | None

    @property
    def penalties(self) -> Any:
        """Penalties that were used: none, one, or a pair, as `solve_glmm` takes them."""
        both = (self.penalty, self.coefficient_penalty)
        used = tuple(one for one in both if one is not None)
        return None if not used else used[0] if len(used) == 1 else used

    @cached_property
    def hessian(self) -> FloatArray:
        """Second derivatives of -2 log-likelihood in (phi, gamma, log dispersion).

        Phi are the covariance parameters of `Plan`, gamma the fixed effects in orthonormal
        columns: ``gamma = R_x beta``. From central differences of the exact gradient.

        Raises
        ------
        DataError
            If the likelihood does not exist beside the optimum.
        """
        try:
            with np.errstate(all="ignore"):
                return exact_hessian(self.here)
        except (ArithmeticError, np.linalg.LinAlgError) as error:
            raise DataError(
                f"the likelihood cannot be computed beside the optimum ({error}), so its curvature "
                'is not known there; cov_params(method="conditional") gives standard errors given '
                "the covariances"
            ) from error

    @cached_property
    def covariance(self) -> FloatArray:
        """Half the covariance of (phi, gamma, log dispersion): the inverse of `hessian`.

        Parameters on their bound stay there: zero. So are covariances without curvature.
        """
        lower = self.here._objective.lower
        free = np.ones(len(self.hessian), dtype=bool)
        if lower is not None:
            free = self.here.point > lower
        out = np.zeros_like(self.hessian)
        effects = np.zeros(len(free), dtype=bool)
        effects[self.model.plan.n_theta : self.model.plan.n_theta + self.solution.stats.p] = True
        H = self.hessian[np.ix_(free, free)]
        out[np.ix_(free, free)] = inverse_of_curvature(H, effects[free])
        return out

    def cov_params(self, method: str = "hessian") -> FloatArray:
        """Covariance matrix of the fixed effects.

        Parameters
        ----------
        method : {"hessian", "conditional"}
            From the joint second derivatives in all parameters, or given the covariances (lme4's
            ``vcov(use.hessian=)``). For ``nAGQ=0`` both are conditional, as in lme4.

        Returns
        -------
        (p, p) array
        """
        check_choice(method, "method", COV_METHODS)
        if method == "conditional" or self.nAGQ == 0:
            return self.solution.vcov
        nt, p = self.model.plan.n_theta, self.solution.stats.p
        Ri = np.linalg.inv(self.solution.stats.R_x)
        return 2.0 * (Ri @ self.covariance[nt : nt + p, nt : nt + p] @ Ri.T)


def inverse_of_curvature(H: FloatArray, effects: BoolArray) -> FloatArray:
    """Inverse of a Hessian where some directions have no curvature.

    Those of covariances count as known: at a zero variance the data say nothing of correlations.
    Those of fixed effects (separation) get the largest variance that can be computed.

    Parameters
    ----------
    H : (n, n) array
    effects : (n,) array
        Which parameters are fixed effects.

    Returns
    -------
    (n, n) array
    """
    values, vectors = np.linalg.eigh(H)
    least = _FLAT_SHARE * max(float(values[-1]), 1e-300)
    share = (vectors[effects] ** 2).sum(axis=0)  # of each direction that is fixed effects
    kept = (values > least) | (share > 0.5)
    return (vectors[:, kept] / np.maximum(values[kept], least)) @ vectors[:, kept].T


def solve_glmm(
    design: Design,
    family: Family,
    *,
    nAGQ: int = 1,
    information: str = "auto",
    start: object = None,
    control: Control | None = None,
    penalty: object = None,
) -> GlmmSolved:
    """Find the maximum of a generalized model's likelihood, and the solution there.

    Parameters
    ----------
    design : Design
        With responses and weights of the family's kind.
    family : Family
    nAGQ : int
        0: fixed effects at the joint mode of all effects; 1: the Laplace approximation; more:
        adaptive quadrature with as many nodes in each direction.
    information : {"auto", "expected", "observed"}
        Of log|M|. ``"auto"``: expected without a free dispersion (as glmer), else observed (as
        glmmTMB). A canonical link makes no difference.
    start : array or mapping, optional
        Theta, or a mapping with any of ``theta``, ``beta`` and ``dispersion``.
    control : Control, optional
    penalty : {"wishart", "normal"}, Penalty, CoefficientPenalty or a tuple of two, optional
        On the covariances; on the fixed effects.

    Returns
    -------
    GlmmSolved

    Raises
    ------
    OptionError
        For options that are not known or do not fit the design.
    DataError
        If the likelihood cannot be computed at any start.
    """
    check_instance(design, Design, "design")
    control = Control() if control is None else check_instance(control, Control, "control")
    began = time.perf_counter()
    if control.optimizer != "newton":
        raise OptionError(
            f"optimizer={control.optimizer!r} is for linear models: generalized ones have newton"
        )
    nAGQ = check_count(nAGQ, "nAGQ", least=0)
    model = make_model(design, family, information=information)
    prior, on_beta = resolve_penalties(penalty, model.plan)
    if on_beta is not None and nAGQ == 0:
        raise OptionError(f"penalty={on_beta.name!r} is not for nAGQ=0; use nAGQ=1")
    objective = _objective(design, model, nAGQ, prior, on_beta)
    seconds = refit_seconds(objective.stats, _VISITS_SHARE)
    with held(seconds), blas_threads(objective.stats), interruptible(), np.errstate(all="ignore"):
        best, tried = best_optimum(objective, start, control)
        here = best.here
        assert isinstance(here, GlmmObjectiveAt)
        at = here.evaluation
        objective.warm[:] = [WarmStart.of(at.approximation)]
        solution = glmm_results_of(
            design, model, at.phi, at.T, at.approximation, at.dispersion, at.criterion
        )
        terms = at.approximation.modes.rows
        separated = separated_coefficients(design, model, solution.eta, terms.w, solution.beta)
        certificate = _certificate(best, tried, control, time.perf_counter() - began)
    remarks: tuple[str, ...] = ()
    if separated:
        remarks = (separation_message(separated),)
        certificate = replace(certificate, holds=False, message=remarks[0])
    elif said := _said_of_poles(best, tried):
        remarks = (said,) if certificate.holds else ()
        certificate = replace(certificate, message=said)
    elif not certificate.holds and (growing := growing_terms(design, family, solution.T)):
        certificate = replace(certificate, message="; ".join(growing))
    return GlmmSolved(
        solution=solution,
        certificate=certificate,
        separated=separated,
        remarks=remarks,
        nAGQ=nAGQ,
        information="observed" if model.observed else "expected",
        model=model,
        here=objective.around(at),  # afresh: moves that were looked at do not pickle
        penalty=prior,
        coefficient_penalty=on_beta,
    )


def _objective(
    design: Design,
    model: GlmmModel,
    nAGQ: int,
    penalty: Penalty | None,
    on_beta: CoefficientPenalty | None,
) -> GlmmObjective:
    empty = model.products.empty
    return GlmmObjective(
        plan=model.plan,
        stats=empty,
        REML=False,
        penalty=penalty,
        model=model,
        nAGQ=nAGQ,
        precision=None if on_beta is None else on_beta.precision(design, empty.R_x),
        grid=make_grid(model, nAGQ) if nAGQ > 1 else None,
        warm=[cold_start(np.zeros(design.p), empty.q)],
    )


def _said_of_poles(best: LocalOptimum, tried: list[LocalOptimum]) -> str:
    """Say that the lowest point is beside a pole of the approximation; empty if it is not."""
    lowest = min(tried, key=lambda found: found.here.value)
    fall = best.here.value - lowest.here.value
    if lowest.holds or best.exhausted or not beside_pole(lowest):
        return ""
    if best.holds and fall <= RESOLVED:
        return ""
    begun = (
        f"local optimum certified; other starts lead {fall:.3g} deviance units lower, to none"
        if best.holds
        else "the optimum could not be certified"
    )
    return (
        f"{begun}: where the observed information of the random effects loses its definiteness, "
        "the approximation falls without bound and is not the likelihood; compare "
        'information="expected", which has a bound'
    )


def solved_again(
    found: GlmmSolved,
    design: Design,
    *,
    theta: FloatArray,
    beta: FloatArray,
    dispersion: float | None,
) -> GlmmSolved:
    """The same model's optimum from another start.

    Parameters
    ----------
    found : GlmmSolved
        The model, and how it was fitted.
    design : Design
    theta, beta : arrays
        Where to start.
    dispersion : float or None

    Returns
    -------
    GlmmSolved
    """
    start: dict[str, object] = {"theta": theta, "beta": beta, "dispersion": dispersion}
    return solve_glmm(
        design,
        found.model.family,
        nAGQ=found.nAGQ,
        information=found.information,
        start=start,
        control=found.certificate.control,
        penalty=found.penalties,
    )


def warn_uncertified_glmm(found: GlmmSolved) -> tuple[str, ...]:
    """Warn of an optimum that is not certified; return what was said."""
    if found.certificate.holds:
        return ()
    warnings.warn(found.certificate.message, ConvergenceWarning, skip_file_prefixes=PACKAGE)
    return (found.certificate.message,)


def _certificate(
    best: LocalOptimum, tried: list[LocalOptimum], control: Control, seconds: float
) -> Certificate:
    here, log = best.here, best.log
    plan, nt = here.objective.plan, here.objective.plan.n_theta
    return Certificate(
        holds=best.holds,
        gradient=float(np.max(np.abs(here.free_gradient), initial=0.0)),
        predicted_decrease=best.promised,
        min_eigenvalue=min_slope(here.evaluation, plan),
        escape_gain=here.escape_gain,
        evaluations=sum(found.log.evaluations for found in tried),
        seconds=seconds,
        message="local optimum certified" if best.holds else advice(best.exhausted),
        control=control,
        start=tuple(theta_of_phi(best.start[:nt], plan, here.objective.stats).tolist()),
        starts=len(tried),
        path=tuple(log.path),
        route=", ".join(log.routes),
        escapes=log.escapes,
        snaps=log.snaps,
    )
