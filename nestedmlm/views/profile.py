"""`Profile`: profiles of the deviance and their intervals, what `fit.profile()` returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from nestedmlm.arguments import checked
from nestedmlm.errors import OptionError
from nestedmlm.inference.normal_quantile import normal_quantile
from nestedmlm.inference.profile.curve import ProfileCurve
from nestedmlm.views.render.blocks import Table, Text
from nestedmlm.views.render.rformat import format_numbers
from nestedmlm.views.render.view import View, Viewable, note

LIMITS = ("conf_low", "conf_high")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Profile(Viewable):
    """Profiles of a model's parameters at the maximum-likelihood fit.

    Attributes
    ----------
    names : tuple of str
        Of the parameters profiled, as shown.
    curves : tuple of ProfileCurve
        One for each.
    points : DataFrame
        Every point: ``term, zeta, value`` and the other parameters there.
    deviance : float
        At the maximum-likelihood fit.
    messages : tuple of str
        What deserves to be said: ends that are infinite, profiles that are not monotone, a lower
        deviance that was found.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> profile = fit.profile(progress=False)
    >>> profile.conf_int(0.9).round(1)
                          conf_low  conf_high
    term
    sd_(Intercept)|Batch      16.8       72.9
    sigma                     39.7       64.1
    (Intercept)             1494.8     1560.2
    >>> profile.curve("sigma", n=3).round(2)
       value  zeta
    0  32.54 -3.38
    1  49.84  0.05
    2  90.23  3.47
    >>> profile.to_frame().columns[:4].tolist()
    ['term', 'zeta', 'value', 'deviance']
    """

    names: tuple[str, ...]
    curves: tuple[ProfileCurve, ...]
    points: pd.DataFrame
    deviance: float
    messages: tuple[str, ...]

    def to_frame(self) -> pd.DataFrame:
        """Every point of every profile.

        Returns
        -------
        DataFrame
            ``term``, ``zeta``, ``value`` (of that parameter), ``deviance``, and one column
            for each parameter of the model: the best fit with `parameter` held at `value`, which
            is also what a picture of pairs of parameters draws.
        """
        return self.points.copy()

    @checked
    def conf_int(self, level: float = 0.95) -> pd.DataFrame:
        """Intervals of all values whose ``|zeta|`` is below the normal quantile.

        Parameters
        ----------
        level : float

        Returns
        -------
        DataFrame
            ``conf_low, conf_high``, indexed by parameter; an end that the profile never reaches is
            the end of the admissible values (0, -1, 1, infinity).

        Raises
        ------
        OptionError
            If the profile was not followed that far.
        """
        z = normal_quantile(level)
        limits = np.array([[c.limit(-z), c.limit(z)] for c in self.curves]).reshape(-1, 2)
        short = [
            np.isnan(limits[i, side]) and c.ends[side] == "cutoff"
            for i, c in enumerate(self.curves)
            for side in (0, 1)
        ]
        if any(short):
            raise OptionError(
                f"the profile does not reach level {level}: profile again with "
                f"cutoff={z * 1.05:.2f} or more"
            )
        frame = pd.DataFrame(limits, index=pd.Index(self.names, name="term"), columns=list(LIMITS))
        frame.attrs.update(method="profile", level=level, messages=self.messages)
        return frame

    @checked
    def curve(self, parameter: str | int, n: int = 201) -> pd.DataFrame:
        """One profile as a smooth curve.

        Parameters
        ----------
        parameter : str or int
        n : int
            Number of points.

        Returns
        -------
        DataFrame
            ``value, zeta``.

        Raises
        ------
        OptionError
            For an unknown parameter.
        """
        found = self.curves[self._place(parameter)]
        if len(found.zeta) == 0:
            return pd.DataFrame({"value": [], "zeta": []})
        zeta = np.linspace(found.zeta.min(), found.zeta.max(), n)
        return pd.DataFrame({"value": found.values(zeta), "zeta": zeta}).dropna(ignore_index=True)

    def _place(self, parameter: str | int) -> int:
        known = [*self.names, *(c.name for c in self.curves)]
        if isinstance(parameter, str) and parameter in known:
            return known.index(parameter) % len(self.names)
        if isinstance(parameter, int) and -len(self.names) <= parameter < len(self.names):
            return parameter
        raise OptionError(f"no profile of {parameter!r}; known: {', '.join(self.names)}")

    def view(self) -> View:
        """Build the document: estimates and 95 % intervals."""
        z = normal_quantile(0.95)
        frame = pd.DataFrame(
            {
                "estimate": [c.estimate for c in self.curves],
                "2.5 %": [c.limit(-z) for c in self.curves],
                "97.5 %": [c.limit(z) for c in self.curves],
            },
            index=pd.Index(self.names),
        )
        columns = [format_numbers(frame[c].to_numpy(), digits=5) for c in frame]
        table = Table(
            name="profile",
            frame=frame,
            cells=tuple(zip(*columns, strict=True)),
            rows=self.names,
            columns=tuple(frame.columns),
            numeric=(0, 1, 2),
        )
        remarks = [note(*self.messages)] if self.messages else []
        return View((Text(("Profiles of the deviance",), role="title"), table, *remarks))
