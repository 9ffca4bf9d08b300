"""From a model to a `BayesFit`: what every route to a posterior goes through."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nestedmlm.design.design import Design
from nestedmlm.errors import ConvergenceWarning, OptionError, SamplingWarning
from nestedmlm.fits.bayes_fit import BayesFit, Run
from nestedmlm.fits.lmer_fit import LmerFit, fit_design
from nestedmlm.posterior import checks, datatree
from nestedmlm.posterior.draws import draw_shape

if TYPE_CHECKING:
    from nestedmlm.fits.model import Model

TARGET_ACCEPT = 0.8
_EFFECTS_STREAM = 1  # the draws of the random effects have a random stream of their own


def build_pymc(
    design: Design,
    priors: Mapping[str, Any] | None,
    *,
    marginal: bool | str,
    noncentered: bool | str = "auto",
) -> Any:
    """Build the PyMC model of a design in one of its two forms.

    Raises
    ------
    OptionError
        For an unknown form, unknown priors, or priors that do not suit their parameter.
    """
    if is_marginal(marginal):
        from nestedmlm.bayes.model.marginal import marginal_model

        return marginal_model(design, priors)
    from nestedmlm.bayes.model.hierarchical import hierarchical_model

    return hierarchical_model(design, priors, noncentered=noncentered)


def is_marginal(marginal: bool | str) -> bool:
    """Read the option: "auto" is the marginal form, which every Gaussian model has."""
    if marginal == "auto":
        return True
    if not isinstance(marginal, bool):
        raise OptionError(f"marginal must be 'auto', True or False, not {marginal!r}")
    return marginal


def sample_model(
    model: Model,
    *,
    design: Design | None = None,
    fit: LmerFit | None = None,
    priors: Mapping[str, Any] | None = None,
    marginal: bool | str = "auto",
    draws: int = 1000,
    tune: int | None = None,
    chains: int = 4,
    cores: int | None = None,
    sampler: str = "auto",
    backend: str = "auto",
    seed: int | None = None,
    progress: bool = True,
    progressbar: bool = True,
    target_accept: float = TARGET_ACCEPT,
    pymc_model: Any = None,
) -> BayesFit:
    """Sample a model's posterior, starting from its REML fit.

    Parameters
    ----------
    model : Model
    design : Design, optional
        In place of the model's own: that of a refit to another response.
    fit : LmerFit, optional
        Where to start; fitted here if it is not given.
    priors, marginal, draws, tune, chains, cores, sampler, backend, seed, progress, progressbar,
    target_accept
        See `nestedmlm.pymc_lmer`.
    pymc_model : pymc.Model, optional
        What to sample in the place of the model built here: one from `to_pymc` that was edited.
        It has its own form and priors. See `from_draws` for what is read off its draws.

    Raises
    ------
    OptionError, SamplingError, MissingSamplerError

    Warns
    -----
    SamplingWarning
        If there were divergences, R-hat is high, or effective draws are few.
    """
    from nestedmlm.bayes.model.priors import resolve_priors
    from nestedmlm.bayes.sampling.sampling import sample

    design = model.design if design is None else design
    resolved, built = None, pymc_model
    if built is None:
        resolved = resolve_priors(design, priors)
        built = build_pymc(design, resolved, marginal=marginal)
    elif priors is not None:
        raise OptionError("give priors when the PyMC model is made (to_pymc), not when sampling it")
    data = sample(
        built,
        sampler=sampler,
        backend=backend,
        draws=draws,
        tune=tune,
        chains=chains,
        cores=cores,
        seed=seed,
        progressbar=progress and progressbar,
        target_accept=target_accept,
        start=_start(built, model, design, fit),
    )
    return _checked(
        _bayes_fit(model, design, data, priors=resolved, pymc_model=built, run=_run(data, seed))
    )


def from_draws(model: Model, data: Any, *, design: Design | None = None, pymc_model: Any = None,
               seed: int | None = None) -> BayesFit:  # fmt: skip
    """Make a `BayesFit` of draws that PyMC or another program made.

    Parameters
    ----------
    model : Model
    data : DataTree
        With a group ``posterior`` that has the parameters under the names that `to_pymc` gives
        them. Random effects that are not there are drawn.
    design : Design, optional
        In place of the model's own.
    pymc_model : pymc.Model, optional
        Kept as the fit's ``model``.
    seed : int, optional
        For the random effects.

    Raises
    ------
    OptionError
        If a parameter is missing.
    """
    design = model.design if design is None else design
    refuse_missing(data, design)
    attributes = data["posterior"].attrs
    run = Run(
        sampler=str(attributes.get("sampler", "user")),
        form="marginal" if lacks_effects(data, design) else "hierarchical",
        tune=int(attributes.get("tuning_steps", attributes.get("tune", 0))),
        seed=seed,
    )
    fit = _bayes_fit(model, design, data, priors=None, pymc_model=pymc_model, run=run)
    return _checked(fit)


def _bayes_fit(
    model: Model, design: Design, data: Any, *, priors: Any, pymc_model: Any, run: Run
) -> BayesFit:
    """Complete the draws; `priors` None: a user's model, whose log-likelihood is its own."""
    data = add_random_effects(without_auxiliary(data), design, seed=run.seed)
    return BayesFit(
        data=datatree.complete(data, design, log_likelihood=priors is not None),
        design=design,
        priors=priors,
        run=run,
        given_model=pymc_model,
        data_name=model.data_name,
        weights_name=model.weights_name,
        offset_name=model.offset_name,
        messages=design.messages,
    )


