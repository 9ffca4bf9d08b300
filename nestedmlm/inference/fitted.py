"""`Fitted`: what inference takes of a fit (or of several, pooled): design, solution, criterion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from nestedmlm._typing import FloatArray
from nestedmlm.design.model_parameters import ModelParameter, model_parameters
from nestedmlm.errors import OptionError
from nestedmlm.likelihood.plan import phi_of_theta

if TYPE_CHECKING:
    from nestedmlm.design.design import Design
    from nestedmlm.families import Family
    from nestedmlm.optimum.glmm.solve_glmm import GlmmSolved
    from nestedmlm.optimum.penalty import Penalty


def require_linear(family: Family | None, what: str) -> None:
    """Refuse what takes the response for normal, for a model with a family.

    Raises
    ------
    OptionError
    """
    if family is not None:
        raise OptionError(
            f"{what} takes the response for normal, and this model has the {family.name} family: "
            "it is for linear models"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Approximation:
    """An approximation of the integral over the random effects of a generalized model.

    Attributes
    ----------
    nAGQ : int
        Quadrature points for each effect; 1 is the Laplace approximation, 0 the same with fixed
        effects at the joint mode.
    information : str
        ``expected``, ``observed``, or ``auto``, which chooses by the family.
    """

    nAGQ: int = 1
    information: str = "auto"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fitted:
    """A fitted model as numbers: what tests, intervals and tables are computed from.

    Attributes
    ----------
    design : Design
        Matrices, grouping factors and the learned schema.
    solution : Solution or GlmmSolution
        The model at the optimum.
    REML : bool
        Fitted by REML (True) or maximum likelihood.
    penalty : Penalty or None
        Prior on the covariances, if one was used.
    family : Family or None
        Of a generalized model; None: normal, with a residual variance.
    approximation : Approximation or None
        How the likelihood of a generalized model was approximated.
    solved : GlmmSolved or None
        How a generalized model was found, with its Hessian.
    """

    design: Design
    solution: Any
    REML: bool
    penalty: Penalty | None = None
    family: Family | None = None
    approximation: Approximation | None = None
    solved: GlmmSolved | None = None

    @property
    def dispersion(self) -> float | None:
        """Parameter of the family beside the mean; None in families without, and linear models."""
        if self.family is None:
            return None
        return (
            self.family.value_of(self.solution.dispersion)
            if self.family.dispersion != "none"
            else None
        )

    @property
    def vcov(self) -> FloatArray:
        """Covariance of the fixed effects; of a generalized model by the Hessian, as glmer's."""
        found: FloatArray = self.solution.vcov if self.solved is None else self.solved.cov_params()
        return found

    @property
    def scale(self) -> float:
        """Unit of the relative factors: the residual SD, or 1 in a generalized model."""
        return float(self.solution.sigma) if self.family is None else 1.0

    @property
    def reference(self) -> str:
        """Distribution of tests of the fixed effects: ``t``, or ``z`` of a generalized model."""
        return "t" if self.family is None else "z"

    def ddf(self, method: str | None = None) -> str:
        """Method of degrees of freedom: the one asked for, or what goes with the model.

        Raises
        ------
        OptionError
            For any method but "none" with a generalized model.
        """
        if self.family is None:
            return "satterthwaite" if method is None else method
        if method in (None, "none"):
            return "none"
        raise OptionError(
            f"ddf={method!r}: degrees of freedom are a matter of linear mixed models; a "
            "generalized one has z tests (leave ddf out)"
        )

    @property
    def residual_df(self) -> float:
        """Rows minus fixed effects."""
        return float(self.design.n - self.design.p)

    @property
    def parameters(self) -> tuple[ModelParameter, ...]:
        """Standard deviations, correlations, sigma or the family's dispersion, fixed effects."""
        if self.family is None:
            return model_parameters(self.design)
        name = self.family.dispersion_name if self.family.has_dispersion else ""
        return model_parameters(self.design, residual=False, dispersion=name)

    @property
    def phi(self) -> FloatArray:
        """The unbounded covariance parameters, in scaled columns."""
        s = self.solution
        return phi_of_theta(s.theta, s.plan, s.stats)


_KNOWN: WeakKeyDictionary[Any, dict[tuple[str, bool], tuple[Penalty | None, Any]]]
_KNOWN = WeakKeyDictionary()  # of each solution as long as it lives; copies and pickles have none


def once_per_fit[R](function: Callable[[Fitted], R]) -> Callable[[Fitted], R]:
    """Have a function of a fitted model remember its result: verbs that follow take the same."""
    name = f"{function.__module__}.{function.__qualname__}"

    @wraps(function)
    def kept(fitted: Fitted) -> R:
        known = _KNOWN.setdefault(fitted.solution, {})
        penalty, found = known.get((name, fitted.REML), (None, None))
        if found is None or penalty is not fitted.penalty:
            found = function(fitted)
            known[name, fitted.REML] = (fitted.penalty, found)
        result: R = found
        return result

    return kept


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PooledFitted:
    """Fits of one model to multiply imputed data sets.

    Attributes
    ----------
    parts : tuple of Fitted
    """

    parts: tuple[Fitted, ...]

    @property
    def design(self) -> Design:
        """The design of the first data set: names and levels are those of all."""
        return self.parts[0].design

    @property
    def REML(self) -> bool:
        """Fitted by REML, or maximum likelihood."""
        return self.parts[0].REML

    @property
    def penalty(self) -> Penalty | None:
        """Prior on the covariances, if one was used."""
        return self.parts[0].penalty

    @property
    def family(self) -> Family | None:
        """Of generalized models; None: normal, with a residual variance."""
        return self.parts[0].family

    @property
    def reference(self) -> str:
        """Distribution of tests of the fixed effects: ``t``, also of generalized models."""
        return "t"

    def ddf(self, method: str | None = None) -> str:
        """Method of degrees of freedom: the one asked for, or what goes with the models."""
        return self.parts[0].ddf(method)
