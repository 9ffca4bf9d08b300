"""Checks of a fit's assumptions in words, for both engines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import checked
from nestedmlm.design.design import GroupingFactor
from nestedmlm.inference.rows import assumption_checks as checks
from nestedmlm.plots.source import rows_of
from nestedmlm.views.check import Check, Finding
from nestedmlm.views.protocols import Fit

_MOST_NAMED = 5  # rows, groups
LEVEL = 0.05  # of every test
_FEWEST_ROWS = 12  # up to which nothing is said of bends
COLUMNS = ["check", "term", "group", "statistic", "value", "p_value", "verdict"]


@checked
def check(fit: Fit, *, nsim: int = 200, seed: int | None = 1) -> Check:
    """Check the assumptions of a model: sentences with what they mean and what to do; a view.

    Parameters
    ----------
    nsim : int
        Responses that are drawn from the model, to compare the data with; fewer than 160 cannot
        tell whether data beyond all of them are chance.
    seed : int
        Of these draws.

    Returns
    -------
    Check
        Prints as sentences; ``to_frame()`` has the numbers, ``fit.plot.check()`` is the picture.

    Raises
    ------
    RowsNotHereError
        For fits of data in partitions or of sums, which keep no rows.
    OptionError
        For `nsim` or `seed` that are no whole numbers.

    Notes
    -----
    Residuals are divided by sigma (of posteriors at the posterior means; normalized ones where
    variances differ). *look*: a test at 5 % and a size that matters; *act*: a size that changes
    conclusions. Tests alone say little: many rows make trifles significant. Variance inflation is
    Fox and Monette's (1992); spread is tested as Koenker (1981) does.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> found = fit.check()
    >>> [finding.verdict for finding in found.findings]
    ['fine', 'fine', 'fine', 'fine', 'fine', 'fine', 'fine', 'fine']
    """
    notes = Notes()
    fitted, z = rows_of(fit)
    for part in (_residual_shape, _homogeneity):
        part(notes, fit, fitted, z)
    note_outliers(notes, fit, z)
    note_linearity(notes, [(name, *checks.bend(x, z)) for name, x in curves(fit)])
    note_collinearity(notes, fit)
    note_random_effects(notes, fit)
    _simulated(notes, fit, nsim, seed)
    if fit.engine != "posterior":
        _influence(notes, fit)
        note_singularity(notes, fit)
    return notes.written(fit)


@dataclass(slots=True)
class Notes:
    """Findings and numbers of the checks so far."""

    findings: list[Finding] = field(default_factory=list)
    rows: list[tuple[Any, ...]] = field(default_factory=list)

    def number(
        self,
        check: str,
        statistic: str,
        value: float,
        *,
        term: str | None = None,
        group: str | None = None,
        p: float = np.nan,
        verdict: str = "fine",
    ) -> None:
        """Keep a number."""
        self.rows.append((check, term, group, statistic, float(value), p, verdict))

    def say(self, check: str, verdict: str, found: str, advice: str = "") -> None:
        """Keep a sentence; advice is for what is not fine."""
        self.findings.append(Finding(check=check, verdict=verdict, found=found,
                                     advice=advice if verdict != "fine" else ""))  # fmt: skip

    def written(self, fit: Fit) -> Check:
        """The view of what was found."""
        return Check(
            formula=fit.design.formula.display,
            findings=tuple(self.findings),
            numbers=pd.DataFrame(self.rows, columns=COLUMNS),
        )


def said_p(p: float) -> str:
    """A p-value as a sentence has it."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def verdict_of_shape(shape: checks.Shape) -> str:
    """Skewness moves estimates more than tails do; both matter beyond what chance explains."""
    if shape.p_value >= LEVEL:
        return "fine"
    if abs(shape.skewness) > 1.0 or shape.kurtosis > 4.0:
        return "act"
    return "look" if abs(shape.skewness) > 0.5 or abs(shape.kurtosis) > 1.0 else "fine"


def _residual_shape(notes: Notes, fit: Fit, fitted: FloatArray, z: FloatArray) -> None:
    shape = checks.shape_of(z)
    if shape is None:
        return
    name, verdict = "normal residuals", verdict_of_shape(shape)
    for statistic, value in (("W", shape.W), ("skewness", shape.skewness),
                             ("kurtosis", shape.kurtosis)):  # fmt: skip
        p = shape.p_value if statistic == "W" else np.nan
        notes.number(name, statistic, value, p=p, verdict=verdict)
    notes.say(
        name,
        verdict,
        f"skewness {shape.skewness:.2f}, excess kurtosis {shape.kurtosis:.2f} (Shapiro and Wilk "
        f"{said_p(shape.p_value)}).",
        "Fixed effects and their tests bear this in all but small data; prediction intervals and "
        "variances do not. With skewness, model the logarithm or another transform; with long "
        "tails, look at the outliers and compare with bootstrap().",
    )


