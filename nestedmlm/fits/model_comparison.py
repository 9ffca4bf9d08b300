"""Comparing models: likelihood ratio tests, and sequential sums of squares of one model.

The semantics are those of lme4's ``anova`` (reference/lme4.md, 2.6).
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import checked
from nestedmlm.callers import PACKAGE
from nestedmlm.design.design import Design
from nestedmlm.errors import ModelComparisonError, NestedMLMWarning, RowsNotHereError
from nestedmlm.fits.generalized.options import two_informations
from nestedmlm.fits.plain_only import refuse_iterative, refuse_residuals
from nestedmlm.fits.verbs.fragility import ratio_fragility
from nestedmlm.inference.effects.sequential import sequential_sums_of_squares
from nestedmlm.inference.variances.added_effects import nested
from nestedmlm.inference.variances.boundary import null_distribution
from nestedmlm.late import late_imports
from nestedmlm.views.anova import LRT_COLUMNS, SS_COLUMNS, AnovaResult
from nestedmlm.views.fragility import Fragility

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit
    from nestedmlm.fits.shared_sums import with_shared_sums
else:  # loads when fits of large tables are compared
    globals().update(late_imports("nestedmlm.fits", {"shared_sums": "with_shared_sums"}))

REFIT_MESSAGE = "refitting model(s) with ML (instead of REML)"

_log = logging.getLogger("nestedmlm")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairOutcome:
    """Outcome of a test of two models.

    Attributes
    ----------
    pvalue : float
    note : str
        How it came about, for the table's footer.
    draws : array or None
        Draws of the statistic if the smaller model is true.
    """

    pvalue: float
    note: str
    draws: FloatArray | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairTest:
    """A p-value beside the chi-squared one.

    Attributes
    ----------
    column : str
        Its name in the table.
    run : callable (smaller fit, larger fit, statistic) -> PairOutcome
    """

    column: str
    run: Callable[[LmerFit, LmerFit, float], PairOutcome]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class LikelihoodRatios(AnovaResult):
    """Likelihood ratio tests of several models, each against the one before it.

    The other attributes are those of `nestedmlm.views.anova.AnovaResult`.

    Attributes
    ----------
    fits : tuple of LmerFit
        As they were compared (by maximum likelihood, unless `refit` was False), in the order of
        the table.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> data = nm.load_dataset("Pastes")
    >>> a = nm.lmer("strength ~ 1 + (1 | batch)", data, REML=False)
    >>> b = nm.lmer("strength ~ 1 + (1 | batch/cask)", data, REML=False)
    >>> [fit.formula for fit in nm.anova(a, b).fits]
    ['strength ~ 1 + (1 | batch)', 'strength ~ 1 + (1 | batch/cask)']
    """

    fits: tuple[LmerFit, ...]

    @checked
    def fragility(
        self,
        by: Any = None,
        *,
        model: str | None = None,
        level: float = 0.95,
        progress: bool = True,
    ) -> Fragility:
        """How few groups must be left out for a test's conclusion to change; a view.

        Parameters
        ----------
        by : str, list of str or array, optional
            What is left out at a time: a grouping factor, a column, columns whose combinations are
            left out, or one label for each row. Default: each row.
        model : str, optional
            Name of the larger model of the test; by default the last one.
        level : float
            Significant is a p-value below ``1 - level``.
        progress : bool
            Show a line of progress for long work.

        Returns
        -------
        Fragility

        Raises
        ------
        ModelComparisonError
            If `model` names none that is tested, or the models were fitted by REML.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> data = nm.load_dataset("Pastes")
        >>> a = nm.lmer("strength ~ 1 + (1 | batch)", data, REML=False)
        >>> b = nm.lmer("strength ~ 1 + (1 | batch/cask)", data, REML=False)
        >>> nm.anova(a, b).fragility("batch", progress=False).sentence()
        'b against a: no set of up to 5 of the 10 groups of batch was found without which it is \
no longer significant.'
        """
        names = list(map(str, self.table.index))
        place = names.index(model) if model in names[1:] else len(names) - 1
        if model is not None and names[place] != model:
            raise ModelComparisonError(
                f"{model!r} is tested against no other; choose from {', '.join(names[1:])}"
            )
        pair = self.fits[place - 1], self.fits[place]
        if any(fit.REML for fit in pair):
            raise ModelComparisonError(
                "these models were compared by REML; compare them with refit=True first"
            )
        return ratio_fragility(
            *pair, by, level=level, progress=progress, names=names[place - 1 : place + 1]
        )


def compare_models(
    fits: Sequence[LmerFit],
    *,
    refit: bool = True,
    names: Sequence[str] | None = None,
    test: PairTest | None = None,
) -> AnovaResult:
    """Compare models by likelihood ratio tests, or split one model's fixed effects.

    Parameters
    ----------
    fits : sequence of LmerFit
        One fit: sequential sums of squares. Several: they are sorted by their number of parameters
        (equal ones stay in the order given) and each is tested against the one before.
    refit : bool
        Refit by ML what was fitted by REML (REML criteria of models with different fixed effects
        cannot be compared).
    names : sequence of str, optional
        One for each fit; by default M1, M2, ...
    test : PairTest, optional
        A p-value beside the chi-squared one.

    Returns
    -------
    AnovaResult

    Raises
    ------
    ModelComparisonError
        When there is nothing to compare, the number of names is wrong, or the models were not
        fitted to the same observations.

    Notes
    -----
    The p-values take the difference of deviances as chi-squared. Where a variance of zero is
    tested they are too large (conservative); `BOUNDARY` and the bootstrap are not.
    """
    fits = tuple(fits)
    if not fits:
        raise ModelComparisonError("anova needs at least one fit")
    labels = tuple(names) if names is not None else tuple(f"M{i + 1}" for i in range(len(fits)))
    if len(labels) != len(fits):
        raise ModelComparisonError(
            f"{len(labels)} names for {len(fits)} models: give one name for each model"
        )
    if len(fits) == 1 and test is not None:
        raise ModelComparisonError("this test compares models: give two or more")
    if len(fits) == 1:
        return sequential_anova(fits[0])
    if test is not None:
        for fit in fits:
            refuse_residuals(fit, "this test of variances", "the chi-squared one is")
    fits = with_shared_sums(fits)
    _check_same_data(fits, labels)
    for fit, label in zip(fits, labels, strict=True):
        refuse_iterative(fit, label)
    messages = _announce(fits, refit)
    return _likelihood_ratios(
        [fit.refit_ml() if refit and fit.REML else fit for fit in fits], labels, messages, test
    )


def boundary_outcome(small: LmerFit, large: LmerFit, statistic: float) -> PairOutcome:
    """P-value of variances that are zero in the smaller model: a chi-bar-square distribution.

    Raises
    ------
    ModelComparisonError
        If the fixed effects differ or the random effects are not nested.
    """
    if small.penalty is not None or large.penalty is not None:
        raise ModelComparisonError(
            "penalised fits have no likelihood ratio: refit without a penalty"
        )
    null = null_distribution(
        small.design, small.solution, large.design, large.solution, REML=small.REML
    )
    text = null.text
    if small.is_singular():
        text += "; the smaller model is singular, which this takes no account of (test='bootstrap')"
    return PairOutcome(pvalue=null.pvalue(statistic), note=text)


BOUNDARY = PairTest(column="Pr(boundary)", run=boundary_outcome)


def _announce(fits: Sequence[LmerFit], refit: bool) -> tuple[str, ...]:
    """Say that models are refitted, or warn that what is compared differs in kind."""
    reml = [bool(fit.REML) for fit in fits]
    if not any(reml):
        return ()
    if refit:
        _log.warning(REFIT_MESSAGE)
        return (REFIT_MESSAGE,)
    if not all(reml):
        message = "some models fit with REML = True, some not: their criteria cannot be compared"
        warnings.warn(message, NestedMLMWarning, skip_file_prefixes=PACKAGE)
        return (message,)
    return ()


def _check_same_data(fits: Sequence[LmerFit], labels: Sequence[str]) -> None:
    families = {label: _family(fit) for label, fit in zip(labels, fits, strict=True)}
    if len({name.split(" ")[0] for name in families.values()}) > 1:
        listed = ", ".join(f"{label}: {name}" for label, name in families.items())
        raise ModelComparisonError(
            f"the models have different families ({listed}): they are not nested, and no test "
            "compares them; their AIC do (fit.aic)"
        )
    if len({getattr(fit, "nAGQ", 1) for fit in fits}) > 1:
        raise ModelComparisonError(
            "the models were fitted with different nAGQ: their likelihoods are approximated in "
            "different ways and cannot be compared; refit them with one"
        )
    sizes = {label: int(fit.nobs) for label, fit in zip(labels, fits, strict=True)}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{label}: {size}" for label, size in sizes.items())
        raise ModelComparisonError(
            f"models were not all fitted to the same size of dataset ({listed} rows); missing "
            "values in a variable that only some models use have this effect: drop those rows first"
        )
    for label, fit in zip(labels[1:], fits[1:], strict=True):
        if not same_responses(fits[0].design, fit.design):
            raise ModelComparisonError(
                f"{labels[0]} and {label} were fitted to different responses: likelihoods can be "
                "compared only for the same values of the same response in the same rows"
            )


def _family(fit: LmerFit) -> str:
    family = fit.core.family
    return "gaussian (identity)" if family is None else f"{family.name} ({family.link.name})"


def same_responses(one: Design, other: Design) -> bool:
    """Whether two designs have the same response, or were made of the same sums."""
    if one.sums is not None and other.sums is not None and one.sums.same_data(other.sums):
        return True
    try:
        return bool(np.array_equal(one.y, other.y))
    except RowsNotHereError:
        return False


# of models that are not nested, by whether they differ in their number of parameters
_APART = {
    True: "its p-value means nothing; compare AIC or BIC",
    False: "both have as many parameters, and nothing to test; compare AIC or BIC",
}


def _likelihood_ratios(
    fits: Sequence[LmerFit],
    labels: Sequence[str],
    messages: tuple[str, ...],
    test: PairTest | None,
) -> AnovaResult:
    from scipy.stats import chi2

    order = sorted(range(len(fits)), key=lambda i: fits[i].npar)  # stable
    fits, labels = [fits[i] for i in order], [labels[i] for i in order]
    npar = np.array([fit.npar for fit in fits], dtype=float)
    llf = np.array([fit.llf for fit in fits], dtype=float)
    df = np.diff(npar, prepend=np.nan)
    chisq = 2.0 * np.maximum(0.0, np.diff(llf, prepend=np.nan))
    p = np.where(df > 0, chi2.sf(chisq, np.where(df > 0, df, 1.0)), np.nan)
    columns = (
        npar.astype(int),
        [fit.aic for fit in fits],
        [fit.bic for fit in fits],
        llf,
        -2.0 * llf,
        chisq,
        df,
        p,
    )
    table = pd.DataFrame(dict(zip(LRT_COLUMNS, columns, strict=True)), index=pd.Index(labels))
    data = fits[0].data_name
    heading = ([f"Data: {data}"] if data is not None else []) + ["Models:"]
    heading += [f"{label}: {_written(fit)}" for label, fit in zip(labels, fits, strict=True)]
    apart = tuple(
        f"{labels[i - 1]} is not nested in {labels[i]}: {_APART[bool(df[i] > 0)]}"
        for i in range(1, len(fits))
        if not nested(fits[i - 1].design, fits[i].design)
    )
    apart += two_informations(fits)
    plain = LikelihoodRatios(
        table=table,
        heading=tuple(heading),
        messages=(*messages, *apart),
        notes=apart,
        fits=tuple(fits),
    )
    return plain if test is None else _with_test(plain, fits, labels, test)


def _written(fit: LmerFit) -> str:
    """A model's formula, and its residuals where they have a structure."""
    options = fit.model.source.options
    own = {"dispersion": options.dispersion, "residual": options.residual}
    if options.relationship is not None:
        own["relationship"] = ", ".join(options.relationship)
    return ", ".join([fit.formula, *(f"{k} = {v}" for k, v in own.items() if v is not None)])


