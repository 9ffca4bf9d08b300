"""Chains that evaluate their density together.

A small model's gradient takes some forty calls of NumPy whether at one point or at ten. So chains
in threads wait for each other: the last to ask evaluates the points of all. A chain's numbers do
not depend on when the others ask: each has a row of its own, which is NaN where it does not ask.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition

import numpy as np

from nestedmlm._typing import FloatArray

_PATIENCE = 0.02  # seconds after which a chain that does not ask is taken to have ended

Gradients = Callable[[FloatArray], tuple[FloatArray, FloatArray]]
Gradient = Callable[[FloatArray], tuple[float, FloatArray]]


class _Round:
    """Points that are evaluated together, and what came of it."""

    def __init__(self, chains: int, ndim: int) -> None:
        self.points = np.full((chains, ndim), np.nan)
        self.asking: set[int] = set()
        self.found: tuple[FloatArray, FloatArray] | None = None
        self.error: BaseException | None = None

    @property
    def over(self) -> bool:
        return self.found is not None or self.error is not None


class Meeting:
    """The place where chains bring their points.

    Parameters
    ----------
    gradients : callable
        Log-densities and gradients at points in rows, (m, d) to (m,) and (m, d).
    chains, ndim : int
        m and d.
    """

    def __init__(self, gradients: Gradients, chains: int, ndim: int) -> None:
        self._gradients = gradients
        self._condition = Condition()
        self._shape = chains, ndim
        self._present: set[int] = set()
        self._free = list(range(chains))
        self._round = _Round(*self._shape)

    def chain(self) -> Gradient:
        """The density for one chain, which takes its row when it first asks."""
        row: list[int] = []

        def logp(z: FloatArray) -> tuple[float, FloatArray]:
            with self._condition:
                if not row:
                    row.append(self._free.pop(0))
                found = self._ask(row[0], z)
            return float(found[0][row[0]]), found[1][row[0]]

        return logp

    def _ask(self, row: int, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        own = self._round
        own.points[row] = z
        self._present.add(row)
        own.asking.add(row)
        while not own.over:
            if own.asking >= self._present:
                self._evaluate(own)
            elif not self._condition.wait(_PATIENCE):
                self._present &= own.asking
        if own.found is None:
            assert own.error is not None
            raise own.error
        return own.found

    def _evaluate(self, own: _Round) -> None:
        self._round = _Round(*self._shape)
        try:
            own.found = self._gradients(own.points)
        except BaseException as error:  # for every chain that waits, an interruption too
            own.error = error
        self._condition.notify_all()
