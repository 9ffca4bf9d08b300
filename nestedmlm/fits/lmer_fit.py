"""`LmerFit`: what `lmer` returns. A frozen record; every number is computed elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nestedmlm._typing import FloatArray
from nestedmlm.deprecations import renamed
from nestedmlm.design.design import Design
from nestedmlm.errors import OptionError
from nestedmlm.fits import maketables
from nestedmlm.fits.estimates import Estimates
from nestedmlm.fits.singularity import diagnose, is_singular, repca, simplify
from nestedmlm.fits.verbs.intervals import IntervalVerbs
from nestedmlm.fits.verbs.refits import RefitVerbs
from nestedmlm.fits.verbs.rows import RowVerbs
from nestedmlm.fits.verbs.sample import sample
from nestedmlm.fits.verbs.simulation import SimulationVerbs
from nestedmlm.fits.verbs.summaries import SummaryVerbs
from nestedmlm.fits.verbs.tests import TestVerbs
from nestedmlm.fits.verbs.to_pymc import to_pymc
from nestedmlm.likelihood.plan import SINGULAR
from nestedmlm.likelihood.solution import smallest_singular_value
from nestedmlm.optimum.optimize import Control
from nestedmlm.optimum.penalty import Penalty
from nestedmlm.optimum.solve import solve, warn_uncertified
from nestedmlm.plots.accessor import OLD_NAMES, FitPlots
from nestedmlm.statistics.crossproducts import CrossProducts
from nestedmlm.views.summary import fit_view

if TYPE_CHECKING:
    from nestedmlm.fits.model import Model
    from nestedmlm.fits.singularity import Diagnosis, Path, RePCA

SINGULAR_MESSAGE = "boundary (singular) fit: see fit.diagnose()"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class LmerFit(
    TestVerbs,
    IntervalVerbs,
    SimulationVerbs,
    RefitVerbs,
    RowVerbs,
    SummaryVerbs,
    Estimates,
):
    """A fitted linear mixed model.

    Attributes
    ----------
    model : Model
        The specification it was fitted from.
    design : Design
        Matrices, grouping factors and the learned schema.
    solution : Solution
        The model at the optimum.
    REML : bool
        Fitted by REML (True) or maximum likelihood.
    certificate : Certificate
        What was checked at the optimum.
    messages : tuple of str
        What lme4 would have said: dropped columns, a singular fit.
    penalty : Penalty or None
        Prior on the covariances, if one was used.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> fit.fixef.round(2).to_dict()
    {'(Intercept)': 251.41, 'Days': 10.47}
    >>> fit.converged, fit.is_singular(), fit.nobs
    (True, False, 180)
    >>> fit.ngrps.to_dict()
    {'Subject': 18}
    """

    # --- singularity ---------------------------------------------------------------------------
    def is_singular(self, tol: float = 1e-4, *, rule: str = "rank") -> bool:
        """Whether some combination of random effects has variance zero.

        Parameters
        ----------
        tol : float
        rule : {"rank", "lme4"}
            ``rank`` looks at the rank of each relative covariance in units of its columns' root
            mean squares, so it does not depend on the units of a predictor; ``lme4`` is lme4's
            rule: any diagonal entry of theta below `tol`.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff2"))
        >>> fit.is_singular()
        True
        """
        return is_singular(self, tol=tol, rule=rule)

    def repca(self) -> RePCA:
        """Principal components of each factor's relative covariance; a view.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
        >>> fit.repca()
        Principal components of the relative covariances
         Groups  PC Std.Dev. Proportion Cumulative
         Subject 1  0.9669   0.9461     0.9461
                 2  0.2309   0.0539     1.0000
        """
        return repca(self)

    def diagnose(self) -> Diagnosis:
        """Explain a singular fit, and name the simpler models worth fitting next; a view.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff2"))
        >>> fit.diagnose()
        Singularity diagnosis: the fit is singular
        Formula: Yield ~ 1 + (1 | Batch)
        <BLANKLINE>
         Term  Effects     Rank   Groups Rows: min median mean
         Batch (Intercept) 0 of 1 6      5         5      5.0
        <BLANKLINE>
        Batch: the standard deviation of (Intercept) is zero (rank 0 of 1).
        The groups show no more variation in it than chance differences between rows explain.
        Each of the 6 levels of Batch holds 5.0 rows on average.
        <BLANKLINE>
        Worth fitting next:
        1. no random intercept for Batch (an ordinary regression: no random effects are left):
             Yield ~ 1
        """
        return diagnose(self)

    def simplify(self) -> Path:
        """Fit the models `diagnose` recommends until one is not singular; the path, with LRTs.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("angle ~ temp + (temp | replicate)", nm.load_dataset("cake"))
        >>> fit.simplify().final.formula
        'angle ~ temp + ((1 | replicate) + (0 + temp | replicate))'
        """
        return simplify(self)

    # --- further fits --------------------------------------------------------------------------
    def refitted(
        self,
        design: Design,
        *,
        REML: bool | None = None,
        start: FloatArray | None = None,
        stats: CrossProducts | None = None,
    ) -> LmerFit:
        """Fit another design of this model, as this fit was made.

        Parameters
        ----------
        design : Design
            The model's own with another response, other rows or another fixed part.
        REML : bool, optional
            REML or maximum likelihood; by default this fit's criterion.
        start : (n_theta,) array, optional
            Theta to start from; by default this fit's.
        stats : CrossProducts, optional
            ``cross_products(design)``, where the caller has them already.

        Returns
        -------
        LmerFit
            With this fit's penalty, if it has one.

        Warns
        -----
        ConvergenceWarning
            If the optimum is not certified.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> from dataclasses import replace
        >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
        >>> doubled = replace(fit.design, y=2.0 * fit.design.y)
        >>> print(round(fit.sigma, 4), round(fit.refitted(doubled).sigma, 4))
        49.5101 99.0202
        """
        return fit_design(
            self.model,
            design,
            REML=self.REML if REML is None else REML,
            start=self.theta if start is None else start,
            penalty=self.penalty,
            stats=stats,
        )

    # --- the Bayesian half ---------------------------------------------------------------------
    to_pymc = to_pymc
    sample = sample

    # --- pictures ------------------------------------------------------------------------------
    @property
    def plot(self) -> FitPlots:
        """Pictures: ``fit.plot.trellis()``; `fit.plot()` alone draws the diagnostics.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
        >>> fit.plot.shrinkage().get_ylabel()
        'Days'
        >>> len(fit.plot())
        4
        """
        return FitPlots(self)

    if not TYPE_CHECKING:
        __getattr__ = renamed(OLD_NAMES)

    # --- views ---------------------------------------------------------------------------------
    @property
    def formula(self) -> str:
        """The formula as lme4 prints it."""
        return self.design.formula.display

    @property
    def data_name(self) -> str | None:
        """Name of the caller's variable that held the data, if it could be told."""
        return self.model.data_name

    @property
    def weights_name(self) -> str | None:
        """Name of the weights, if any."""
        return self.model.weights_name

    @property
    def offset_name(self) -> str | None:
        """Name of the offset argument, if any."""
        return self.model.offset_name

    def __repr__(self) -> str:
        return str(fit_view(self))

    def _repr_html_(self) -> str:
        return fit_view(self)._repr_html_()

    # --- what maketables asks ------------------------------------------------------------------
    __maketables_coef_table__ = property(maketables.coef_table)
    __maketables_stat__ = maketables.stat
    __maketables_depvar__ = property(maketables.depvar)
    __maketables_fixef_string__ = property(maketables.fixef_string)
    __maketables_vcov_info__ = property(maketables.vcov_info)
    __maketables_stat_labels__ = property(maketables.stat_labels)
    __maketables_default_stat_keys__ = property(maketables.default_stat_keys)


def fit_design(
    model: Model,
    design: Design,
    *,
    REML: bool,
    start: FloatArray | None = None,
    control: Control | None = None,
    penalty: Penalty | str | None = None,
    stats: CrossProducts | None = None,
) -> LmerFit:
    """Optimise, then report: what every route to a fit goes through.

    `stats` are ``cross_products(design)`` where the caller has them already.
    """
    if control is not None and not isinstance(control, Control):
        raise OptionError(f"control must be a nestedmlm.Control, not {type(control).__name__}")
    found = solve(design, REML=REML, start=start, control=control, penalty=penalty, stats=stats)
    warn_uncertified(found)
    notes = [*design.messages]
    if smallest_singular_value(found.solution) < SINGULAR:
        notes.append(SINGULAR_MESSAGE)
    if found.penalty is not None:
        name = found.penalty.name
        notes.append(f"covariances penalised: {name} (the criterion is without the penalty)")
    return LmerFit(
        model=model,
        design=design,
        solution=found.solution,
        REML=found.REML,
        certificate=found.certificate,
        messages=tuple(notes),
        penalty=found.penalty,
    )