def _with_test(
    plain: AnovaResult, fits: Sequence[LmerFit], labels: Sequence[str], test: PairTest
) -> AnovaResult:
    """Add the p-values of another test, each larger model against the one before it."""
    p, notes, draws = np.full(len(fits), np.nan), [], {}
    for i in range(1, len(fits)):
        if plain.table["Df"].iloc[i] == 0:
            continue
        found = test.run(fits[i - 1], fits[i], float(plain.table["Chisq"].iloc[i]))
        p[i] = found.pvalue
        notes.append(f"{labels[i]} against {labels[i - 1]}: {found.note}")
        if found.draws is not None:
            draws[str(labels[i])] = found.draws
    table = plain.table.assign(**{test.column: p})
    return replace(plain, table=table, notes=(*plain.notes, *notes), draws=draws)


def sequential_anova(fit: LmerFit) -> AnovaResult:
    """Sums of squares of the fixed terms, each after those before it."""
    assign = np.asarray(fit.design.x_assign, dtype=int)
    npar, squares = sequential_sums_of_squares(
        np.asarray(fit.params, dtype=float),
        np.asarray(fit.cov_params(), dtype=float),
        fit.core.scale,
        assign,
    )
    mean = squares / npar
    columns = (npar, squares, mean, mean / fit.core.scale**2)
    terms = sorted(set(assign.tolist()) - {0})
    index = pd.Index([fit.design.x_terms[term - 1] for term in terms], dtype=object)
    table = pd.DataFrame(dict(zip(SS_COLUMNS, columns, strict=True)), index=index)
    return AnovaResult(table=table, heading=("Analysis of Variance Table",))
