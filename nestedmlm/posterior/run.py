"""The record of a run: how the draws of a posterior were made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

# what `marginal=` asks for by the form that it gives
MARGINAL_OF_FORM: Mapping[str, bool | str] = MappingProxyType(
    {"marginal": True, "hierarchical": False, "laplace": "laplace", "weighted": "auto"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run of a sampler: how the draws were made.

    Attributes
    ----------
    sampler : str
        ``nutpie``, ``pymc``, …, ``psis``.
    form : {"marginal", "hierarchical", "laplace", "weighted"}
        Random effects integrated out, sampled with the rest, integrated out approximately, or that
        with importance weights, which make it exact.
    tune : int
        Draws of warm-up per chain; 0 for importance sampling.
    khat : float or None
        Pareto k of importance sampling.
    ess : float or None
        Effective number of its draws, of the coordinate of the density that is known least; see
        `BayesFit.parameters` for each parameter.
    seed : int or None
    """

    sampler: str
    form: str
    tune: int = 0
    khat: float | None = None
    ess: float | None = None
    seed: int | None = None


def read_run(data: Any, *, seed: int | None) -> Run:
    """Read the run off what `nestedmlm.bayes.sampling.sampling.sample` wrote beside its draws."""
    attributes = data["posterior"].attrs
    khat, ess = attributes.get("khat"), attributes.get("ess")
    return Run(
        sampler=str(attributes["sampler"]),
        form=str(attributes["form"]),
        tune=int(attributes["tune"]),
        khat=None if khat is None else float(khat),
        ess=None if ess is None else float(ess),
        seed=seed,
    )


def read_foreign_run(data: Any, *, marginal: bool, seed: int | None) -> Run:
    """Read the run off the draws of another program, as far as its attributes tell."""
    attributes = data["posterior"].attrs
    return Run(
        sampler=str(attributes.get("sampler", "user")),
        form="marginal" if marginal else "hierarchical",
        tune=int(attributes.get("tuning_steps", attributes.get("tune", 0))),
        seed=seed,
    )
