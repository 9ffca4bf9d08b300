"""Fitted values, predictions and replicated data from posterior draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.bayes.model.names import OBS_DIM
from nestedmlm.design.design import Design
from nestedmlm.errors import DataError, OptionError
from nestedmlm.inference.rows.prediction import NEW_LEVELS
from nestedmlm.inference.rows.re_form import chosen_columns, only_columns
from nestedmlm.posterior.draws import (
    covariance_draws,
    draw_shape,
    effect_draws,
    fixed_draws,
    roots,
)
from nestedmlm.posterior.row_responses import Responses, fitted_responses, new_responses
from nestedmlm.posterior.summaries import estimates

TYPES = ("response", "link", "prediction")
_NUMBERS_TOGETHER = 8_000_000  # numbers held at once while rows are summarised


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RowDraws:
    """Rows to predict: matrices, codes, and the draws that go with them.

    Attributes
    ----------
    X : (m, p) array
    offset : (m,) array or None
    terms : tuple of ((m, k) array, (m,) codes, (S, J, k) draws)
        Codes of -1 stand for a random effect of zero.
    beta : (S, p) array
    responses : NormalResponses, CorrelatedResponses or FamilyResponses
        How responses are distributed at these predictors.
    """

    X: FloatArray
    offset: FloatArray | None
    terms: tuple[tuple[FloatArray, IntArray, FloatArray], ...]
    beta: FloatArray
    responses: Responses

    def eta(self, rows: slice) -> FloatArray:
        """Linear predictors of some rows, shape (S, rows)."""
        # rows first: what is picked and added is then contiguous
        out: FloatArray = self.X[rows] @ self.beta.T
        if self.offset is not None:
            out += self.offset[rows, None]
        for X, codes, b in self.terms:
            _add_effect(out, X[rows], codes[rows], b)
        return out.T

    def mean(self, rows: slice) -> FloatArray:
        """Expected responses of some rows, shape (S, rows)."""
        return self.responses.mean(self.eta(rows))

    def chosen(self, draws: IntArray) -> RowDraws:
        """The same of some draws."""
        return replace(
            self,
            terms=tuple((X, codes, b[draws]) for X, codes, b in self.terms),
            beta=self.beta[draws],
            responses=self.responses.chosen(draws),
        )

    def blocks(self) -> list[slice]:
        """Blocks of rows whose draws fit in memory."""
        size = max(1, _NUMBERS_TOGETHER // max(1, len(self.beta)))
        return [slice(i, i + size) for i in range(0, len(self.X), size)]

    def joint_blocks(self) -> list[slice]:
        """Blocks of rows whose responses are independent of one another's, given the draws."""
        return [slice(None)] if self.responses.correlated else self.blocks()


def _add_effect(out: FloatArray, X: FloatArray, codes: IntArray, b: FloatArray) -> None:
    """Add ``Z b`` of some rows for every draw to `out`, shape (rows, S)."""
    known = np.flatnonzero(codes >= 0)
    if not known.size:
        return
    everywhere = known.size == len(codes)
    for j in range(X.shape[1]):
        effect = np.ascontiguousarray(b[:, :, j].T)[codes[known]]
        if not (X[known, j] == 1.0).all():
            effect *= X[known, j, None]
        if everywhere:
            out += effect
        else:
            out[known] += effect


def fitted_rows(data: Any, design: Design, *, re_form: Any = None) -> RowDraws:
    """The rows the model was fitted to, with the random effects that `re_form` chooses."""
    chosen = chosen_columns(design, re_form)
    effects = effect_draws(data, design)
    terms = tuple(
        (only_columns(term.X, keep), design.factors[term.factor].codes, b)
        for term, keep, b in zip(design.terms, chosen, effects, strict=True)
        if keep.any()
    )
    return RowDraws(
        X=design.X,
        offset=design.offset,
        terms=terms,
        beta=fixed_draws(data, design),
        responses=fitted_responses(data, design),
    )


def new_rows(
    data: Any,
    design: Design,
    newdata: Any,
    *,
    new_levels: str = "error",
    re_form: Any = None,
    offset: Any = None,
    weights: FloatArray | None = None,
    response: bool = False,
    rng: np.random.Generator,
) -> tuple[RowDraws, pd.Index]:
    """Rows of other data, with their prior weights (None: all are 1), and their index.

    With `response` residual standard deviations are the rows' own where they differ.

    Raises
    ------
    OptionError
        If `new_levels` is unknown, or `re_form` names what the model does not have.
    NewLevelsError
        For unseen groups with ``new_levels="error"``, and always for unseen levels of a fixed
        factor.
    """
    if new_levels not in NEW_LEVELS:
        raise OptionError(f"new_levels={new_levels!r} is unknown; known: {', '.join(NEW_LEVELS)}")
    chosen = chosen_columns(design, re_form)
    used = [t for t, keep in enumerate(chosen) if keep.any()]
    new = design.new(
        newdata,
        new_levels="error" if new_levels == "error" else "population",
        matrices=used,
        groups=used,
        offset=offset,
    )
    effects = effect_draws(data, design)
    terms = []
    covs = covariance_draws(data, design)
    for t in used:
        (X, codes), unseen, b = new.terms[t], new.unseen[t], effects[t]
        if new_levels == "sample" and (unseen >= 0).any():
            fresh = sample_levels(covs[t], int(unseen.max()) + 1, rng)
            codes = np.where(unseen >= 0, unseen + b.shape[1], codes)
            b = np.concatenate([b, fresh], axis=1)
        terms.append((only_columns(X, chosen[t]), codes, b))
    rows = RowDraws(
        X=new.X,
        offset=new.offset,
        terms=tuple(terms),
        beta=fixed_draws(data, design),
        responses=new_responses(data, design, newdata if response else None, weights),
    )
    return rows, new.index


