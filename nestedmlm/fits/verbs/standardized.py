"""The same model of standardised variables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd

from nestedmlm.errors import DataError, OptionError, RowsNotHereError
from nestedmlm.fits.changed_rows import changed_of
from nestedmlm.fits.simulation.extend import as_pandas
from nestedmlm.formula import Formula
from nestedmlm.formula.nodes import Call, Name, Node, children

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit

# functions that take a standardised variable as they take another one
_LINEAR = frozenset({"I", "poly", "scale", "center"})
# functions that make a factor of a number, whose values mean nothing
_OF_LEVELS = frozenset({"factor", "ordered", "cut", "C", "as.factor", "as.ordered", "interaction"})


def standardized(fit: LmerFit, *, two_sd: bool = False) -> LmerFit:
    """The same model fitted to standardised variables: standardised coefficients.

    Response and numeric predictors are centred and divided by their standard deviation over the
    rows of the fit; factors, grouping factors and weights stay as they are. What comes is a fit:
    ``fit.standardized().tidy("fixed", conf_int=True)`` has the coefficients with their intervals.

    Parameters
    ----------
    two_sd : bool
        Divide numeric predictors by two standard deviations, so that their coefficients compare
        with those of balanced factors of two levels (Gelman 2008).

    Returns
    -------
    LmerFit or GlmerFit
        Of a generalized model the response stays as it is.

    Raises
    ------
    OptionError
        Where standardising changes the model: variables within functions such as ``log()``,
        those that ``dispersion=`` or ``residual=`` need too, and offsets of linear models.
    DataError
        For variables that are no columns of the data or are constant, and for weights that were
        given as an array.
    RowsNotHereError
        Of a fit from sums; it says how to fit the standardised variables from partitions.

    Notes
    -----
    Fitted anew, as R's ``effectsize::standardize_parameters(method = "refit")`` and
    ``datawizard::standardize()`` of a model. Interactions are products of standardised variables,
    and random slopes are by standardised ones, which multiplying coefficients afterwards does not
    give. Where random slopes come without their correlation (``||``), centring makes it another
    model, as in R.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> print(round(fit.standardized().fixef["Days"], 3))
    0.535
    """
    if fit.design.rows is None:
        raise RowsNotHereError(
            "a matter of rows, and this fit is made of sums over them. Put scale() "
            "around response and predictors, 'scale(y) ~ scale(x) + (scale(x) | g)', and fit that "
            "with nm.lmer to the data in partitions: its coefficients are the standardised ones"
        )
    formula = fit.design.formula
    linear = fit.core.family is None
    if changed_of(fit.model) is not None:
        raise OptionError(
            "the fit was refitted to another response or other weights, which are no columns of "
            "the data: make them columns, fit, and standardise that"
        )
    if linear and fit.design.offset is not None:
        raise OptionError(
            "the model has an offset, whose coefficient is 1 in the unit of the response: "
            "subtract it from the response before you standardise"
        )
    table = as_pandas(fit.model.data)[fit.design.kept]
    changed = {}
    of_residuals = _residual_variables(fit)
    for name in _variables(formula, table, response=linear):
        if name in of_residuals:
            raise OptionError(
                f"{name} is a predictor and stands in {of_residuals[name]}, whose parameters are "
                "in its unit: give one of the two a column of its own"
            )
        of_response = linear and name in _names(formula.response)
        changed[name] = _standardised(table[name], 1.0 if of_response or not two_sd else 2.0)
    model = fit.model.with_data(table.assign(**changed))
    made: LmerFit = model.fit(**_options(fit))
    return made


def _residual_variables(fit: Any) -> dict[str, str]:
    """Variables of ``dispersion=`` and ``residual=``, each with where it stands."""
    if fit.design.residual is None:
        return {}
    arguments = fit.design.residual.arguments
    found: dict[str, str] = {}
    if arguments.dispersion is not None:
        for variable in arguments.dispersion.fixed_terms().variables:
            found |= dict.fromkeys(_names(variable.node), "dispersion=")
    if arguments.term is not None and arguments.term.time is not None:
        found |= dict.fromkeys(_names(arguments.term.time.node), "residual=")
    return found


def _options(fit: Any) -> dict[str, Any]:
    if fit.core.family is not None:
        return {"nAGQ": fit.nAGQ, "information": fit.information, "penalty": fit.penalty}
    return {"REML": fit.REML, "penalty": fit.penalty}


def _variables(formula: Formula, table: pd.DataFrame, *, response: bool) -> list[str]:
    """Numeric variables of response, fixed effects and random slopes."""
    nodes = [*([formula.response] if response else []), *(bar.lhs for bar in formula.bars)]
    columns = tuple(map(str, table.columns))
    if formula.has_dot:
        nodes += [v.node for v in formula.fixed_terms(columns).variables]
    elif formula.fixed is not None:
        nodes.append(formula.fixed)
    groups = {name for bar in formula.bars for part in bar.parts for name in _names(part.node)}
    found: dict[str, set[str]] = {}
    for node in nodes:
        for name, function in _uses(node):
            found.setdefault(name, set()).add(function)
    return [
        name for name, functions in found.items() if _is_changed(name, functions, table, groups)
    ]


def _is_changed(name: str, functions: set[str], table: pd.DataFrame, groups: set[str]) -> bool:
    """Whether a variable is to be standardised.

    Raises
    ------
    OptionError, DataError
    """
    if name not in table.columns:
        raise DataError(
            f"{name!r} is no column of the data: put it into the table, so that it can be "
            "standardised"
        )
    numeric = pd.api.types.is_numeric_dtype(table[name])
    if not numeric or pd.api.types.is_bool_dtype(table[name]) or functions <= _OF_LEVELS:
        return False
    if other := sorted(functions - _LINEAR - {""}):
        raise OptionError(
            f"{name} stands within {other[0]}(), which of a standardised {name} is something else: "
            f"make {other[0]}({name}) a column of its own, and fit again"
        )
    if name in groups:
        raise OptionError(
            f"{name} is a predictor and a grouping factor: give the factor a column of its own"
        )
    return True


def _uses(node: Node, function: str = "") -> Iterator[tuple[str, str]]:
    """Every variable with the innermost function around it, empty where there is none."""
    if isinstance(node, Name):
        yield node.name, function
    elif isinstance(node, Call):
        for arg in node.args:
            yield from _uses(arg, node.func.name)
    else:
        for child in children(node):
            yield from _uses(child, function)


def _names(node: Node) -> set[str]:
    return {name for name, _ in _uses(node)}


def _standardised(values: pd.Series, times: float) -> pd.Series:
    numbers = values.astype(float)
    sd = float(numbers.std())
    if not sd > 0.0:
        raise DataError(f"{values.name} is constant in the rows of the fit: it has no unit")
    return (numbers - numbers.mean()) / (times * sd)