def _homogeneity(notes: Notes, fit: Fit, fitted: FloatArray, z: FloatArray) -> None:
    spread = checks.spread_along(fitted, z)
    if spread is None:
        return
    far = max(spread.ratio, 1.0 / spread.ratio) if spread.ratio > 0 else np.inf
    verdict = "fine" if spread.p_value >= LEVEL or far < 1.5 else "act" if far > 3.0 else "look"
    name = "equal spread"
    notes.number(name, "ratio of SDs", spread.ratio, p=spread.p_value, verdict=verdict)
    notes.say(
        name,
        verdict,
        f"residuals of the upper third of fitted values have {spread.ratio:.2f} times the SD of "
        f"the lower third ({said_p(spread.p_value)}).",
        "Standard errors are too small where the spread is large. Model the logarithm, let the "
        "residual SD depend on a predictor (dispersion=), or ask for a cluster-robust covariance "
        "(vcov='CR2').",
    )


def note_outliers(
    notes: Notes,
    fit: Fit,
    z: FloatArray,
    *,
    statistic: str = "residual / sigma",
    unit: str = "residual SDs",
) -> None:
    """Rows whose residuals are larger than the largest of as many normal ones."""
    limit = checks.outlier_limit(len(z))
    far = np.flatnonzero(np.abs(z) > limit)
    far = far[np.argsort(-np.abs(z[far]), kind="stable")]
    verdict = "fine" if not far.size else "act" if np.abs(z).max() > 6.0 else "look"
    name = "outliers"
    notes.number(name, f"largest |{statistic}|", np.abs(z).max(), verdict=verdict)
    named = []
    for row in far[:_MOST_NAMED]:
        groups = _groups_of(fit, int(row))
        notes.number(name, statistic, z[row], term=str(fit.design.index[row]),
                     group=groups or None, verdict=verdict)  # fmt: skip
        named.append(f"row {fit.design.index[row]}{f' ({groups})' if groups else ''} {z[row]:+.1f}")
    more = f" and {far.size - _MOST_NAMED} more" if far.size > _MOST_NAMED else ""
    those = "these are" if far.size > 1 else "this is"
    found = f"{', '.join(named)}{more}; {those}" if named else "none"
    notes.say(
        name,
        verdict,
        f"{found} beyond {limit:.1f} {unit}; {len(z)} normal residuals all lie within, with "
        "probability 0.95.",
        "Look these rows up: an error in the data is corrected, a true value stays. Fit without "
        "them too, and report both if a conclusion changes.",
    )


def _groups_of(fit: Fit, row: int) -> str:
    return ", ".join(f"{f.name} {f.levels[f.codes[row]]}" for f in fit.design.factors)


def curves(fit: Fit) -> Iterator[tuple[str, FloatArray]]:
    """Columns of numeric predictors that could bend, where there are rows enough to tell."""
    if fit.design.n <= _FEWEST_ROWS:
        return
    for name, column in zip(fit.design.x_names, fit.design.X.T, strict=True):
        if ":" not in name and len(np.unique(column)) > 4:
            yield name, column


def note_linearity(
    notes: Notes, found: list[tuple[str, float, float]], *, unit: str = "residual SDs"
) -> None:
    """Bends along predictors: names, sizes and p-values."""
    if not found:
        return
    verdicts = []
    for term, size, p in found:
        bent = p < LEVEL / len(found) and abs(size) > 0.3
        verdicts.append("act" if bent and abs(size) > 1.0 else "look" if bent else "fine")
        notes.number("linearity", "bend", size, term=term, p=p, verdict=verdicts[-1])
    worst = min(found, key=lambda item: item[2])
    verdict = max(verdicts, key=["fine", "look", "act"].index)
    bent_terms = ", ".join(t for (t, _, _), v in zip(found, verdicts, strict=True) if v != "fine")
    notes.say(
        "linearity",
        verdict,
        f"residuals bend along {bent_terms or 'no predictor'} (most along {worst[0]}: "
        f"{worst[1]:+.2f} {unit} at two SDs of the predictor, {said_p(worst[2])}).",
        "A straight line misses a relation: try poly(x, 2), ns(x, 3) or a logarithm, and draw "
        "fit.plot.residuals().",
    )


