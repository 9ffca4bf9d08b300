"""Further fits of the same model: other responses, ML for REML, another formula."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.errors import DataError, OptionError
from nestedmlm.optimum.batch import refit_many
from nestedmlm.statistics.responses import responses

if TYPE_CHECKING:
    from nestedmlm.design.design import Design
    from nestedmlm.fits.lmer_fit import LmerFit
    from nestedmlm.optimum.batch import Batch


class RefitVerbs:
    """Further fits of the same model; mixed into `LmerFit`."""

    __slots__ = ()

    def refit(self: LmerFit, y: Any) -> LmerFit:
        """Fit the same design to another response.

        Parameters
        ----------
        y : array-like, shape (n,) or (rows of the data,)
            One value for each row used, or for each row of the original data.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
        >>> again = fit.refit(fit.simulate(1, seed=1)["sim_1"])
        >>> again.converged
        True
        """
        values = _used_rows(y, self.design)
        if values.ndim != 1:
            raise DataError(
                f"refit needs {self.nobs} values, one response; refit_many takes one per column"
            )
        design = replace(self.design, y=values)
        columns = responses(design, self.solution.stats, values[:, None])
        return self.refitted(design, stats=columns.statistics(0))

    def refit_many(self: LmerFit, Y: Any, *, workers: int = 1) -> Batch:
        """Fit the same design to many responses at once, each to its own certified optimum.

        They share one pass over the rows and one compiled loop, so that thousands of responses
        take a fraction of the time of as many calls of `refit`.

        Parameters
        ----------
        Y : array-like, shape (n, m) or (rows of the data, m)
            One response per column.
        workers : int
            Threads; the result does not depend on their number.

        Returns
        -------
        Batch
            Arrays with one row per response: ``theta, criterion, sigma, beta, converged,
            singular, evaluations``.

        Raises
        ------
        DataError
            For a wrong shape, missing values, or a response that the fixed effects reproduce.
        OptionError
            For a penalised fit.

        Examples
        --------
        >>> import nestedmlm as nm, numpy as np
        >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
        >>> y = fit.design.y
        >>> batch = fit.refit_many(np.column_stack([y, 2 * y, y[::-1]]))
        >>> batch.sigma.round(4)
        array([49.5101, 99.0202, 49.5101])
        """
        if self.penalty is not None:
            raise OptionError("refit_many knows no penalties; call refit for each response")
        return refit_many(
            self.design,
            _used_rows(Y, self.design),
            REML=self.REML,
            start=self.theta,
            stats=self.solution.stats,
            workers=workers,
        )

    def refit_ml(self: LmerFit) -> LmerFit:
        """The maximum-likelihood fit of the same model (itself, if it is one).

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
        >>> fit.refit_ml().REML
        False
        """
        if not self.REML:
            return self
        return self.refitted(self.design, REML=False, stats=self.solution.stats)

    def update(self: LmerFit, formula: str) -> LmerFit:
        """Refit with a changed formula, ``.`` standing for what was there.

        Parameters
        ----------
        formula : str
            For example ``". ~ . + x"`` or ``". ~ . - (0 + Days | Subject)"``.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
        >>> fit.update(". ~ . + I(Days^2)").fixef.round(2).to_dict()
        {'(Intercept)': 255.45, 'Days': 7.43, 'I(Days^2)': 0.34}
        """
        return self.model.update(formula).fit(REML=self.REML, penalty=self.penalty)


def _used_rows(y: Any, design: Design) -> FloatArray:
    """Rows of a response (or of several, in columns) that the design uses."""
    values = np.asarray(y, dtype=np.float64)
    if values.shape[:1] == design.kept.shape:
        values = values[design.kept]
    if values.shape[:1] != (design.n,):
        raise DataError(
            f"refit needs {design.n} values (one for each row used) or {design.kept.size} "
            f"(one for each row of the data), got shape {values.shape}"
        )
    if not np.all(np.isfinite(values)):
        raise DataError("the new response holds missing or infinite values; remove them first")
    return values
