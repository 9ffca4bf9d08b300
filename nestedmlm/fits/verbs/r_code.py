"""R code that evaluates lme4's own deviance function at the theta of a fit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nestedmlm.errors import OptionError
from nestedmlm.fits.verbs.nlme_code import nlme_code
from nestedmlm.formula.structures import UNSTRUCTURED

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit

# functions of a formula that R has under another meaning, or not at all
_IN_R = {
    "between": "between <- function(x, g) ave(x, g, FUN = function(v) mean(v, na.rm = TRUE))",
    "within": "within <- function(x, g) x - ave(x, g, FUN = function(v) mean(v, na.rm = TRUE))",
    "lag": "lag <- function(x, g, t, n = 1) x[ave(seq_along(x), g, FUN = function(i)\n"
    "  c(rep(NA, n), head(i[order(t[i])], -n))[rank(t[i])])]",
}
_DATA = "data"  # what R calls the table where the caller's name is not known


def r_code(fit: LmerFit) -> str:
    """Lines of R that check this fit: lme4's deviance function at our theta, or nlme's fit.

    Returns
    -------
    str
        To be run in R with the data in a data frame of the same name (``data`` where the name is
        not known). Nothing is optimised there: the number is lme4's value of the criterion at
        `theta`, and no optimum of lme4's own can be below that of a certified fit. With
        ``dispersion=`` or ``residual=`` the lines are nlme's ``gls`` or ``lme``, the residuals'
        parameters held where they are in this fit: ``gls`` has nothing left to optimise, ``lme``
        the random effects' covariance.

    Raises
    ------
    OptionError
        For what lme4 1.1 has not: other covariance structures, penalties, Python's functions and
        variables; and for weights, offsets or contrasts that were given as arrays, which are in no
        column.
    ResidualStructureError
        For what nlme has not: `toep`, `ad1`, registered structures, ``by=``, crossed factors,
        several variables in ``dispersion=``; and for weights beside residual structures.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> sleepstudy = nm.load_dataset("sleepstudy")
    >>> print(nm.lmer("Reaction ~ Days + (1 | Subject)", sleepstudy).r_code())
    library(lme4)
    devfun <- lmer(Reaction ~ Days + (1 | Subject), data = sleepstudy, REML = TRUE,
                   devFunOnly = TRUE)
    theta <- c(1.1...)
    devfun(theta)  # nestedmlm: 1786.46508...
    """
    design, options = fit.design, fit.model.source.options
    own = [term.text for term in design.terms if term.structure.name != UNSTRUCTURED]
    if own and design.residual is None:
        raise OptionError(f"lme4 1.1 has no structure like that of ({own[0]}), so there is no code")
    if any(factor.basis is not None for factor in design.factors):
        raise OptionError("lme4 knows no related levels, so its deviance function is another one")
    if fit.penalty is not None:
        raise OptionError("lme4 knows no penalties, so its deviance function is another one")
    if options.contrasts is not None:
        raise OptionError("contrasts= are not translated: set the factors' contrasts in R")
    arguments = {"weights": options.weights, "offset": options.offset}
    for name, given in arguments.items():
        if given is not None and not isinstance(given, str):
            raise OptionError(f"{name} came as an array: make it a column, and give its name")
    outer = sorted(design.schema.env.values)
    if outer:
        raise OptionError(f"R does not know {', '.join(outer)} of Python: make that part a column")
    table = fit.data_name if fit.data_name and fit.data_name.isidentifier() else _DATA
    defined = [code for name, code in _IN_R.items() if _calls(fit.formula, name)]
    if design.residual is not None:
        return "\n".join([*defined, nlme_code(fit, table)])
    first = f"devfun <- lmer({fit.formula}, data = {table}, REML = {str(fit.REML).upper()},"
    extra = "".join(f" {name} = {value}," for name, value in arguments.items() if value)
    theta = ", ".join(repr(float(value)) for value in fit.theta)
    return "\n".join(
        (
            "library(lme4)",
            *defined,
            f"{first}{extra}",
            "               devFunOnly = TRUE)",
            f"theta <- c({theta})",
            f"devfun(theta)  # nestedmlm: {fit.criterion!r}",
        )
    )


def _calls(formula: str, name: str) -> bool:
    return re.search(rf"(?<![\w.]){name}\(", formula) is not None
