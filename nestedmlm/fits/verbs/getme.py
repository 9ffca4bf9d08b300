"""Components of a fit under lme4's ``getME`` names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from scipy.linalg import solve_triangular

from nestedmlm._typing import FloatArray
from nestedmlm.design.matrices.grouping import refuse_related
from nestedmlm.design.matrices.zmatrix import z_matrix
from nestedmlm.errors import NotDefinedError, OptionError
from nestedmlm.fits.plain_only import refuse_residuals
from nestedmlm.inference.rows.joint_covariance import MOST_EFFECTS, relative_factor
from nestedmlm.likelihood.solution import results_at

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit


# sums that take the residuals' covariance for the identity
_OF_PLAIN_RESIDUALS = frozenset("u devcomp A L RZX devfun ALL".split())


def getme(fit: LmerFit, name: str | Sequence[str]) -> Any:
    """Return a component of the fit by lme4's name, such as ``"X"``, ``"Zt"`` or ``"theta"``.

    Parameters
    ----------
    name : str, or sequence of str
        lme4's: ``"X"``, ``"y"``, ``"Z"``, ``"Zt"``, ``"Lambda"``, ``"theta"``, ``"beta"``, ``"b"``,
        ``"u"``, ``"L"``, ``"RX"``, …; the error for any other lists all. Several names, or
        ``"ALL"``, give a dictionary. ``"L"`` and ``"RZX"`` are dense, not permuted.

    Raises
    ------
    OptionError
        For a name that is not known; the message lists those that are.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> getme(fit, "Zt").shape
    (6, 30)
    """
    table = components(fit)
    for each in {name} if isinstance(name, str) else set(name):
        if each in _OF_PLAIN_RESIDUALS:
            refuse_residuals(fit, f"getME {each!r}")
    if isinstance(name, str) and name != "ALL":
        return _component(table, name)
    return {each: _component(table, each) for each in (table if name == "ALL" else name)}


def _component(table: Mapping[str, Callable[[], Any]], name: object) -> Any:
    if not isinstance(name, str) or name not in table:
        raise OptionError(f"{name!r} is not a component; known: {', '.join(sorted(table))}")
    return table[name]()


def components(fit: LmerFit) -> dict[str, Callable[[], Any]]:
    """Component name -> function that makes it; nothing is computed before it is asked for."""
    d, s = fit.design, fit.solution
    sizes = [len(d.factors[t.factor].levels) for t in d.terms]
    widths = [len(t.columns) for t in d.terms]
    return {
        "X": lambda: d.X,
        "y": lambda: d.y,
        "Z": lambda: z_matrix(d),
        "Zt": lambda: z_matrix(d).T.tocsr(),
        "mu": lambda: s.fitted,
        "b": lambda: np.concatenate([b.ravel() for b in s.b]),
        "u": lambda: spherical_effects(fit),
        "beta": lambda: s.beta,
        "fixef": lambda: fit.fixef,
        "theta": lambda: fit.theta,
        "lower": lambda: lower_bounds(fit),
        "sigma": lambda: fit.sigma,
        "offset": lambda: np.zeros(d.n) if d.offset is None else d.offset,
        "weights": lambda: np.ones(d.n) if d.weights is None else d.weights,
        "Tlist": lambda: {t.name: T for t, T in zip(d.terms, s.T, strict=True)},
        "Lambda": lambda: relative_factor(d, s.T),
        "Lambdat": lambda: relative_factor(d, s.T).T.tocsr(),
        "Lind": lambda: _theta_places(fit),
        "A": lambda: _scaled_rows(fit),
        "L": lambda: _cholesky(fit),
        "RZX": lambda: solve_triangular(
            _cholesky(fit), (_scaled_rows(fit) @ (_root_weights(fit)[:, None] * d.X)), lower=True
        ),
        "Ztlist": lambda: _rows_by_effect(fit),
        "mmList": lambda: {t.text: t.X for t in d.terms},
        "ST": lambda: {t.name: _scales_and_units(T) for t, T in zip(d.terms, s.T, strict=True)},
        "Tp": lambda: np.concatenate([[0], np.cumsum(_theta_counts(fit))]),
        "q_i": lambda: dict(
            zip((t.name for t in d.terms), np.multiply(sizes, widths).tolist(), strict=True)
        ),
        "m_i": lambda: dict(zip((t.name for t in d.terms), _theta_counts(fit), strict=True)),
        "devfun": lambda: _criterion_function(fit),
        "Gp": lambda: np.concatenate([[0], np.cumsum(np.multiply(sizes, widths))]),
        "cnms": lambda: {t.name: t.columns for t in d.terms},
        "flist": lambda: {f.name: np.asarray(f.levels)[f.codes] for f in d.factors},
        "RX": lambda: np.linalg.cholesky(np.linalg.inv(s.vcov / s.sigma**2)).T,
        "REML": lambda: d.p if fit.REML else 0,
        "is_REML": lambda: fit.REML,
        "n": lambda: d.n,
        "N": lambda: d.n,
        "p": lambda: d.p,
        "q": lambda: int(np.dot(sizes, widths)),
        "k": lambda: len(d.terms),
        "m": lambda: len(fit.theta),
        "npar": lambda: fit.npar,
        "n_rtrms": lambda: len(d.terms),
        "n_rfacs": lambda: len(d.factors),
        "p_i": lambda: dict(zip((t.name for t in d.terms), widths, strict=True)),
        "l_i": lambda: {f.name: len(f.levels) for f in d.factors},
        "devcomp": lambda: devcomp(fit),
    }


def spherical_effects(fit: LmerFit) -> FloatArray:
    """``u = Lambda'Z'W(y - mu)``: the normal equations, valid at singular Lambda too."""
    d, s = fit.design, fit.solution
    e = d.y - s.fitted
    if d.weights is not None:
        e = e * d.weights
    out = []
    for term, T in zip(d.terms, s.T, strict=True):
        factor = d.factors[term.factor]
        sums = np.zeros((len(factor.levels), len(term.columns)))
        np.add.at(sums, factor.codes, term.X * e[:, None])
        own = sums if factor.basis is None else factor.basis.T @ sums
        out.append((own @ T).ravel())
    return np.concatenate(out)


def lower_bounds(fit: LmerFit) -> FloatArray:
    """Lower bounds of theta: 0 on diagonals and standard deviations, else -inf."""
    shapes = fit.solution.plan.shapes
    return np.concatenate([shape.structure.bounds(shape.k, shape.hom)[0] for shape in shapes])


def devcomp(fit: LmerFit) -> dict[str, float]:
    """The sums the criteria are made of, under lme4's names."""
    if fit.design.family is not None:
        raise NotDefinedError(
            "devcomp has the sums of a linear model: a generalized one has fit.deviance, fit.llf "
            "and fit.residuals()"
        )
    s, n, p = fit.solution, fit.nobs, fit.design.p
    w = 1.0 if fit.design.weights is None else fit.design.weights
    wrss = float(np.sum(w * (fit.design.y - s.fitted) ** 2))
    log_rx = -float(np.linalg.slogdet(s.vcov / s.sigma**2)[1]) if p else 0.0
    return {
        "ldL2": s.state.logdet,
        "ldRX2": log_rx,
        "wrss": wrss,
        "ussq": s.pwrss - wrss,
        "pwrss": s.pwrss,
        "REML": s.reml_criterion,
        "dev": s.deviance,
        "sigmaML": float(np.sqrt(s.pwrss / n)),
        "sigmaREML": float(np.sqrt(s.pwrss / (n - p))),
    }


