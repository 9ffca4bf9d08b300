"""`Model`: the specification of a mixed model, ready to be fitted."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.model.priors import resolve_priors
from nestedmlm.callers import caller_name, caller_names
from nestedmlm.deprecations import renamed
from nestedmlm.design.design import Design, build_design
from nestedmlm.design.frame.environment import Environment
from nestedmlm.errors import DataError
from nestedmlm.fits.lmer_fit import SINGULAR_MESSAGE, LmerFit, fit_design
from nestedmlm.fits.verbs.pytensor_graph import pytensor
from nestedmlm.fits.verbs.sample import sample
from nestedmlm.fits.verbs.to_pymc import to_pymc
from nestedmlm.formula import Formula, parse_formula, update_formula
from nestedmlm.optimum.optimize import Control
from nestedmlm.optimum.penalty import Penalty
from nestedmlm.plots.accessor import OLD_NAMES, ModelPlots
from nestedmlm.views.posterior.priors import PriorTable

if TYPE_CHECKING:
    from nestedmlm.views.posterior.priors import PriorTable

_log = logging.getLogger("nestedmlm")


class Model:
    """A linear mixed model before it is fitted: formula, data and what they make together.

    Parameters
    ----------
    formula : str
        lme4-style, for example ``"mathscore ~ ses + (ses | schoolid) + (1 | classid)"``.
    data : DataFrame, mapping of arrays, or anything narwhals can read
        Never changed.
    weights, offset : str or array, optional
        A column name, or one number per row of the data.
    contrasts : mapping, optional
        For factors of the fixed part: ``{"cond": "sum"}``, or a matrix.
    na_action : {"omit", "exclude", "raise"}
        What to do with rows that have missing values.
    double_bar : {"split", "diag"}
        ``(f || g)`` as lme4 reads it, or one block with a diagonal covariance (as afex).

    Attributes
    ----------
    formula : Formula
    design : Design
        ``y``, ``X`` with ``x_names``, and each random-effects term's matrix and codes.
    data_name, weights_name, offset_name : str or None
        Names for printing.

    Raises
    ------
    FormulaError, DataError, ColumnNotFoundError, ResponseError, GroupingError, WeightsError

    Examples
    --------
    >>> import nestedmlm as nm
    >>> model = nm.Model("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> model.design.X.shape, model.design.factors[0].name
    ((30, 1), 'Batch')
    >>> round(model.fit().sigma, 4)
    49.5101
    """

    __slots__ = (
        "_data", "_env", "_options", "data_name", "design", "formula", "offset_name",
        "weights_name",
    )  # fmt: skip

    formula: Formula
    design: Design
    data_name: str | None
    weights_name: str | None
    offset_name: str | None
    _data: Any
    _env: dict[str, Any]
    _options: dict[str, Any]

    def __init__(
        self,
        formula: str | Formula,
        data: Any,
        *,
        weights: Any = None,
        offset: Any = None,
        contrasts: Mapping[str, Any] | None = None,
        na_action: str = "omit",
        double_bar: str = "split",
        env: Mapping[str, Any] | None = None,
        data_name: str | None = None,
    ) -> None:
        text = formula.text if isinstance(formula, Formula) else formula
        parsed = parse_formula(text, double_bar=double_bar)
        options = {
            "weights": weights,
            "offset": offset,
            "contrasts": contrasts,
            "na_action": na_action,
            "double_bar": double_bar,
        }
        if env is None:
            env = caller_names(parsed.names, depth=2)
        if data_name is None:
            data_name = caller_name(data, depth=2)
        values = {
            "formula": parsed,
            "design": build_design(parsed, data, env=env, **options),
            "data_name": data_name,
            "weights_name": _argument_name(weights, "weights"),
            "offset_name": _argument_name(offset, "offset"),
            "_data": data,
            "_env": dict(env),
            "_options": options,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a Model is frozen; make another one instead of setting {name!r}")

    def __getstate__(self) -> dict[str, Any]:
        state = {name: getattr(self, name) for name in self.__slots__}
        return {**state, "_env": Environment(state["_env"])}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in {**state, "_env": state["_env"].values}.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        d = self.design
        groups = "; ".join(f"{f.name}, {len(f.levels)}" for f in d.factors)
        return f"Model: {self.formula.display}\n{d.n} observations, groups: {groups}"

    def fit(
        self,
        REML: bool = True,
        *,
        start: FloatArray | None = None,
        control: Control | None = None,
        penalty: Penalty | str | None = None,
    ) -> LmerFit:
        """Fit the model.

        Parameters
        ----------
        REML : bool
            Restricted maximum likelihood (True) or maximum likelihood.
        start : array, optional
            Starting covariance parameters (theta).
        control : Control, optional
            Settings of the optimizer.
        penalty : {"wishart"} or Penalty, optional
            Prior that keeps covariances away from the boundary (penalised likelihood).

        Examples
        --------
        >>> import nestedmlm as nm
        >>> model = nm.Model("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
        >>> round(model.fit(REML=False).criterion, 3)
        327.327
        """
        fit = fit_design(
            self, self.design, REML=REML, start=start, control=control, penalty=penalty
        )
        if SINGULAR_MESSAGE in fit.messages:
            _log.warning(SINGULAR_MESSAGE)
        return fit

    @property
    def priors(self) -> PriorTable:
        """Default priors of the Bayesian model, each with the rule that set it; a view."""
        return PriorTable(resolve_priors(self.design).rows)

    @property
    def plot(self) -> ModelPlots:
        """Pictures: ``model.plot.priors()``.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> model = nm.Model("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
        >>> [ax.get_title(loc="left") for ax in model.plot.priors()]
        ['Intercept', '1|Batch_sigma', 'sigma']
        """
        return ModelPlots(self)

    if not TYPE_CHECKING:
        __getattr__ = renamed(OLD_NAMES)

    pytensor = pytensor
    to_pymc = to_pymc
    sample = sample

    def update(self, formula: str) -> Model:
        """Make the model of a changed formula on the same data (``.``: what was there).

        Examples
        --------
        >>> import nestedmlm as nm
        >>> model = nm.Model("Reaction ~ 1 + (1 | Subject)", nm.load_dataset("sleepstudy"))
        >>> model.update(". ~ . + Days").formula.display
        'Reaction ~ (1 | Subject) + Days'
        """
        return self.with_formula(update_formula(self.formula, formula))

    def with_formula(self, formula: str) -> Model:
        """Make the model of another formula on the same data.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> model = nm.Model("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
        >>> model.with_formula("log(Yield) ~ 1 + (1 | Batch)").formula.display
        'log(Yield) ~ 1 + (1 | Batch)'
        """
        return Model(formula, self._data, env=self._env, data_name=self.data_name, **self._options)

    @property
    def data(self) -> Any:
        """The caller's table, as it was given."""
        return self._data

    @property
    def weights_column(self) -> str | None:
        """Column that holds the prior weights; None where there are none or they are an array."""
        weights = self._options["weights"]
        return weights if isinstance(weights, str) else None

    def with_data(self, data: Any) -> Model:
        """Make the model of the same formula on other data.

        Raises
        ------
        DataError
            If weights or offset were given as arrays, which other data do not have.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> model = nm.Model("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
        >>> model.with_data(nm.load_dataset("Dyestuff2")).fit().is_singular()
        True
        """
        for name in ("weights", "offset"):
            if self._options[name] is not None and not isinstance(self._options[name], str):
                raise DataError(
                    f"{name} came as an array, which belongs to the rows of the first data: make "
                    "it a column of the data and give the column's name"
                )
        return Model(self.formula, data, env=self._env, data_name=self.data_name, **self._options)


def _argument_name(argument: Any, default: str) -> str | None:
    if argument is None:
        return None
    return argument if isinstance(argument, str) else default
