"""Starting estimates of a sampler, and the forms that a model can be sampled in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nestedmlm.errors import OptionError, SumsNotHereError
from nestedmlm.fits.estimates import Estimates
from nestedmlm.inference.variances.identification import confoundings
from nestedmlm.optimum.glmm.solve_glmm import solve_glmm
from nestedmlm.optimum.solve import solve

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit
    from nestedmlm.fits.model import Model

LAPLACE = "laplace"


def check_form(marginal: bool | str, *, generalized: bool) -> None:
    """Refuse forms that a model does not have.

    Raises
    ------
    OptionError
    """
    known = (LAPLACE,) if generalized else ()
    if not isinstance(marginal, bool) and marginal not in ("auto", *known):
        if marginal == LAPLACE:
            raise OptionError(
                "marginal='laplace' is of generalized models: the random effects of a linear one "
                "are integrated out exactly (marginal=True)"
            )
        forms = ", ".join(map(repr, ("auto", True, False, *known)))
        raise OptionError(f"marginal must be one of {forms}, not {marginal!r}")
    if generalized and marginal is True:
        raise OptionError(
            "the random effects of a generalized model cannot be integrated out exactly: "
            "marginal='laplace' does it approximately, marginal=False samples them with the rest, "
            "and sampler='psis' corrects the approximation by importance weights"
        )


def starting_solution(source: Model | LmerFit) -> Any:
    """The solution to start sampling from: the fit's, or that of a fit made for it."""
    model = source.model if isinstance(source, Estimates) else source
    if isinstance(source, Estimates):
        return source.solution
    if model.family is None or not model.family.has_derivatives:
        return solve(source.design, REML=True).solution  # it need not be certified
    return solve_glmm(source.design, model.family).solution


def starting_estimates(source: Model | LmerFit, s: Any) -> dict[str, Any]:
    """Estimates to start sampling from, of a `starting_solution`."""
    model = source.model if isinstance(source, Estimates) else source
    found = {"beta": s.beta, "T": s.T, "sigma": s.sigma, "theta": s.theta}
    if model.family is None:
        return found | {"residual": s.stats.residual}
    own = s.dispersion if model.family.has_derivatives else s.sigma**2
    return found | {"dispersion": own}


def shared_effects(source: Model | LmerFit, solution: Any) -> tuple[str, ...]:
    """What to say of random effects that the data cannot tell apart: the priors split them."""
    if source.design.family is not None and not isinstance(source, Estimates):
        return ()  # where its starting solution stands nothing may be known
    try:
        found = confoundings(source.design, solution, REML=source.design.family is None)
    except SumsNotHereError:  # sums that stay with other processes, which the fit says
        return ()
    return tuple(one.message.replace("is arbitrary", "is what the priors say") for one in found)
