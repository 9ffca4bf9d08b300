"""`LogDensity`: what samplers ask of a density, in closed form or of a PyMC model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from nestedmlm._typing import FloatArray
from nestedmlm.bayes.density.named_coordinates import PosteriorVariable


class LogDensity(Protocol):
    """A log-density on unconstrained coordinates, with its gradient and its named variables."""

    @property
    def form(self) -> str:
        """How it treats the random effects; see `nestedmlm.posterior.run.Run`."""
        ...

    @property
    def ndim(self) -> int:
        """Number of coordinates."""
        ...

    @property
    def together(self) -> bool:
        """Whether points in rows cost less than one after the other."""
        ...

    @property
    def initial(self) -> FloatArray:
        """A point to start from."""
        ...

    @property
    def folded(self) -> tuple[int, ...]:
        """Coordinates that are signed standard deviations."""
        ...

    @property
    def variables(self) -> tuple[PosteriorVariable, ...]:
        """What `named` returns."""
        ...

    @property
    def coords(self) -> Mapping[str, tuple[Any, ...]]:
        """Coordinates of the variables' dimensions."""
        ...

    def logp_grad(self, z: FloatArray) -> tuple[float, FloatArray]:
        """Log-density and gradient; minus infinity where it cannot be evaluated."""
        ...

    def logp_grads(self, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Log-densities and gradients at points in rows."""
        ...

    def logp_points(self, z: FloatArray) -> FloatArray:
        """Log-density at points in rows."""
        ...

    def at(self, values: Mapping[str, Any]) -> FloatArray:
        """The point of given values of the free variables."""
        ...

    def named(self, z: FloatArray) -> dict[str, FloatArray]:
        """The named variables at points in rows."""
        ...
