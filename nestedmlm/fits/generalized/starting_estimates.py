"""Starting estimates of a sampler, and the forms that a model can be sampled in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nestedmlm.errors import OptionError
from nestedmlm.fits.estimates import Estimates
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


def starting_estimates(source: Model | LmerFit) -> dict[str, Any]:
    """Estimates to start sampling from: the fit's, or those of a fit made for it."""
    model = source.model if isinstance(source, Estimates) else source
    if isinstance(source, Estimates):
        s: Any = source.solution
    elif model.family is None or not model.family.has_derivatives:
        s = solve(source.design, REML=True).solution  # it need not be certified
    else:
        s = solve_glmm(source.design, model.family).solution
    found = {"beta": s.beta, "T": s.T, "sigma": s.sigma, "theta": s.theta}
    if model.family is None:
        return found | {"residual": s.stats.residual}
    own = s.dispersion if model.family.has_derivatives else s.sigma**2
    return found | {"dispersion": own}
