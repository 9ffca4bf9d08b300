"""Marginal means and contrasts of a generalized model on the scale of the link or the response."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pandas as pd

from nestedmlm._typing import FloatArray
from nestedmlm.families import Family, Link

TYPES = ("link", "response")  # of estimates
# what a back-transformed mean is called
_MEANS = MappingProxyType({"binomial": "prob", "poisson": "rate"})
# links whose differences become ratios: what these are called, and what they are made of
RATIOS = MappingProxyType({"logit": ("odds.ratio", "log odds ratio"), "log": ("ratio", "log")})


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseScale:
    """The scale on which estimates are shown, with R's words for it.

    Attributes
    ----------
    link : Link
    mean : str
        What a mean on the scale of the response is called.
    response : bool
        Whether the scale is that of the response.
    contrasts : bool
        Whether the estimates are contrasts.
    """

    link: Link
    mean: str
    response: bool = False
    contrasts: bool = False

    @property
    def ratios(self) -> bool:
        """Whether the estimates are shown as ratios."""
        return self.response and self.contrasts and self.link.name in RATIOS

    @property
    def moved(self) -> bool:
        """Whether the estimates are shown on another scale than they are computed on."""
        return self.response and (self.ratios or not self.contrasts)

    def null(self, values: FloatArray) -> FloatArray:
        """Tested values, given on the link's scale, on the scale that is shown."""
        with np.errstate(all="ignore"):  # links without a mean at zero: infinite, as R has it
            return self.shown(values)

    def name(self, given: str) -> str:
        """What an estimate is called."""
        if not self.moved:
            return given
        return RATIOS[self.link.name][0] if self.contrasts else self.mean

    def label(self, contrast: str) -> str:
        """The name of a contrast: ratios have a slash."""
        return contrast.replace(" - ", " / ") if self.ratios else contrast

    def notes(self, *, intervals: bool, tests: bool) -> tuple[str, ...]:
        """What to say below a table."""
        words = self.link.name
        if self.contrasts and words not in RATIOS:
            return (f"Note: contrasts are still on the {words} scale",)
        if self.contrasts:
            words = RATIOS[words][1]
        if not self.response:
            return (f"Results are given on the {words} (not the response) scale.",)
        said = []
        if intervals:
            said.append(f"Intervals are back-transformed from the {words} scale")
        if tests:
            said.append(f"Tests are performed on the {words} scale")
        return tuple(said)

    def transformed(self, numbers: pd.DataFrame) -> pd.DataFrame:
        """Estimates and limits on the scale that is shown, errors by the delta method."""
        if not self.moved:
            return numbers
        estimate = numbers["estimate"].to_numpy()
        slope = np.exp(estimate) if self.ratios else self.link.derivatives(estimate)[0]
        ends = np.array(
            [self._end(numbers[name].to_numpy(), slope > 0) for name in ("conf_low", "conf_high")]
        )
        low, high = ends.min(axis=0), ends.max(axis=0)
        return numbers.assign(
            estimate=self._mu(estimate),
            std_error=np.abs(slope) * numbers["std_error"],
            conf_low=low,
            conf_high=high,
        )

    def shown(self, eta: FloatArray) -> FloatArray:
        """Numbers of the link's scale on the scale that is shown."""
        return self._mu(eta) if self.moved else eta

    def _end(self, eta: FloatArray, rising: npt.NDArray[np.bool_]) -> FloatArray:
        """Ends of intervals; where one is open, the end of the means' range."""
        with np.errstate(all="ignore"):  # of an open end there may be no mean
            ends = self._mu(eta)
        if self.link.unit and not self.ratios:
            return ends
        return np.where(np.isinf(eta), np.where((eta > 0) == rising, np.inf, 0.0), ends)

    def _mu(self, eta: FloatArray) -> FloatArray:
        return np.exp(eta) if self.ratios else self.link.mu(eta)


def response_scale(family: Family | None, *, response: bool) -> ResponseScale | None:
    """The scale of a family's means; None for a linear model, which has one scale."""
    if family is None:
        return None
    return ResponseScale(
        link=family.link, mean=_MEANS.get(family.name, "response"), response=response
    )
