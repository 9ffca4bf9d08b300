"""The table of samplers.

A sampler is one row of `SAMPLERS`: for a density in closed form, for either form of a PyMC model,
the back-ends that can evaluate it, the usual one first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import xarray as xr

from nestedmlm.bayes.sampling.nutpie_runs import nutpie_density
from nestedmlm.bayes.sampling.psis_run import psis_density
from nestedmlm.bayes.sampling.settings import Settings

Run = Callable[[Any, Settings], xr.DataTree]


def _of_model(name: str) -> Run:
    """A function of `pymc_samplers`, which loads PyMC."""

    def run(model: Any, settings: Settings) -> xr.DataTree:
        from nestedmlm.bayes.sampling import pymc_samplers  # PyMC

        tree: xr.DataTree = getattr(pymc_samplers, name)(model, settings)
        return tree

    return run


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampler:
    """One way to sample.

    Attributes
    ----------
    packages : tuple of str
        What has to be installed; ``name<version`` where the newest does not work.
    density, marginal, other : mapping of str to callable
        How it samples a density in closed form, a marginal PyMC model and any other, by back-end,
        the usual one first; empty where it cannot.
    refusal : str
        What to say then.
    """

    packages: tuple[str, ...]
    density: Mapping[str, Run]
    marginal: Mapping[str, Run]
    other: Mapping[str, Run]
    refusal: str = ""


def _jax(name: str, package: str) -> Sampler:
    """A sampler that runs through JAX, which the elimination does not."""
    return Sampler(
        packages=(package, "jax"),
        density={},
        marginal={},
        other={"jax": _of_model("pymc_sampler")},
        refusal=f"{name} cannot run the marginal form; sample it with nutpie, pymc or psis, or "
        "use marginal=False",
    )


SAMPLERS: MappingProxyType[str, Sampler] = MappingProxyType(
    {
        "nutpie": Sampler(
            packages=("nutpie",),
            density={"python": nutpie_density},
            marginal={"python": _of_model("nutpie_python"), "numba": _of_model("nutpie_model")},
            other={
                "numba": _of_model("nutpie_model"),
                "c": _of_model("nutpie_c"),
                "jax": _of_model("nutpie_model"),
            },
        ),
        "pymc": Sampler(
            packages=("pymc",),
            density={},
            marginal={"numba": _of_model("pymc_sampler")},
            other={"numba": _of_model("pymc_sampler")},
        ),
        "numpyro": _jax("numpyro", "numpyro"),
        "blackjax": _jax("blackjax", "blackjax<1.6"),  # PyMC 6.4 calls what 1.7 no longer has
        "psis": Sampler(
            packages=(),
            density={"python": psis_density},
            marginal={"python": _of_model("psis_python")},
            other={},
            refusal="psis needs the marginal form (marginal=True): the hierarchical one has a "
            "dimension for every random effect; sample that with nutpie",
        ),
    }
)
