"""`Source`: where a model finds the variables of its formula, kept as they were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nestedmlm.arguments import check_number
from nestedmlm.callers import Caller
from nestedmlm.design.build import build_design, fixed_part, join
from nestedmlm.design.design import Design
from nestedmlm.design.frame.environment import Environment, plain_variables
from nestedmlm.design.frame.frames import Frame
from nestedmlm.design.frame.snapshots import snapshot
from nestedmlm.design.frame.variables import Variables, read_variables
from nestedmlm.design.residual import read_arguments
from nestedmlm.errors import DataError, OptionError
from nestedmlm.fits.changed_rows import ChangedRows
from nestedmlm.formula import Formula
from nestedmlm.late import late_imports

if TYPE_CHECKING:
    from nestedmlm.design.relationship import Relationship, read_relationships
    from nestedmlm.families import Family
    from nestedmlm.fits.summed_table import summed_design
else:  # each loads when it is first asked for: large tables, known relationships
    globals().update(late_imports("nestedmlm.fits", {"summed_table": "summed_design"}))
    globals().update(late_imports("nestedmlm.design", {"relationship": "read_relationships"}))

MANY_ROWS = 100_000  # of a table, from which sums over them pay


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelOptions:
    """Options of a model: how its data are read.

    Attributes
    ----------
    weights, offset : str, array or None
    contrasts : mapping or None
    na_action : str
    double_bar : str
    dispersion, residual : str or None
    relationship : mapping of str to Relationship, or None
    family : Family or None
        Of a generalized model.
    sigma : float or None
        The residual standard deviation, where it is known.
    """

    weights: Any = None
    offset: Any = None
    contrasts: Mapping[str, Any] | None = None
    na_action: str = "omit"
    double_bar: str = "split"
    dispersion: str | None = None
    residual: str | None = None
    relationship: Mapping[str, Relationship] | None = None
    family: Family | None = None
    sigma: float | None = None

    @property
    def summed(self) -> bool:
        """Whether a model with these options can be fitted from sums over its rows."""
        others = (self.dispersion, self.residual, self.relationship, self.family, self.sigma)
        return all(option is None for option in others)

    @property
    def weights_name(self) -> str | None:
        """The column, or the argument's name."""
        return _argument_name(self.weights, "weights")

    @property
    def offset_name(self) -> str | None:
        """The column, or the argument's name."""
        return _argument_name(self.offset, "offset")

    @property
    def weights_column(self) -> str | None:
        """The column; None where there are no weights or they are an array."""
        return self.weights if isinstance(self.weights, str) else None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """Data and variables of the caller, out of reach of later edits, and how they are read.

    Attributes
    ----------
    data : table
    env : Environment
        The caller's variables, for names that are no columns.
    options : ModelOptions
    data_name : str or None
        The caller's name of the data.
    changed : ChangedRows or None
        Response and weights in the place of the data's, after `refit`.
    """

    data: Any
    env: Environment
    options: ModelOptions
    data_name: str | None = None
    changed: ChangedRows | None = None

    @property
    def predictors(self) -> Any:
        """What means and hypotheses are told of the predictors: the data."""
        return self.data

    def design(self, formula: Formula) -> Design:
        """Make the design of a formula; see `build_design`."""
        if self.changed is not None:
            return self.changed.put_into(replace(self, changed=None).design(formula))
        options = self.options
        if formula.bars and options.summed and Frame(self.data).n >= MANY_ROWS:
            return summed_design(self, formula)
        return build_design(
            formula,
            self.data,
            weights=options.weights,
            offset=options.offset,
            contrasts=options.contrasts,
            na_action=options.na_action,
            double_bar=options.double_bar,
            dispersion=options.dispersion,
            residual=options.residual,
            relationship=_of_formula(options.relationship, formula),
            sigma=options.sigma,
            env=self.env.values,
            family=options.family,
        )

    def linear_design(self, formula: Formula) -> Design:
        """Make the design of a formula without random-effects terms."""
        variables = self.variables(formula)
        design = join(variables, fixed_part(variables, self.options.contrasts))
        return design if self.changed is None else self.changed.put_into(design)

    def variables(self, formula: Formula) -> Variables:
        """Read the variables of a formula."""
        options = self.options
        return read_variables(
            formula,
            self.data,
            weights=options.weights,
            offset=options.offset,
            na_action=options.na_action,
            env=self.env.values,
            family=options.family,
        )

    def reduced(self, formula: Formula) -> Source:
        """Keep what applies to a formula that has fewer terms: contrasts of the factors left."""
        if not self.options.contrasts:
            return self
        columns = Frame(self.data).column_names if formula.has_dot else ()
        left = {variable.name for variable in formula.fixed_terms(columns).variables}
        contrasts = {k: how for k, how in self.options.contrasts.items() if k in left}
        return replace(self, options=replace(self.options, contrasts=contrasts))

    def with_data(self, data: Any) -> Source:
        """Read other data in the same way.

        Raises
        ------
        DataError
            If weights or offset were given as arrays, which other data do not have.
        """
        for name in ("weights", "offset"):
            given = getattr(self.options, name)
            if given is not None and not isinstance(given, str):
                raise DataError(
                    f"{name} came as an array, which belongs to the rows of the first data: make "
                    "it a column of the data and give the column's name"
                )
        return replace(self, data=snapshot(data), changed=None)


def read_source(
    formula: Formula,
    data: Any,
    options: ModelOptions,
    caller: Caller,
    *,
    env: Mapping[str, Any] | None = None,
    data_name: str | None = None,
) -> Source:
    """Take snapshots of everything that a formula may read.

    Parameters
    ----------
    formula : Formula
    data : table
    options : ModelOptions
    caller : Caller
        Where variables and the name of the data are found unless they are given.
    env : mapping, optional
    data_name : str, optional

    Returns
    -------
    Source
    """
    arguments = read_arguments(options.dispersion, options.residual)
    others = () if arguments is None else arguments.formulas
    names = {name for one in (formula, *others) for name in one.names}
    used = plain_variables(caller.values(tuple(names))) if env is None else dict(env)
    return Source(
        data=snapshot(data),
        env=Environment({k: snapshot(v) if k in names else v for k, v in used.items()}),
        options=ModelOptions(
            weights=snapshot(options.weights),
            offset=snapshot(options.offset),
            contrasts=snapshot(options.contrasts),
            na_action=options.na_action,
            double_bar=options.double_bar,
            dispersion=options.dispersion,
            residual=options.residual,
            relationship=(
                None
                if options.relationship is None
                else read_relationships(options.relationship, formula)
            ),
            family=options.family,
            sigma=options.sigma,
        ),
        data_name=caller.name_of(data) if data_name is None else data_name,
    )


def _of_formula(
    given: Mapping[str, Relationship] | None, formula: Formula
) -> Mapping[str, Relationship] | None:
    """Relationships of the grouping factors that a formula has left."""
    if given is None:
        return None
    names = {bar.group_name for bar in formula.bars}
    return {name: own for name, own in given.items() if name in names} or None


def _argument_name(argument: Any, default: str) -> str | None:
    if argument is None:
        return None
    return argument if isinstance(argument, str) else default


def read_fixed(fixed: Mapping[str, float] | None) -> float | None:
    """The known residual standard deviation, the only parameter that can be known."""
    if fixed is None:
        return None
    if set(fixed) != {"sigma"}:
        raise OptionError(f"fixed= knows sigma alone: fixed={{'sigma': 1}}, not {dict(fixed)!r}")
    return check_number(fixed["sigma"], "sigma in fixed=", positive=True)