def _theta_counts(fit: LmerFit) -> list[int]:
    return [shape.count for shape in fit.solution.plan.shapes]


def _root_weights(fit: LmerFit) -> FloatArray:
    d = fit.design
    return np.ones(d.n) if d.weights is None else np.sqrt(d.weights)


def _scaled_rows(fit: LmerFit) -> Any:
    """``Lambda' Z' W^{1/2}``."""
    Lambdat = relative_factor(fit.design, fit.solution.T).T
    return (Lambdat @ z_matrix(fit.design).T @ sparse.diags_array(_root_weights(fit))).tocsr()


def _cholesky(fit: LmerFit) -> FloatArray:
    """Cholesky factor of ``Lambda'Z'WZ Lambda + I``, dense, in the order of u (not permuted)."""
    A = _scaled_rows(fit)
    if A.shape[0] > MOST_EFFECTS:
        raise OptionError(f"a dense L of {A.shape[0]} effects is refused")
    L: FloatArray = np.linalg.cholesky((A @ A.T).toarray() + np.eye(A.shape[0]))
    return L


def _rows_by_effect(fit: LmerFit) -> dict[str, Any]:
    """Rows of Z' of each random effect: ``Subject.Days``."""
    d, Zt = fit.design, z_matrix(fit.design).T.tocsr()
    out, at = {}, 0
    for term in d.terms:
        k = len(term.columns)
        count = k * len(d.factors[term.factor].levels)
        for j, column in enumerate(term.columns):
            out[f"{term.name}.{column}"] = Zt[at + j : at + count : k]
        at += count
    return out


def _scales_and_units(T: FloatArray) -> FloatArray:
    """lme4's ST: scales on the diagonal, the unit lower triangle below."""
    scale = np.diag(T)
    with np.errstate(invalid="ignore", divide="ignore"):
        unit = np.tril(T / scale, -1)
    return np.asarray(np.where(np.isfinite(unit), unit, 0.0) + np.diag(scale))


def _theta_places(fit: LmerFit) -> Any:
    """Which theta stands in each stored entry of Lambdat, column by column, from 0 on."""
    refuse_related(fit.design.factors, "getME 'Lind'")
    blocks, before = [], 0
    for term, shape in zip(fit.design.terms, fit.solution.plan.shapes, strict=True):
        places = shape.structure.free_entries(shape.k, shape.hom)
        if len(places) != shape.count:
            raise OptionError(
                f"({term.text}) has the structure {shape.structure.name}: entries of its Lambda "
                "are no parameters of their own, so that there is no Lind"
            )
        numbers = {place: before + i for i, place in enumerate(places)}
        own = [numbers[place] for place in sorted(numbers)]
        blocks += own * len(fit.design.factors[term.factor].levels)
        before += shape.count
    return np.array(blocks)


def _criterion_function(fit: LmerFit) -> Callable[[Any], float]:
    """The profiled criterion of the fit as a function of theta."""
    stats, count = fit.solution.stats, len(fit.theta)

    def devfun(theta: Any) -> float:
        values = np.asarray(theta, dtype=float)
        if values.shape != (count,):
            raise OptionError(f"theta holds {count} numbers here: {', '.join(fit.theta_names)}")
        at = results_at(fit.design, values, REML=fit.REML, stats=stats)
        return float(at.reml_criterion if fit.REML else at.deviance)

    return devfun
