"""The model class that marginaleffects asks for; made when marginaleffects is there."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.design.frame.frames import Frame
from nestedmlm.errors import OptionError
from nestedmlm.fits.data_of import data_of
from nestedmlm.formula.nodes import variables_in
from nestedmlm.inference.effects.curve_coefficients import mean_method
from nestedmlm.inference.effects.df_record import ROBUST_TYPES, ClusterRobust
from nestedmlm.inference.effects.smooths import smooth_terms
from nestedmlm.inference.fitted import require_linear
from nestedmlm.posterior.draws import effect_draws, mean_draws

if TYPE_CHECKING:
    from nestedmlm.fits.bayes_fit import BayesFit
    from nestedmlm.fits.lmer_fit import LmerFit


@lru_cache(maxsize=1)
def adapter_class() -> type:
    """Subclass marginaleffects' abstract model."""
    from marginaleffects.classes.model import ModelAbstract, ModelVault

    class LmerModel(ModelAbstract):  # type: ignore[misc]
        """A fit as marginaleffects sees it."""

        df_resid = float("inf")  # normal tests: a mixed model has no one residual df

        def __init__(self, fit: LmerFit | BayesFit, *, re_form: Any = False) -> None:
            _check(fit, re_form)
            self.re_form = re_form
            # what is added to X beta has a column of its own, with a coefficient known to be one
            self.added = int(re_form is None or _has_offset(fit))
            beta, cov = _coefficients(fit)
            curves = [c for t in smooth_terms(fit.design) for c in fit.design.terms[t].columns]
            names = [*fit.design.x_names, *curves, *["(added)"] * self.added]
            vault = ModelVault(
                coef=np.append(beta, np.ones(self.added)),
                coefnames=np.array(names, dtype=object),
                # a function: strings are parsed by formulaic, which knows no random effects
                formula=lambda data: (None, self.get_exog(data)),
                modeldata=model_data(fit),
                package="nestedmlm",
                vcov=self.padded(cov),
                variable_names=[fit.design.formula.response_text, *predictors(fit)],
            )
            super().__init__(fit, vault)

        def validation(self) -> None:
            # marginaleffects' own looks for 0 and 1 in a way that polars 2 refuses
            self.coef, self.response_name = self.get_coef(), self.find_response()
            self.vault.variables_type = {c.name: _kind(c) for c in self.get_modeldata()}

        def padded(self, cov: FloatArray) -> FloatArray:
            return np.pad(cov, (0, self.added))

        def get_autodiff_args(self) -> dict[str, Any]:
            # derivatives are exact then; differences of differences lose half the digits of slopes
            return {"model_type": "linear", "family": None, "link": None}

        def get_vcov(self, vcov: Any = True) -> FloatArray | None:
            if isinstance(vcov, str | ClusterRobust):
                return self.padded(_adjusted(self.model, vcov))
            return self.vault.vcov if vcov else None

        def get_exog(self, newdata: Any) -> FloatArray:
            found = rows(self.model, newdata, self.re_form)
            return found if self.added else found[:, :-1]

        def get_predict(self, params: FloatArray, newdata: FloatArray) -> Any:
            import polars as pl

            found = newdata @ np.asarray(params)
            numbers = pl.Series("rowid", range(len(found)), dtype=pl.Int32)
            return pl.DataFrame({"rowid": numbers, "estimate": found})

    return LmerModel


def _check(fit: LmerFit | BayesFit, re_form: Any) -> None:
    require_linear(fit.design.family, "the adapter to marginaleffects")
    if re_form not in (False, None):
        raise OptionError("re_form must be False (population) or None (each row's group)")
    if fit.design.schema.offset_array:
        raise OptionError(
            "the offset was given as an array, which other rows do not have: make it a column of "
            "the data and fit with offset='name'"
        )


def _coefficients(fit: LmerFit | BayesFit) -> tuple[FloatArray, FloatArray]:
    """Coefficients of the mean, curves included, and their covariance."""
    if fit.engine == "posterior":
        draws = mean_draws(fit.data, fit.design)
        return draws.mean(axis=0), np.atleast_2d(np.cov(draws.T))
    method = mean_method(fit.core, "none")
    return method.beta, method.cov


