"""Posteriors without sampling: a normal approximation around a REML fit, named as the real ones."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

import nestedmlm as nm
from nestedmlm.bayes.model.names import coordinates, dimensions, pairs, parameter_names
from nestedmlm.fits.bayes_fit import BayesFit
from nestedmlm.posterior import datatree
from nestedmlm.posterior.run import Run


def fake_posterior(
    fit: nm.LmerFit | nm.GlmerFit, *, chains: int = 4, draws: int = 250, seed: int = 1
) -> Any:
    """Return a DataTree whose draws scatter around the estimates of `fit`."""
    from arviz import from_dict

    rng = np.random.default_rng(seed)
    size = chains * draws
    design, names = fit.design, parameter_names(fit.design)
    values: dict[str, np.ndarray] = {}
    root = np.linalg.cholesky(fit.cov_params().to_numpy(float)) if design.p else np.zeros((0, 0))
    beta = fit.params.to_numpy() + rng.standard_normal((size, design.p)) @ root.T
    values |= dict(zip(names.fixed, beta.T, strict=True))
    modes, sigma = fit.ranef(), fit.sigma if design.family is None else 1.0
    for term, own, block in zip(design.terms, names.terms, fit.varcorr().blocks, strict=True):
        sd = np.maximum(block.sd, 0.01 * sigma)
        for name, value in zip(own.sds, sd, strict=False):
            values[name] = value * np.exp(0.2 * rng.standard_normal(size))
        if own.correlation is not None:
            k = len(own.columns)
            rho = np.tanh(0.3 * rng.standard_normal(size) + 0.2)
            corr = np.repeat(rho[:, None] / max(1, k - 1), len(pairs(k)), axis=1)
            values[own.correlation] = corr
            if own.rho is not None:
                values[own.rho] = corr[:, 0]
        group = design.factors[term.factor].name
        for column, name in zip(term.columns, own.variables, strict=True):
            rows = modes[(modes.group == group) & (modes.term == column)]
            # terms that share a column: any of them will do
            center, spread = (rows[c].to_numpy()[-len(design.factors[term.factor].levels) :]
                              for c in ("estimate", "std_error"))  # fmt: skip
            values[name] = center + spread * rng.standard_normal((size, len(center)))
    if design.family is None:  # of families without parameters of their own: not us
        values[names.sigma] = sigma * np.exp(0.05 * rng.standard_normal(size))
    if design.residual is not None:  # of structures whose parameters are numbers: not us
        estimates = fit.dispersion.iloc[1:]
        for name, (term, value) in zip(
            names.residual.variables, estimates[["term", "estimate"]].to_numpy(), strict=True
        ):
            center = np.log(value) if term.startswith("sd_ratio") else value
            values[name] = center + 0.02 * rng.standard_normal(size)
    return from_dict(
        {"posterior": {k: v.reshape(chains, draws, *v.shape[1:]) for k, v in values.items()}},
        dims={name: list(dims) for name, dims in dimensions(design).items()},
        coords=coordinates(design),
    )


def fake_bayesfit(
    fit: nm.LmerFit | nm.GlmerFit,
    *,
    priors: Mapping[str, Any] | None = MappingProxyType({}),
    weights_column: str | None = None,
    **changes: Any,
) -> BayesFit:
    """Return a `BayesFit` of such a posterior; `priors` None: of a PyMC model of the user's."""
    from nestedmlm.bayes.model.priors import resolve_priors

    data = datatree.complete(fake_posterior(fit, **changes), fit.design)
    return BayesFit(
        data=data,
        design=fit.design,
        priors=None if priors is None else resolve_priors(fit.design, priors),
        run=Run(sampler="normal", form="marginal", tune=0, seed=1),
        data_name=fit.data_name,
        weights_column=weights_column,
        source=fit.model,
    )