def sample_levels(cov: FloatArray, levels: int, rng: np.random.Generator) -> FloatArray:
    """Random effects of `levels` new groups for every draw, shape (S, levels, k)."""
    z = rng.standard_normal((len(cov), levels, cov.shape[1]))
    out: FloatArray = z @ roots(cov)
    return out


def of_basis(effects: FloatArray, basis: FloatArray | None) -> FloatArray:
    """Effects of levels, (S, J, k), from independent ones, where a factor has a basis."""
    if basis is None:
        return effects
    out: FloatArray = np.einsum("jq,sqk->sjk", basis, effects, optimize=True)
    return out


def summarise_rows(
    rows: RowDraws, *, type: str, level: float, rng: np.random.Generator
) -> pd.DataFrame:
    """Estimate, spread and interval of each row's expected value or of a new response there.

    Raises
    ------
    OptionError
        If `type` is unknown.
    """
    draw = row_drawer(rows, type, rng)
    pieces = [estimates(draw(block), level=level) for block in rows.blocks()]
    if not pieces:
        return estimates(np.zeros((1, 0)), level=level)
    return pd.concat(pieces, ignore_index=True)


def row_drawer(
    rows: RowDraws, type: str, rng: np.random.Generator
) -> Callable[[slice], FloatArray]:
    """Choose what draws of a row are: linear predictors, expected values, or responses."""
    if type not in TYPES:
        raise OptionError(f"type={type!r} is unknown; known: {', '.join(TYPES)}")

    def response(block: slice) -> FloatArray:
        return rows.responses.draw(rows.eta(block), block, rng)

    return {"link": rows.eta, "response": rows.mean, "prediction": response}[type]


def all_draws(rows: RowDraws, *, type: str, rng: np.random.Generator) -> FloatArray:
    """Every draw of every row, shape (S, m)."""
    draw = row_drawer(rows, type, rng)
    out = np.empty((len(rows.beta), len(rows.X)))
    for block in rows.joint_blocks():
        out[:, block] = draw(block)
    return out


def draws_array(
    data: Any, rows: RowDraws, index: pd.Index, *, type: str, rng: np.random.Generator
) -> Any:
    """Every draw of every row as a DataArray with dims ``chain, draw, __obs__``."""
    from xarray import DataArray

    posterior = data["posterior"]
    coords = {name: posterior[name].values for name in ("chain", "draw")}
    return DataArray(
        all_draws(rows, type=type, rng=rng).reshape(*draw_shape(data), -1),
        dims=("chain", "draw", OBS_DIM),
        coords={**coords, OBS_DIM: index.to_numpy()},
        name="prediction",
    )


def mean_fitted(data: Any, design: Design) -> FloatArray:
    """Posterior means of the expected values of the fitted rows, shape (n,).

    Of a linear model they are linear in the draws, so the means of the draws are all it takes.
    """
    if design.family is not None:
        rows = fitted_rows(data, design)
        return np.concatenate([rows.mean(block).mean(axis=0) for block in rows.blocks()])
    out = design.X @ fixed_draws(data, design).mean(axis=0)
    if design.offset is not None:
        out = out + design.offset
    for term, b in zip(design.terms, effect_draws(data, design), strict=True):
        modes = b.mean(axis=0)[design.factors[term.factor].codes]
        out = out + np.einsum("ij,ij->i", term.X, modes)
    fitted: FloatArray = out
    return fitted


def replicate(
    data: Any, design: Design, nsim: int, *, new_groups: bool, seed: int | None
) -> FloatArray:
    """Draw responses of the fitted rows, shape (n, nsim), each from another posterior draw.

    Draws are taken without replacement as long as there are enough.

    Raises
    ------
    DataError
        If `nsim` is not a positive number.
    """
    if isinstance(nsim, bool) or not isinstance(nsim, int | np.integer) or nsim < 1:
        raise DataError(f"nsim must be a whole number of at least 1, got {nsim!r}")
    rng = np.random.default_rng(seed)
    rows = fitted_rows(data, design)
    size = len(rows.beta)
    chosen = rng.choice(size, size=nsim, replace=nsim > size)
    picked = rows.chosen(chosen)
    if new_groups:
        covs = [cov[chosen] for cov in covariance_draws(data, design)]
        factors = [design.factors[term.factor] for term in design.terms]
        effects = [
            of_basis(sample_levels(cov, factor.effects, rng), factor.basis)
            for cov, factor in zip(covs, factors, strict=True)
        ]
        own = zip(rows.terms, effects, strict=True)
        picked = replace(picked, terms=tuple((X, codes, b) for (X, codes, _), b in own))
    return all_draws(picked, type="prediction", rng=rng).T