def _has_offset(fit: LmerFit | BayesFit) -> bool:
    schema = fit.design.schema
    return bool(schema.offsets) or schema.offset_column is not None


def predictors(fit: LmerFit | BayesFit) -> list[str]:
    """Columns of the data that the fixed part uses."""
    schema = fit.design.schema
    nodes = [v.node for v in (*schema.fixed.terms.variables, *schema.offsets)]
    used = dict.fromkeys(name for node in nodes for name in variables_in(node))
    columns = set(Frame(data_of(fit)).column_names)
    return [name for name in used if name in columns]


def model_data(fit: LmerFit | BayesFit) -> Any:
    """Rows of the fit as a polars frame: the columns that the model uses, text as Enum."""
    import polars as pl

    frame = Frame(data_of(fit))
    columns = {}
    for name in dict.fromkeys([*fit.design.formula.names, fit.design.schema.offset_column]):
        if name is not None and name in frame:
            series = frame.series(name)[fit.design.kept]
            columns[name] = _polars(series)
    response = fit.design.formula.response_text
    if response not in columns:  # log(y)
        columns[response] = pl.Series(fit.design.y)
    return pl.DataFrame(columns)


def _kind(column: Any) -> str:
    """What marginaleffects calls the type of a column."""
    import polars as pl

    kind = column.dtype
    if kind == pl.Boolean:
        return "boolean"
    if not kind.is_numeric():
        return "character"
    values = column.drop_nulls().to_numpy()
    if np.isin(values, (0, 1)).all():
        return "binary"
    return "integer" if kind.is_integer() else "numeric"


def _polars(series: pd.Series) -> Any:
    import polars as pl

    kind = series.dtype
    if isinstance(kind, pd.CategoricalDtype):
        text = series.astype(object).map(str, na_action="ignore")
        levels = [str(level) for level in kind.categories]
        return pl.Series(text.tolist(), dtype=pl.Enum(levels))
    if pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_bool_dtype(kind):
        return pl.Series(series.to_numpy())
    text = series.map(str, na_action="ignore")
    return pl.Series(text.tolist(), dtype=pl.Enum(sorted(set(text.dropna()))))


def rows(fit: LmerFit | BayesFit, data: Any, re_form: Any) -> FloatArray:
    """X and curves of new rows with their offset (and random effects) as one more column."""
    design, curves = fit.design, smooth_terms(fit.design)
    wanted = curves if re_form is False else None
    new = design.new(data, new_levels="population", matrices=wanted, groups=wanted)
    added = np.zeros(len(new.X)) if new.offset is None else np.array(new.offset, dtype=float)
    for t, ((Z, codes), b) in enumerate(zip(new.terms, _effects(fit), strict=True)):
        if re_form is None and t not in curves:
            known = codes >= 0
            effect = np.einsum("ij,ij->i", Z, b[np.where(known, codes, 0)])
            added += np.where(known, effect, 0.0)
    return np.column_stack([new.X, *(new.terms[t][0] for t in curves), added])


def _effects(fit: LmerFit | BayesFit) -> Sequence[FloatArray]:
    """Random effects of each term, (J, k): conditional modes, or posterior means."""
    if fit.engine != "posterior":
        return fit.solution.b
    return [b.mean(axis=0) for b in effect_draws(fit.data, fit.design)]


def _adjusted(fit: LmerFit | BayesFit, asked: str | ClusterRobust) -> FloatArray:
    if fit.engine == "posterior":
        raise OptionError("vcov= of a posterior is True or False: its draws have one covariance")
    if asked == "kenward-roger":
        return mean_method(fit.core, asked).cov
    if isinstance(asked, ClusterRobust) or asked in ROBUST_TYPES:
        return mean_method(fit.core, "none", asked).cov
    raise OptionError(
        f"vcov must be True, False, 'kenward-roger', {', '.join(map(repr, ROBUST_TYPES))}, a "
        f"nestedmlm.ClusterRobust or a matrix, not {asked!r}"
    )
