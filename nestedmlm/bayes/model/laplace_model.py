"""The Laplace model: random effects of a generalized model integrated out approximately, in PyMC.

The approximation and its exact gradient are those of maximum likelihood
(`nestedmlm.likelihood.glmm.laplace`), as one PyTensor Op.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt

from nestedmlm.bayes.density.laplace_density import dispersion_power, require_derivatives
from nestedmlm.bayes.density.marginal_likelihood import entry_places
from nestedmlm.bayes.model.centring import centring
from nestedmlm.bayes.model.factors import scale, term_factor
from nestedmlm.bayes.model.fixed import fixed_effects
from nestedmlm.bayes.model.laplace_op import Data, LaplaceApproximation
from nestedmlm.bayes.model.names import LAPLACE, coordinates, parameter_names
from nestedmlm.bayes.model.prior_set import PriorSet, refuse_conditional
from nestedmlm.bayes.model.priors import resolve_priors
from nestedmlm.likelihood.glmm.glmm_model import make_model

if TYPE_CHECKING:
    from nestedmlm.design.design import Design


def laplace_model(design: Design, priors: PriorSet | Mapping[str, Any] | None = None) -> pm.Model:
    """Make the PyMC model of fixed effects, covariances and dispersion alone.

    Parameters
    ----------
    design : Design
        With a family.
    priors : PriorSet or mapping, optional
        See `nestedmlm.bayes.model.priors.resolve_priors`.

    Returns
    -------
    pymc.Model
        Its likelihood is one ``pm.Potential`` named ``laplace_likelihood``.

    Raises
    ------
    OptionError
        For a family whose density has no derivatives (t).
    """
    from nestedmlm.bayes.model import numba_dispatch  # noqa: F401 (pm.sample and nutpie need it)

    family = require_derivatives(design.family)
    priors = resolve_priors(design, priors)
    refuse_conditional(priors, "the Laplace approximation")
    glmm = make_model(design, family)
    names, stats = parameter_names(design), glmm.products.empty
    coords = {k: v for k, v in coordinates(design).items() if not k.endswith("__factor_dim")}
    with pm.Model(coords=coords) as model:
        sampled = fixed_effects(design, names, priors)
        factors = [
            term_factor(term, own, priors)
            for term, own in zip(design.terms, names.terms, strict=True)
        ]
        log_dispersion: Any = pt.constant(np.log(family.value_of(None)))
        for name in names.beside:
            value = scale(name, priors[name].prior, folded=False)
            log_dispersion = dispersion_power(family) * pt.log(value)
        entries = [value for factor in factors for value in factor.entries().values()]
        places = entry_places([tuple(factor.entries()) for factor in factors], design, stats)
        T = pt.dot(_shared("P", places), pt.stack(entries))
        G = _shared("G", stats.R_x @ centring(design).matrix())
        gamma = pt.dot(G, pt.stack(sampled)) if sampled else pt.zeros(0)
        found, *_ = LaplaceApproximation(Data(glmm))(T, gamma, log_dispersion)
        pm.Potential(LAPLACE, found)
    return model


def _shared(name: str, values: np.ndarray) -> Any:
    """A writable copy that the graph refers to: Numba compiles read-only constants anew."""
    return pytensor.shared(np.array(values, order="C"), name=f"{LAPLACE}_{name}")
