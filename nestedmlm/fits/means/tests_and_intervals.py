"""`Emmeans.test` and `Emmeans.conf_int`: rows printed with tests, or with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from nestedmlm.arguments import check_level, checked
from nestedmlm.errors import OptionError
from nestedmlm.fits.means.comparisons import adjustment_of, shown_with
from nestedmlm.inference.means.null_hypothesis import (
    NullHypothesis,
    changed_hypothesis,
    check_lengths,
)
from nestedmlm.inference.means.simultaneous import split_rows

if TYPE_CHECKING:
    from nestedmlm.fits.means.marginal_means import Emmeans


@checked
def conf_int(
    self: Emmeans, level: float | None = None, *, adjust: str | None = None, side: str | None = None
) -> Emmeans:
    """The same rows, printed with intervals.

    Parameters
    ----------
    level : float, optional
        Confidence level; by default as it was.
    adjust : str, optional
        Adjustment for many comparisons: ``tukey``, ``holm``, ``sidak``, ``bonferroni``,
        ``dunnettx``, ``mvt``, ``none``, …; by default as it was.
    side : {"two-sided", ">", "<"}, optional
        ``">"`` for lower limits alone, ``"<"`` for upper ones; by default as it was.

    Returns
    -------
    Emmeans

    Raises
    ------
    OptionError
        For an unknown level, adjustment or side.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> cake = nm.load_dataset("cake")
    >>> means = nm.emmeans(nm.lmer("angle ~ recipe + (1 | replicate)", cake), "recipe")
    >>> means.conf_int(0.9).to_frame()[["conf_low", "conf_high"]].round(1)
       conf_low  conf_high
    0      30.1       36.1
    1      28.7       34.6
    2      28.6       34.6
    """
    tested = changed_hypothesis(self.hypothesis, side=side)
    return _shown(self, level, adjust, tested, intervals=True, tests=False)


@checked
def test(
    self: Emmeans,
    *,
    null: float | Sequence[float] | None = None,
    side: str | None = None,
    delta: float | None = None,
    adjust: str | None = None,
    infer: bool | Sequence[bool] | None = None,
) -> Emmeans:
    """The same rows, printed with tests: of zero, of another value, one-sided, of equivalence.

    Parameters
    ----------
    null : float or sequence of float, optional
        Tested value, or one for each row of a family, on the scale of the linear predictor
        (also where means are shown on the scale of the response, as in R: ``null=np.log(2)``
        tests a ratio of two). By default as it was, at first zero.
    side : {"two-sided", ">", "<", ...}, optional
        Where the alternative lies; R's words are known, too (``"right"``, ``"left"``,
        ``"noninferiority"``, ``"nonsuperiority"``, ``"equivalence"``).
    delta : float, optional
        Margin around `null`, on the same scale. Two-sided the test is then of equivalence (a
        small p-value says that the estimate misses `null` by less than `delta`), with ``">"``
        of non-inferiority (it is above ``null - delta``), with ``"<"`` of non-superiority
        (below ``null + delta``).
    adjust : str, optional
        Adjustment for many comparisons: ``tukey``, ``holm``, ``sidak``, ``bonferroni``,
        ``dunnettx``, ``mvt``, ``none``, …; by default as it was. Where p-values are of one
        tail, Šidák's stands in for ``tukey``, ``scheffe`` and ``dunnettx``, as in R.
    infer : bool or pair of bool, optional
        Whether intervals and tests are printed; by default tests.

    Returns
    -------
    Emmeans
        Of a posterior the probability of the alternative.

    Raises
    ------
    OptionError
        For an unknown side or adjustment, values that are no numbers or not one for each row
        of a family, a negative margin, or a side that needs one.

    Notes
    -----
    With ``delta`` the statistic is ``(|estimate - null| - delta) / SE`` with its left tail
    (two one-sided tests, Schuirmann 1987), or ``(estimate - null ± delta) / SE``; emmeans
    1.8.4.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> cake = nm.load_dataset("cake")
    >>> means = nm.emmeans(nm.lmer("angle ~ recipe + (1 | replicate)", cake), "recipe")
    >>> pairs = means.pairs().test(adjust="holm")
    >>> pairs.to_frame()["p_value"].round(3).tolist()
    [0.201, 0.201, 0.957]

    Are recipes equal but for two degrees?

    >>> means.pairs().test(delta=2, adjust="none")
     contrast estimate    SE  df t.ratio p.value
     A - B      1.4778 0.828 253  -0.631  0.2644
     A - C      1.5222 0.828 253  -0.577  0.2822
     B - C      0.0444 0.828 253  -2.362  0.0095
    <BLANKLINE>
    Degrees-of-freedom method: kenward-roger
    Statistics are tests of equivalence with a threshold of 2
    P values are left-tailed
    """
    tested = changed_hypothesis(self.hypothesis, null=null, side=side, delta=delta)
    return shown_with(_shown(self, None, adjust, tested, intervals=False, tests=True), infer)


def _shown(
    means: Emmeans,
    level: float | None,
    adjust: str | None,
    hypothesis: NullHypothesis,
    *,
    intervals: bool,
    tests: bool,
) -> Emmeans:
    chosen = means.adjust if adjust is None else adjustment_of(means, adjust)
    if chosen == "tukey" and not means.pairwise:
        raise OptionError("adjust='tukey' is for pairwise differences; use 'sidak' or 'holm'")
    used = means.level if level is None else check_level(level)
    check_lengths(hypothesis, split_rows(means.labels, means.by))
    return replace(
        means,
        level=used,
        adjust=chosen,
        hypothesis=hypothesis,
        intervals=intervals,
        tests=tests,
    )
