"""Simulation, bootstrap, power."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from nestedmlm.fits.simulation.bootstrap import bootstrap
from nestedmlm.fits.simulation.scenario import scenario_of
from nestedmlm.fits.simulation.simulate import simulate_fit
from nestedmlm.fits.verbs.power import power

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit
    from nestedmlm.fits.simulation.bootstrap import Bootstrap
    from nestedmlm.fits.simulation.power import Power
    from nestedmlm.fits.simulation.scenario import Scenario
    from nestedmlm.fits.simulation.statistics import Fun


class SimulationVerbs:
    """Simulation, bootstrap, power; mixed into `LmerFit`."""

    __slots__ = ()

    def simulate(
        self: LmerFit,
        nsim: int = 1,
        seed: int | None = None,
        *,
        re_form: Any = False,
        use_u: bool = False,
        newdata: Any = None,
    ) -> pd.DataFrame:
        """Draw responses from the fitted model.

        Parameters
        ----------
        nsim : int
            Responses.
        seed : int, optional
        re_form : False, None or str
            Random effects that are conditioned on, the others being drawn: False, none of them;
            None, all; ``"~ (1 | schoolid)"``, these.
        use_u : bool
            The same as ``re_form=None``.
        newdata : table, optional
            Other rows; random effects of groups that were not there are always drawn.

        Returns
        -------
        DataFrame, (n, nsim)
            ``sim_1, sim_2, ...`` on the caller's index.

        Raises
        ------
        OptionError, NewLevelsError

        Notes
        -----
        lme4's ``simulate``, whose default is new random effects too. The first k columns do not
        depend on `nsim`.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
        >>> fit.simulate(2, seed=1).shape
        (30, 2)
        """
        form = None if use_u else re_form
        return simulate_fit(self, nsim=nsim, seed=seed, re_form=form, data=newdata)

    def bootstrap(
        self: LmerFit,
        nsim: int = 500,
        fun: Fun | None = None,
        *,
        type: str = "parametric",
        seed: int | None = None,
        workers: int = 1,
        progress: bool = True,
        use_u: bool = False,
        re_form: Any = False,
        by: str | None = None,
    ) -> Bootstrap:
        """Bootstrap statistics of the fit.

        Parameters
        ----------
        nsim : int
            Replicates.
        fun : callable (LmerFit) -> numbers, optional
            A number, an array, a mapping or a Series. By default fixed effects, standard
            deviations, correlations and sigma; these are refitted many at a time.
        type : {"parametric", "semiparametric", "residual", "cases"}
            Draw from the fitted model; resample residuals around the fitted groups (needs
            `use_u`); resample residuals of every level, centred and rescaled (Carpenter,
            Goldstein & Rasbash 2003); resample whole groups of the top-level factor.
        seed : int, optional
        workers : int
            Processes. The results do not depend on it. Scripts need the usual guard
            ``if __name__ == "__main__"``.
        progress : bool
        use_u, re_form
            Random effects that the parametric bootstrap conditions on, as in `simulate`.
        by : str, optional
            Factor whose groups the cases bootstrap resamples, where factors are crossed.

        Returns
        -------
        Bootstrap
            ``.t``, ``.conf_int(kind)``, ``.to_frame()``; a view. Ctrl-C returns what is done so
            far, with ``.partial`` set.

        Raises
        ------
        OptionError

        Notes
        -----
        lme4's ``bootMer``. Failed refits are rows of NaN and listed in ``.failures``.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
        >>> boot = fit.bootstrap(50, seed=1, progress=False)
        >>> boot.t.shape, list(boot.t0.index)
        ((50, 3), ['(Intercept)', 'sd_(Intercept)|Batch', 'sigma'])
        """
        return bootstrap(
            self,
            nsim=nsim,
            fun=fun,
            type=type,
            seed=seed,
            workers=workers,
            progress=progress,
            use_u=use_u,
            re_form=re_form,
            by=by,
        )

    def extend(
        self: LmerFit, *, along: str | None = None, within: str | None = None, n: int
    ) -> Scenario:
        """Suppose data with more (or fewer) groups, or rows per group.

        Parameters
        ----------
        along : str
            A column: there will be `n` levels of it, the first ones copied with new labels.
            Factors nested in it get new levels too. ``"classid within schoolid"``: `n` classes
            in each school. A numeric predictor is continued at its mean step.
        within : str
            A column or several (``"a + b"``): there will be `n` rows in each combination.
        n : int

        Returns
        -------
        Scenario
            With this fit's estimates as truth; takes ``simulate``, ``power``, ``with_params``,
            and ``extend`` again.

        Raises
        ------
        OptionError, ColumnNotFoundError, DataError

        Notes
        -----
        R: ``simr::extend``.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
        >>> fit.extend(along="Subject", n=30).design.n
        300
        """
        return scenario_of(self).extend(along=along, within=within, n=n)

    def power(self: LmerFit, effect: str, nsim: int = 1000, **options: Any) -> Power:
        """Power of a test of one effect by simulation; see `nestedmlm.power`.

        Parameters
        ----------
        effect : str
        nsim : int
        **options
            ``alpha, test, effect_size, seed, workers, progress``.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Reaction ~ Days + (1 | Subject)", nm.load_dataset("sleepstudy"))
        >>> fit.power("Days", 20, effect_size=1.5, seed=1, progress=False).trials
        20
        """
        return power(self, effect, nsim, **options)