def refuse_missing(data: Any, design: Design) -> None:
    """Refuse draws that lack a parameter."""
    from nestedmlm.bayes.model.names import parameter_names

    if "posterior" not in data:
        raise OptionError("draws are a DataTree with a group 'posterior', as pymc.sample returns")
    names = parameter_names(design).parameters
    missing = [name for name in names if name not in data["posterior"].data_vars]
    if missing:
        raise OptionError(
            f"the draws lack {', '.join(map(repr, missing))}; a fit of this formula needs "
            f"{', '.join(names)}"
        )


def lacks_effects(data: Any, design: Design) -> bool:
    """Whether a posterior lacks random effects."""
    from nestedmlm.bayes.model.names import parameter_names

    return any(n not in data["posterior"].data_vars for n in parameter_names(design).effects)


def _start(built: Any, model: Model, design: Design, fit: LmerFit | None) -> dict[str, Any]:
    """Values of the free variables at the REML estimates."""
    from nestedmlm.bayes.sampling.start import start_values

    if fit is None:
        with warnings.catch_warnings():
            # only a place to start from: it need not be certified
            warnings.simplefilter("ignore", ConvergenceWarning)
            fit = fit_design(model, design, REML=True)
    solution = fit.solution
    found: dict[str, Any] = start_values(
        built, design, beta=solution.beta, T=solution.T, sigma=solution.sigma
    )
    return found


def without_auxiliary(data: Any) -> Any:
    """Leave out variables that exist only so that sampling is easy, and the long ``mu``."""
    from nestedmlm.bayes.model.names import MU, is_auxiliary

    posterior = data["posterior"].to_dataset()
    out = data.copy()
    out["posterior"] = type(data)(
        posterior.drop_vars(
            [name for name in posterior.data_vars if is_auxiliary(str(name)) or name == MU]
        )
    )
    return out


def add_random_effects(data: Any, design: Design, *, seed: int | None) -> Any:
    """Complete the draws of a marginal posterior with exact draws of the random effects."""
    from nestedmlm.bayes.model.names import coordinates, dimensions, parameter_names
    from nestedmlm.bayes.sampling.conditional import draw_random_effects

    if not lacks_effects(data, design):
        return data
    names = parameter_names(design)
    posterior = data["posterior"].to_dataset()
    chains, draws = draw_shape(data)
    needed = {
        name: posterior[name].values.reshape(chains * draws, *posterior[name].shape[2:])
        for name in names.parameters
    }
    rng = np.random.default_rng(None if seed is None else (seed, _EFFECTS_STREAM))
    found = draw_random_effects(design, needed, rng)
    dims = dimensions(design)
    coords = {d: values for d, values in coordinates(design).items() if d not in posterior.coords}
    posterior = posterior.assign(
        {
            name: (("chain", "draw", *dims[name]), values.reshape(chains, draws, -1))
            for name, values in found.items()
        }
    ).assign_coords(coords)
    out = data.copy()
    out["posterior"] = type(data)(posterior)
    return out


def _run(data: Any, seed: int | None) -> Run:
    """Read how the draws were made from the sampler's attributes."""
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


def _checked(fit: BayesFit) -> BayesFit:
    """Warn once about draws that should not be trusted, and keep the message."""
    problems = checks.sampling_problems(
        fit.parameters(),
        chains=fit.n_chains,
        divergences=fit.divergences,
        independent=fit.run.khat is not None,
    )
    if not problems:
        return fit
    warnings.warn("; ".join(problems), SamplingWarning, stacklevel=4)
    return replace(fit, messages=(*fit.messages, *problems))
