"""Components of a fit under lme4's ``getME`` names."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from nestedmlm._typing import FloatArray
from nestedmlm.design.matrices.zmatrix import z_matrix
from nestedmlm.errors import OptionError

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit


def getme(fit: LmerFit, name: str) -> Any:
    """Return a component of the fit by lme4's name, such as ``"X"``, ``"Zt"`` or ``"theta"``.

    Parameters
    ----------
    name : str
        See `components`.

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
        "Lambda": lambda: _lambda(s.T, sizes),
        "Lambdat": lambda: _lambda(s.T, sizes).T.tocsr(),
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
        out.append((sums @ T).ravel())
    return np.concatenate(out)


def lower_bounds(fit: LmerFit) -> FloatArray:
    """Lower bounds of theta: 0 on diagonals and standard deviations, else -inf."""
    shapes = fit.solution.plan.shapes
    return np.concatenate([shape.structure.bounds(shape.k, shape.hom)[0] for shape in shapes])


def devcomp(fit: LmerFit) -> dict[str, float]:
    """The sums the criteria are made of, under lme4's names."""
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


def _lambda(T: tuple[FloatArray, ...], sizes: list[int]) -> Any:
    blocks = [sparse.kron(sparse.eye_array(J), t) for t, J in zip(T, sizes, strict=True)]
    return sparse.block_diag(blocks, format="csr")
