"""Null hypotheses of means, slopes and contrasts: a value, a side, and a margin around it."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import check_choice, check_number, real_array
from nestedmlm.errors import OptionError

# what a side is called, and where the alternative lies
SIDES = MappingProxyType(
    {
        "two-sided": 0, "!=": 0, "both": 0, "equivalence": 0,
        "<": -1, "left": -1, "less": -1, "nonsuperiority": -1,
        ">": 1, "right": 1, "greater": 1, "noninferiority": 1,
    }
)  # fmt: skip
# kinds of tests with a margin, by side
_OF_A_MARGIN = MappingProxyType({-1: "nonsuperiority", 0: "equivalence", 1: "noninferiority"})
_SIGNS = MappingProxyType({-1: "<", 0: ">", 1: ">"})  # of a posterior probability
_TAILS = MappingProxyType({-1: "left", 1: "right"})


@dataclass(frozen=True, slots=True, kw_only=True)
class NullHypothesis:
    """The hypothesis that is tested of each row of a family.

    Attributes
    ----------
    null : tuple of float
        Tested values on the scale of the linear predictor: one for all rows, or one for each row of
        a family.
    side : {-1, 0, 1}
        Where the alternative lies: below, on either side, above.
    delta : float
        Margin around the tested value, not negative. With one the alternative is that the value
        is not missed by as much: equivalence (two-sided), non-inferiority (above `null - delta`),
        non-superiority (below `null + delta`).
    """

    null: tuple[float, ...] = (0.0,)
    side: int = 0
    delta: float = 0.0

    @property
    def tail(self) -> int:
        """The tail that p-values are of; 0 for both. Equivalence has small ones on the left."""
        return -1 if self.side == 0 and self.delta > 0 else self.side

    @property
    def plain(self) -> bool:
        """Whether the test is two-sided, of zero."""
        return self.tail == 0 and not any(self.null)

    def values(self, rows: int) -> FloatArray:
        """The tested value of each of a family's rows."""
        return np.broadcast_to(np.array(self.null), rows)

    def statistic(self, estimate: FloatArray, std_error: FloatArray) -> FloatArray:
        """The t (z) statistics of one family."""
        away = estimate - self.values(len(estimate))
        moved = away + self.side * self.delta if self.side else np.abs(away) - self.delta
        with np.errstate(divide="ignore", invalid="ignore"):
            return (moved if self.tail else away) / std_error

    def probability(self, draws: FloatArray) -> FloatArray:
        """Posterior probability of the alternative for each column of a family's draws.

        Two-sided without a margin, where it would be one: of being above the tested value.
        """
        away = draws - self.values(draws.shape[1])
        if self.side == 0 and self.delta > 0:
            return np.mean(np.abs(away) < self.delta, axis=0)
        sign = self.side or 1
        return np.mean(sign * away > -self.delta, axis=0)

    @property
    def event(self) -> str:
        """What that probability is of."""
        same = len(set(self.null)) == 1
        value = f"{self.null[0]:g}" if same else "null"
        if self.side == 0 and self.delta > 0:
            return f"P(|.{'' if same and not self.null[0] else f'-{value}'}|<{self.delta:g})"
        moved = -self.side * self.delta
        if same:
            return f"P({_SIGNS[self.side]}{self.null[0] + moved:g})"
        return f"P({_SIGNS[self.side]}null{f'{moved:+g}' if moved else ''})"

    def notes(self) -> tuple[str, ...]:
        """What to say below a table of tests, in emmeans's words."""
        said = []
        if self.delta > 0:
            kind = _OF_A_MARGIN[self.side]
            said.append(f"Statistics are tests of {kind} with a threshold of {self.delta:.5g}")
        if self.tail:
            said.append(f"P values are {_TAILS[self.tail]}-tailed")
        return tuple(said)


ZERO = NullHypothesis()


def changed_hypothesis(
    given: NullHypothesis, *, null: Any = None, side: str | None = None, delta: float | None = None
) -> NullHypothesis:
    """A hypothesis with what is not None changed.

    Parameters
    ----------
    given : NullHypothesis
    null : float or sequence of float, optional
    side : str, optional
        A key of `SIDES`.
    delta : float, optional

    Raises
    ------
    OptionError
        For values that are no finite numbers, an unknown side, a negative margin, and a side that
        needs a margin and has none.
    """
    place = given.side if side is None else SIDES[check_choice(side, "side", tuple(SIDES))]
    margin = given.delta if delta is None else check_number(delta, "delta")
    if margin < 0:
        raise OptionError(f"delta={margin:g} is a margin around the tested value: give it positive")
    if side in _OF_A_MARGIN.values() and not margin:
        raise OptionError(
            f"side={side!r} needs the margin: delta=, on the scale of the linear predictor"
        )
    values = given.null if null is None else _null(null)
    return NullHypothesis(null=values, side=place, delta=float(margin))


def _null(given: Any) -> tuple[float, ...]:
    try:
        values = np.atleast_1d(real_array(given))
    except (TypeError, ValueError):
        values = np.array([np.nan])
    if values.ndim != 1 or not len(values) or not np.all(np.isfinite(values)):
        raise OptionError(
            f"null={given!r:.60} must be a finite number, or one for each row of a family, on the "
            "scale of the linear predictor"
        )
    return tuple(values.tolist())


def check_lengths(hypothesis: NullHypothesis, families: tuple[np.ndarray, ...]) -> None:
    """Refuse tested values that are not one for each row of every family.

    Raises
    ------
    OptionError
    """
    given = len(hypothesis.null)
    sizes = sorted({len(rows) for rows in families})
    if given > 1 and sizes != [given]:
        raise OptionError(
            f"null= has {given} values for families of {', '.join(map(str, sizes))} rows: give one "
            "for all, or one for each row of a family"
        )
