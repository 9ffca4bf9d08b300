"""Linear models without random effects: ordinary (weighted) least squares."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.design.matrices.modelmatrix import build_matrix
from nestedmlm.design.matrices.qr import kept_columns
from nestedmlm.inference.effects.hypotheses import Values

if TYPE_CHECKING:
    from nestedmlm.design.design import Design


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinearFit:
    """A linear model without random effects, with R's ``logLik`` of an ``lm``.

    Attributes
    ----------
    formula : str
    all_names, assign, terms : tuple
        Names of all columns, the term of each (0 is the intercept), labels of the terms.
    X, y, w : arrays
        All columns (also dependent ones), response minus offset, weights.
    kept : (p,) array of int
        The columns that have coefficients.
    beta : (p,) array
    cov_unscaled : (p, p) array
        ``(X'WX)^{-1}``.
    rss : float
        Weighted residual sum of squares.
    REML : bool
        Which likelihood `llf` is.
    """

    formula: str
    all_names: tuple[str, ...]
    assign: tuple[int, ...]
    terms: tuple[str, ...]
    X: FloatArray
    y: FloatArray
    w: FloatArray
    kept: np.ndarray
    beta: FloatArray
    cov_unscaled: FloatArray
    rss: float
    REML: bool

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the coefficients."""
        return tuple(self.all_names[j] for j in self.kept)

    @property
    def nobs(self) -> int:
        """Number of rows."""
        return len(self.y)

    @property
    def npar(self) -> int:
        """Coefficients and sigma."""
        return len(self.beta) + 1

    @property
    def df_resid(self) -> int:
        """Rows minus coefficients."""
        return self.nobs - len(self.beta)

    @property
    def sigma(self) -> float:
        """Residual standard deviation."""
        return float(np.sqrt(self.rss / self.df_resid))

    @property
    def llf(self) -> float:
        """(Restricted) log-likelihood, R's ``logLik(lm, REML=)``."""
        n = self.df_resid if self.REML else self.nobs
        value = -0.5 * n * (np.log(2.0 * np.pi * self.rss / n) + 1.0)
        value += 0.5 * float(np.sum(np.log(self.w)))
        if self.REML and len(self.beta):
            value += 0.5 * float(np.linalg.slogdet(self.cov_unscaled)[1])
        return float(value)

    @property
    def params(self) -> pd.Series:
        """Coefficients."""
        return pd.Series(self.beta, index=list(self.names), name="estimate")

    def to_frame(self) -> pd.DataFrame:
        """Coefficients with t tests: ``estimate, std_error, df, statistic, p_value``."""
        from scipy.special import stdtr

        se = self.sigma * np.sqrt(np.diag(self.cov_unscaled))
        t = self.beta / se
        df = np.full(len(t), float(self.df_resid))
        columns = (self.beta, se, df, t, 2.0 * stdtr(df, -np.abs(t)))
        names = ("estimate", "std_error", "df", "statistic", "p_value")
        return pd.DataFrame(dict(zip(names, columns, strict=True)), index=list(self.names))

    def __repr__(self) -> str:
        return f"Linear model: {self.formula}\n{self.to_frame()}"


def linear_fit(design: Design, values: Values, *, REML: bool) -> LinearFit:
    """Fit a design's fixed effects alone.

    `values` gives `hypotheses.predictor_values`; it is called where columns were dropped from X,
    since they count again when others go.
    """
    spec = design.schema.fixed
    X = build_matrix(spec, values(), design.n) if design.dropped else design.X
    y = design.y if design.offset is None else design.y - design.offset
    w = np.ones(design.n) if design.weights is None else design.weights
    formula = f"{design.formula.response_text} {design.formula.fixed_text}"
    return _solve(
        LinearFit(
            formula=formula,
            all_names=spec.names if design.dropped else design.x_names,
            assign=spec.assign if design.dropped else design.x_assign,
            terms=design.x_terms,
            X=X,
            y=y,
            w=w,
            kept=np.zeros(0, dtype=int),
            beta=np.zeros(0),
            cov_unscaled=np.zeros((0, 0)),
            rss=0.0,
            REML=REML and design.p > 0,
        )
    )


def without_term(fit: LinearFit, label: str) -> LinearFit:
    """The same model without the columns of one term."""
    number = fit.terms.index(label) + 1
    keep = [j for j, a in enumerate(fit.assign) if a != number]
    renumbered = [a - (a > number) for a in fit.assign]
    terms = tuple(t for t in fit.terms if t != label)
    intercept = 0 in fit.assign
    rhs = " + ".join(terms) or ("1" if intercept else "0")
    response = fit.formula.split(" ~ ")[0]
    return _solve(
        replace(
            fit,
            formula=f"{response} ~ {rhs if intercept or not terms else '0 + ' + rhs}",
            all_names=tuple(fit.all_names[j] for j in keep),
            assign=tuple(renumbered[j] for j in keep),
            terms=terms,
            X=fit.X[:, keep],
        )
    )


def uncontained_terms(fit: LinearFit) -> list[str]:
    """Terms that no other contains."""
    parts = {term: set(term.split(":")) for term in fit.terms}
    return [t for t, own in parts.items() if not any(own < other for other in parts.values())]


def term_tests(fit: LinearFit) -> pd.DataFrame:
    """R's ``drop1(lm, test = "F")``: one row for each term that no other contains."""
    from scipy.special import fdtrc

    rows = {}
    for label in uncontained_terms(fit):
        smaller = without_term(fit, label)
        df = len(fit.beta) - len(smaller.beta)
        ss = smaller.rss - fit.rss
        F = ss / df / fit.sigma**2 if df else float("nan")
        aic = fit.nobs * float(np.log(smaller.rss / fit.nobs)) + 2.0 * len(smaller.beta)
        aic -= float(np.sum(np.log(fit.w)))
        rows[label] = (df, ss, smaller.rss, aic, F, float(fdtrc(df, fit.df_resid, F)))
    columns = ["Df", "Sum of Sq", "RSS", "AIC", "F value", "Pr(>F)"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns, dtype=float)


def _solve(fit: LinearFit) -> LinearFit:
    kept = kept_columns(fit.X) if fit.X.shape[1] else np.zeros(0, dtype=int)
    X, root = fit.X[:, kept], np.sqrt(fit.w)
    if not len(kept):
        rss = float(np.sum(fit.w * fit.y**2))
        return replace(fit, kept=kept, beta=np.zeros(0), cov_unscaled=np.zeros((0, 0)), rss=rss)
    Q, R = np.linalg.qr(X * root[:, None])
    beta = np.linalg.solve(R, Q.T @ (root * fit.y))
    inverse = np.linalg.inv(R)
    rss = float(np.sum(fit.w * (fit.y - X @ beta) ** 2))
    return replace(fit, kept=kept, beta=beta, cov_unscaled=inverse @ inverse.T, rss=rss)
