"""`joint_tests`: F tests of the terms of a model through its marginal means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nestedmlm.arguments import checked
from nestedmlm.errors import OptionError
from nestedmlm.fits.bayes_estimates import BayesEstimates
from nestedmlm.fits.data_of import predictors_of
from nestedmlm.fits.estimates import Estimates
from nestedmlm.fits.imputation.pooled_fit import PooledFit
from nestedmlm.fits.means.joint_rows import OF_A_POSTERIOR
from nestedmlm.inference.effects.curve_coefficients import mean_method
from nestedmlm.inference.effects.df_record import ClusterRobust
from nestedmlm.inference.means.joint_tests import term_tests, wide_covariates
from nestedmlm.inference.means.reference_grid import reference_grid
from nestedmlm.views.joint_tests import JointTests

if TYPE_CHECKING:
    from nestedmlm.fits.bayes_fit import BayesFit
    from nestedmlm.fits.lmer_fit import LmerFit


def joint_tests(
    fit: LmerFit | BayesFit | PooledFit,
    *,
    by: str | Sequence[str] | None = None,
    at: Mapping[str, Any] | None = None,
    weights: str = "equal",
    ddf: str | None = None,
    vcov: str | ClusterRobust | None = None,
) -> JointTests:
    """Test each term through the marginal means: main effects and interactions, as R's emmeans.

    Of complete designs of factors these are the tests of type III. Unlike those they do not depend
    on how factors are coded, they can be made within the levels of others, and where cells are
    empty they test what can be estimated, and say so.

    Parameters
    ----------
    fit : LmerFit, GlmerFit or PooledFit
    by : str or sequence of str, optional
        Predictors within whose levels the others are tested: simple effects.
    at : mapping of str to value or sequence, optional
        Reference values. By default factors have all their levels, and numeric predictors two:
        their mean minus and plus one, between which their slope is tested.
    weights : {"equal", "proportional", "outer", "cells", "flat"}
        How the levels that are averaged over count; see `nestedmlm.emmeans`.
    ddf : {"kenward-roger", "satterthwaite", "residual", "none"}, optional
        Degrees of freedom; by default as for `nestedmlm.emmeans`.
    vcov : {"CR0", "CR1", "CR2", "CR3"} or ClusterRobust, optional
        Cluster-robust covariance in the place of the model's, with its degrees of freedom.

    Returns
    -------
    JointTests
        A view; ``.to_frame()`` has the numbers.

    Raises
    ------
    OptionError
        For a posterior, for names that are no predictors, and where none is left to test.

    Notes
    -----
    Lenth's emmeans 1.8.4, ``joint_tests``. F tests of several degrees of freedom are Kenward and
    Roger's (or Satterthwaite's) own, as in `LmerFit.anova`; emmeans takes the fewest degrees of
    freedom of the rows of an orthogonal basis, and no scaling. They agree where designs are
    balanced, for single degrees of freedom, and for z tests.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("angle ~ recipe * temperature + (1 | recipe:replicate)",
    ...               nm.load_dataset("cake"))
    >>> nm.joint_tests(fit)
     model term         df1 df2 F.ratio p.value
     recipe               2  42   0.249  0.7809
     temperature          5 210  20.520  <.0001
     recipe:temperature  10 210   1.006  0.4393
    <BLANKLINE>
    Degrees-of-freedom method: kenward-roger

    Simple effects:

    >>> fit.joint_tests(by="temperature").to_frame()["p_value"].round(2).tolist()
    [0.73, 0.63, 0.93, 0.65, 0.24, 0.97]
    """
    if isinstance(fit, BayesEstimates):
        raise OptionError(OF_A_POSTERIOR)
    if not isinstance(fit, Estimates | PooledFit):
        raise OptionError(
            f"joint tests are of an LmerFit or a GlmerFit, not of a {fit.__class__.__name__}"
        )
    if not fit.design.p:
        raise OptionError("the model has no fixed effects: there is nothing to test")
    groups = () if by is None else (by,) if isinstance(by, str) else tuple(by)
    data = predictors_of(fit)
    grid = reference_grid(fit.design, data, at=at)
    unknown = [name for name in groups if name not in grid.names]
    if unknown:
        known = ", ".join(grid.names) or "none"
        raise OptionError(f"by={', '.join(unknown)}: the predictors are: {known}")
    if set(grid.names) <= set(groups):
        raise OptionError("there is no predictor to test" + (" beside by=" if groups else ""))
    wide = wide_covariates(grid, {} if at is None else at)
    method = mean_method(fit.core, ddf, vcov)
    table = term_tests(
        reference_grid(fit.design, data, at=wide), method, by=groups, weights=weights
    )
    return JointTests(table=table, by=groups, method=method.method, notes=method.notes)


if not TYPE_CHECKING:  # classes bind it as a method: decorators hide their types in such a circle
    joint_tests = checked(joint_tests)
