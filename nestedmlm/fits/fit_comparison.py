"""`anova`: comparison of fits by likelihood ratio tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from nestedmlm.arguments import check_choice, checked
from nestedmlm.callers import Caller
from nestedmlm.errors import OptionError
from nestedmlm.fits.estimates import Estimates
from nestedmlm.fits.lmer_fit import LmerFit
from nestedmlm.fits.model_comparison import BOUNDARY, PairTest, compare_models
from nestedmlm.fits.simulation.lrt import bootstrap_test
from nestedmlm.views.anova import AnovaResult
from nestedmlm.views.parameters import given_fits


@checked
def anova(
    *fits: LmerFit | Sequence[LmerFit] | Mapping[str, LmerFit],
    refit: bool = True,
    names: Sequence[str] | None = None,
    test: str = "chisq",
    nsim: int = 1000,
    seed: int | None = None,
    workers: int = 1,
    progress: bool = True,
) -> AnovaResult:
    """Compare fitted models by likelihood ratio tests.

    Parameters
    ----------
    *fits : LmerFit or GlmerFit
        Or one list of them, or a dictionary by their names. Several: sorted by number of
        parameters, each tested against the one before. One: its sequential sums of squares.
    refit : bool
        Refit REML fits by maximum likelihood first (their REML criteria cannot be compared when
        fixed effects differ); ``.messages`` says so.
    names : sequence of str, optional
        By default the names of the caller's variables, or M1, M2, … where they cannot be told.
    test : {"chisq", "boundary", "bootstrap"}
        Another p-value beside that of chi-squared, which is too large where variances of zero are
        tested. ``boundary``: a chi-bar-square distribution (Self & Liang 1987, Stram & Lee 1994),
        for models that differ in their random effects. ``bootstrap``: the smaller model is
        simulated and both are refitted (pbkrtest's ``PBmodcomp``), for any nested models.
    nsim, seed, workers, progress
        Of the bootstrap.

    Returns
    -------
    AnovaResult
        A view; ``.table`` is the DataFrame.

    Raises
    ------
    ModelComparisonError
        If the models were not fitted to the same rows of the same data, or are not nested.
    OptionError
        For an unknown test.

    Notes
    -----
    The bootstrap's p-value is ``(1 + #{draws >= statistic}) / (1 + nsim)``. pbkrtest leaves out
    draws of zero from both counts, and so reports about twice as much for a variance.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> sleepstudy = nm.load_dataset("sleepstudy")
    >>> both = nm.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy, REML=False)
    >>> intercepts = nm.lmer("Reaction ~ Days + (1 | Subject)", sleepstudy, REML=False)
    >>> table = nm.anova(intercepts, both).table
    >>> table[["npar", "Chisq", "Df"]].round(3)
                npar   Chisq   Df
    intercepts     4     NaN  NaN
    both           6  42.139  2.0
    >>> pastes = nm.load_dataset("Pastes")
    >>> batches = nm.lmer("strength ~ 1 + (1 | batch)", pastes, REML=False)
    >>> casks = nm.lmer("strength ~ 1 + (1 | batch) + (1 | sample)", pastes, REML=False)
    >>> nm.anova(batches, casks, test="boundary").notes
    ('casks against batches: 1/2 chisq(0) + 1/2 chisq(1)',)
    """
    given, names = given_fits(fits, names)
    models = [_fitted(fit) for fit in given]
    if test != "chisq" and any(fit.core.family is not None for fit in models):
        raise OptionError(
            f"test={test!r} is for linear models; a generalized one has the chi-squared test"
        )
    if names is None and len(models) > 1:
        names = Caller.here().distinct_names_of(models)
    beside = ANOVA_TESTS[check_choice(test, "test", ANOVA_TESTS)](nsim, seed, workers, progress)
    return compare_models(models, refit=refit, names=names, test=beside)


def _fitted(fit: Any) -> LmerFit:
    """A fit by likelihood.

    Raises
    ------
    OptionError
        For anything else.
    """
    if not isinstance(fit, Estimates):
        raise OptionError(
            f"each of the fits must be an LmerFit or a GlmerFit, not {type(fit).__name__}"
        )
    return cast("LmerFit", fit)


ANOVA_TESTS: Mapping[str, Callable[[int, int | None, int, bool], PairTest | None]] = {
    "chisq": lambda *_: None,
    "boundary": lambda *_: BOUNDARY,
    "bootstrap": bootstrap_test,
}
