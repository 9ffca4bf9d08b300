"""`Model`: the specification of a mixed model, ready to be fitted."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import check_instance, checked
from nestedmlm.callers import Caller
from nestedmlm.deprecations import renamed
from nestedmlm.design.design import Design
from nestedmlm.design.frame.snapshots import snapshot
from nestedmlm.errors import OptionError
from nestedmlm.fits.estimates import SINGULAR_MESSAGE
from nestedmlm.fits.lmer_fit import LmerFit, fit_design
from nestedmlm.fits.model_source import ModelOptions, Source, read_fixed, read_source
from nestedmlm.fits.old_names import OLD_NAMES
from nestedmlm.fits.plain_only import plain_only, refuse_known_sigma, unknown_sigma
from nestedmlm.formula import Formula, as_formula, update_formula
from nestedmlm.late import late_imports
from nestedmlm.native_frames import kind_of_table
from nestedmlm.notebook import IN_RESULT
from nestedmlm.optimum.control import Control
from nestedmlm.optimum.penalty import Penalty

if TYPE_CHECKING:
    from nestedmlm.bayes.model.priors import resolve_priors
    from nestedmlm.families import Family
    from nestedmlm.fits.generalized.options import generalized_family
    from nestedmlm.fits.glmer_fit import fit_generalized
    from nestedmlm.fits.summaries.summary_source import SummarySource
    from nestedmlm.fits.verbs.prior_predictive import prior_predictive
    from nestedmlm.fits.verbs.pytensor_graph import pytensor
    from nestedmlm.fits.verbs.sample import sample
    from nestedmlm.fits.verbs.to_pymc import to_pymc
    from nestedmlm.plots.accessor import ModelPlots
    from nestedmlm.views.posterior.priors import PriorTable
else:  # each loads when it is first asked for
    # fmt: off
    globals().update(late_imports("nestedmlm", {
        "bayes.model.priors": "resolve_priors", "plots.accessor": "ModelPlots",
        "views.posterior.priors": "PriorTable",
    }, wrap=checked))
    globals().update(late_imports("nestedmlm.fits", {
        "generalized.options": "generalized_family", "glmer_fit": "fit_generalized",
    }))
    graph = {"pytensor_graph": "pytensor"}
    globals().update(late_imports("nestedmlm.fits.verbs", graph, wrap=plain_only))
    drawn = {"prior_predictive": "prior_predictive", "sample": "sample", "to_pymc": "to_pymc"}
    globals().update(late_imports("nestedmlm.fits.verbs", drawn, wrap=unknown_sigma))

_log = logging.getLogger("nestedmlm")


@dataclass(frozen=True, slots=True, init=False, eq=False, repr=False)
class Model:
    """A mixed model before it is fitted: formula, data and what they make together.

    Parameters
    ----------
    formula : str
        lme4-style, for example ``"mathscore ~ ses + (ses | schoolid) + (1 | classid)"``.
    data : DataFrame, mapping of arrays, or anything narwhals can read
        Never changed; what is done to it later, in place, does not reach the model.
    weights, offset : str or array, optional
        A column name, or one number per row of the data.
    contrasts : mapping, optional
        For factors of the fixed part: ``{"cond": "sum"}``, or a matrix.
    na_action : {"omit", "exclude", "raise"}
        What to do with rows that have missing values.
    double_bar : {"split", "diag"}
        ``(f || g)`` as lme4 reads it, or one block with a diagonal covariance (as afex).
    dispersion : str, optional
        Formula of the residuals' log SD: ``"~ Sex"`` (strata), ``"~ log(Time)"`` (a power).
    residual : str, optional
        Correlation of residuals within blocks, ``"structure(time | block)"``: `ar1` (whole steps,
        gaps count), `car1` (any times), `cs`, `us`, `toep`, `ad1` or one that was registered;
        ``hom=False`` for a variance of each time, ``by=group`` for a matrix of each group.
    relationship : mapping of str to DataFrame, (matrix, labels) or Pedigree, optional
        Known relationships between levels, ``{"id": A}``: their effects have the covariance A
        times the term's. The index of A has the levels (`nestedmlm.pedigree` makes one).
    fixed : mapping of str to float, optional
        Parameters that are known: ``{"sigma": 1}``, with ``weights`` one over the sampling variance
        of each row, for a meta-analysis. A grouping factor may then have a level for each row.
    env : mapping of str to object, optional
        Variables and functions that the formula may use where the data have no such column; by
        default those of the caller. Functions of packages: ``env={"rank": scipy.stats.rankdata}``.
    data_name : str, optional
        How the data are called in print.
    family : str or Family, optional
        Of a generalized linear mixed model (see `glmer`); without it the model is linear.
    link : str or Link, optional
        Of the family, where it is not the usual one.

    Attributes
    ----------
    formula : Formula
    design : Design
        ``y``, ``X`` with ``x_names``, and each random-effects term's matrix and codes.
    source : Source or SummarySource
        The data as they were, and how they are read.
    data_name, weights_name, offset_name : str or None
        Names for printing.

    Raises
    ------
    FormulaError, ResidualStructureError
        For a formula that cannot be read, with the place, or residuals that fit nothing else.
    ColumnNotFoundError, ResponseError, GroupingError, WeightsError, DataError
        For data that the model cannot take: which column, and what to do.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> model = nm.Model("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> model.design.X.shape, model.design.factors[0].name
    ((30, 1), 'Batch')
    >>> round(model.fit().sigma, 4)
    49.5101
    """

    formula: Formula
    design: Design
    source: Source | SummarySource

    @checked
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
        dispersion: str | None = None,
        residual: str | None = None,
        relationship: Mapping[str, Any] | None = None,
        fixed: Mapping[str, float] | None = None,
        env: Mapping[str, Any] | None = None,
        data_name: str | None = None,
        family: Any = None,
        link: Any = None,
    ) -> None:
        parsed = as_formula(formula, double_bar)
        linear = (dispersion, residual, relationship, fixed)
        if family is not None and any(v is not None for v in linear):
            raise OptionError(
                "dispersion=, residual=, relationship= and fixed= are of linear models: drop them"
            )
        options = ModelOptions(
            weights=weights,
            offset=offset,
            contrasts=contrasts,
            na_action=na_action,
            double_bar=double_bar,
            dispersion=dispersion,
            residual=residual,
            relationship=relationship,
            family=None if family is link is None else generalized_family(family, link),
            sigma=read_fixed(fixed),
        )
        source = read_source(parsed, data, options, Caller.here(), env=env, data_name=data_name)
        self._fill(parsed, source, source.design(parsed))

    @classmethod
    def _of(cls, formula: Formula, source: Any, design: Design | None = None) -> Model:
        """Make the model of a formula on data that were read before."""
        model = object.__new__(cls)
        model._fill(formula, source, source.design(formula) if design is None else design)
        return model

    def _fill(self, formula: Formula, source: Source | SummarySource, design: Design) -> None:
        object.__setattr__(self, "formula", formula)
        object.__setattr__(self, "design", design)
        object.__setattr__(self, "source", source)

    def __repr__(self) -> str:
        d = self.design
        groups = "; ".join(f"{f.name}, {len(f.levels)}" for f in d.factors)
        return f"Model: {self.formula.display}\n{d.n} observations, groups: {groups}"

    @checked
    def fit(
        self,
        REML: bool | None = None,
        *,
        start: FloatArray | None = None,
        control: Control | None = None,
        penalty: Penalty | str | None = None,
        method: str | None = None,
        nAGQ: int = 1,
        information: str = "auto",
    ) -> LmerFit:
        """Fit the model.

        Parameters
        ----------
        REML : bool, optional
            Restricted maximum likelihood (True, the default) or maximum likelihood, which is what a
            model with a family is fitted by.
        start : array, optional
            Starting covariance parameters (theta).
        control : Control, optional
            Settings of the optimizer.
        penalty : {"wishart"} or Penalty, optional
            Prior that keeps covariances away from the boundary (penalised likelihood).
        method : {"newton", "pytensor", "lme4"}, optional
            The optimizer, short for ``control=Control(optimizer=...)``.
        nAGQ, information
            Of a model with a family, see `glmer`.

        Returns
        -------
        LmerFit
            A `GlmerFit` if the model has a family.

        Raises
        ------
        OptionError
            For options of the other kind of model.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> model = nm.Model("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
        >>> round(model.fit(REML=False).criterion, 3)
        327.327
        """
        if self.family is not None:
            return fit_generalized(  # type: ignore[return-value]
                self, REML=REML, method=method, nAGQ=nAGQ, information=information, start=start,
                control=control, penalty=penalty,
            )  # fmt: skip
        if nAGQ != 1 or information != "auto":
            raise OptionError("nAGQ and information are options of a model with a family")
        if method is not None:
            control = check_instance(control or Control(), Control, "control").by(method)
        fit = fit_design(
            self, self.design, REML=REML is not False, start=start, control=control, penalty=penalty
        )
        if SINGULAR_MESSAGE in fit.messages:
            _log.warning(SINGULAR_MESSAGE, extra=IN_RESULT)
        return fit

    @property
    def priors(self) -> PriorTable:
        """Default priors of the Bayesian model, each with the rule that set it; a view."""
        refuse_known_sigma(self, "a prior")
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

    prior_predictive = prior_predictive
    pytensor = pytensor
    to_pymc = to_pymc
    sample = sample

    @checked
    def update(self, formula: str) -> Model:
        """Make the model of a changed formula on the same data (``.``: what was there).

        Parameters
        ----------
        formula : str
            The new formula; ``.`` on a side stands for what was there: ``". ~ . + Days"``.

        Raises
        ------
        FormulaError
            If the update has no tilde, or the formula cannot be read.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> model = nm.Model("Reaction ~ 1 + (1 | Subject)", nm.load_dataset("sleepstudy"))
        >>> model.update(". ~ . + Days").formula.display
        'Reaction ~ (1 | Subject) + Days'
        """
        return self.with_formula(update_formula(self.formula, formula))

    @checked
    def with_formula(self, formula: str | Formula) -> Model:
        """Make the model of another formula on the same data.

        Parameters
        ----------
        formula : str or Formula
            The whole new formula.

        Raises
        ------
        FormulaError, ColumnNotFoundError, OptionError
            If it cannot be read, names what the data do not have, or leaves out coded factors.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> model = nm.Model("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
        >>> model.with_formula("log(Yield) ~ 1 + (1 | Batch)").formula.display
        'log(Yield) ~ 1 + (1 | Batch)'
        """
        return Model._of(as_formula(formula, self.formula.double_bar), self.source)

    @checked
    def reduced(self, formula: str | Formula) -> Model:
        """Make the model of a formula with fewer terms on the same data.

        Parameters
        ----------
        formula : str or Formula
            Some of this model's terms; contrasts of factors that it leaves out are forgotten.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> model = nm.Model("angle ~ recipe + temp + (1 | replicate)", nm.load_dataset("cake"),
        ...                  contrasts={"recipe": "sum"})
        >>> model.reduced("angle ~ temp + (1 | replicate)").design.x_names
        ('(Intercept)', 'temp')
        """
        parsed = as_formula(formula, self.formula.double_bar)
        return Model._of(parsed, self.source.reduced(parsed))

    @property
    def family(self) -> Family | None:
        """Family of a generalized model; None for a linear one."""
        return self.source.options.family

    @property
    def data(self) -> Any:
        """A copy of the caller's table as it was given: edits of either reach no fit."""
        return snapshot(self.source.data)

    @property
    def _native(self) -> str:
        """The kind of table that was given, which frames come back as (`native_frames`)."""
        given = self.source.data if isinstance(self.source, Source) else None
        return kind_of_table(given) or "pandas"

    @property
    def data_name(self) -> str | None:
        """Name of the caller's variable that held the data, if it could be told."""
        return self.source.data_name

    @property
    def weights_name(self) -> str | None:
        """Name of the weights, if any."""
        return self.source.options.weights_name

    @property
    def offset_name(self) -> str | None:
        """Name of the offset argument, if any."""
        return self.source.options.offset_name

    @property
    def weights_column(self) -> str | None:
        """Column that holds the prior weights; None where there are none or they are an array."""
        return self.source.options.weights_column

    @checked
    def with_data(self, data: Any) -> Model:
        """Make the model of the same formula on other data.

        Parameters
        ----------
        data : DataFrame, mapping of arrays, or anything narwhals can read
            With the columns that the formula names.

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
        return Model._of(self.formula, self.source.with_data(data))