def note_collinearity(notes: Notes, fit: Fit) -> None:
    """Variance inflation of the terms."""
    design = fit.design
    found = checks.inflation(np.asarray(fit.cov_params(), dtype=float), design.x_assign)
    if not found:
        notes.say("collinearity", "fine", "fewer than two predictors.")
        return
    verdict = "fine"
    for term, value in found.items():
        own = "act" if value > 10.0 else "look" if value > 5.0 else "fine"
        verdict = max(verdict, own, key=["fine", "look", "act"].index)
        notes.number("collinearity", "VIF", value, term=design.x_terms[term - 1], verdict=own)
    worst = max(found, key=lambda term: found[term])
    notes.say(
        "collinearity",
        verdict,
        f"the largest variance inflation is {found[worst]:.1f} ({design.x_terms[worst - 1]}).",
        "The data cannot tell these predictors apart: their standard errors are "
        f"{np.sqrt(found[worst]):.1f} times what they would be. Estimates are not wrong; centring "
        "helps products and powers, otherwise leave one out or test them together (contest).",
    )


def note_random_effects(notes: Notes, fit: Fit) -> None:
    """Shapes of the conditional modes."""
    if not fit.design.terms:
        return
    frame = fit.ranef(condvar=False)
    said, verdict = [], "fine"
    for (group, term), part in frame.groupby(["group", "term"], sort=False):
        shape = checks.shape_of(part["estimate"].to_numpy(dtype=float))
        if shape is None:
            continue
        own = verdict_of_shape(shape)
        verdict = max(verdict, own, key=["fine", "look", "act"].index)
        notes.number("normal random effects", "W", shape.W, term=str(term), group=str(group),
                     p=shape.p_value, verdict=own)  # fmt: skip
        if own != "fine":
            said.append(
                f"{term} of {group} (skewness {shape.skewness:.2f}, {said_p(shape.p_value)})"
            )
    notes.say(
        "normal random effects",
        verdict,
        f"{'; '.join(said)} stand out." if said else "conditional modes look normal.",
        "Fixed effects hardly mind; predictions of single groups do. Look for a group that differs "
        "(fit.plot.caterpillar()) or a group-level predictor that is missing.",
    )


def _simulated(notes: Notes, fit: Fit, nsim: int, seed: int | None) -> None:
    whole: Any = fit
    drawn = whole.simulate(nsim, seed=seed).to_numpy(dtype=float)
    if len(drawn) == len(fit.design.kept):
        drawn = drawn[fit.design.kept]
    found = checks.simulated_tails(fit.design.y, drawn)
    name, verdict, said = "simulated responses", "fine", []
    for statistic, (value, middle, p) in found.items():
        own = "look" if p < LEVEL / len(found) else "fine"
        verdict = max(verdict, own, key=["fine", "look", "act"].index)
        notes.number(name, statistic, value, p=p, verdict=own)
        if own != "fine":
            said.append(f"{statistic} {value:.4g}, of draws about {middle:.4g}")
    notes.say(
        name,
        verdict,
        f"{'; '.join(said)}." if said else f"the data look like {nsim} draws from the model.",
        "The model does not make such data: bounds, counts, skewness or a mixture are left out. "
        "Another family (glmer), a transform or another predictor may.",
    )


def _influence(notes: Notes, fit: Fit) -> None:
    likely: Any = fit
    factor = smallest_factor(fit)
    if factor is not None:
        influence = likely.influence(factor.name, refit="none", progress=False)
        note_influence(notes, factor.name, influence.cooks_distance())


def smallest_factor(fit: Fit) -> GroupingFactor | None:
    """The grouping factor with the fewest levels, whose groups are left out one by one."""
    factors = [f for f in fit.design.factors if not f.is_whole]
    if not fit.design.p or not factors:
        return None
    return min(factors, key=lambda f: len(f.levels))


def note_influence(notes: Notes, name: str, distances: pd.Series) -> None:
    """Cook's distances of the levels of a grouping factor."""
    worst = distances.sort_values(ascending=False).head(_MOST_NAMED)
    top = float(worst.iloc[0])
    verdict = "act" if top > 1.0 else "look" if top > 0.5 else "fine"
    for level, value in worst.items():
        notes.number("influence", "Cook's distance", value, group=f"{name} {level}",
                     verdict=verdict if value > 0.5 else "fine")  # fmt: skip
    notes.say(
        "influence",
        verdict,
        f"{name} {worst.index[0]} moves the fixed effects most when left out (Cook's "
        f"distance {top:.2f}; beyond 1 it moves them by their own uncertainty).",
        "Fit without it and compare; fit.fragility() says whether a conclusion hangs on it.",
    )


def note_singularity(notes: Notes, fit: Fit) -> None:
    """Variances of zero and correlations of one."""
    likely: Any = fit
    if not fit.design.terms:
        return
    singular = likely.is_singular()
    notes.number("singularity", "singular", float(singular), verdict="look" if singular else "fine")
    notes.say(
        "singularity",
        "look" if singular else "fine",
        "a variance is zero or a correlation is one." if singular else "the fit is not singular.",
        "The data do not support all random effects: fit.diagnose() says which, fit.simplify() "
        "takes them out.",
    )
