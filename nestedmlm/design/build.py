"""`build_design`: a formula and data to the matrices of a mixed model, stage by stage.

``read_variables -> Variables``, ``fixed_part -> Fixed``, ``random_part -> Random``,
``join -> Design``: whoever needs less, or no checks, takes the stages one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.arguments import check_number, checked
from nestedmlm.design.design import Design
from nestedmlm.design.frame.checks import check_effects, check_finite, check_levels
from nestedmlm.design.frame.response_kinds import response_kind
from nestedmlm.design.frame.values import Factor
from nestedmlm.design.frame.variables import Variables, read_variables
from nestedmlm.design.matrices.modelmatrix import MatrixSpec, build_matrix, learn_matrix
from nestedmlm.design.matrices.qr import kept_columns
from nestedmlm.design.matrices.reterms import (
    Block,
    first_of_each_factor,
    lme4_order,
    make_blocks,
    make_terms,
)
from nestedmlm.design.remarks import rank_message, remarks
from nestedmlm.design.residual import (
    ResidualArguments,
    ResidualRows,
    read_arguments,
    residual_remarks,
    residual_rows,
)
from nestedmlm.design.residual_checks import check_beside, check_known_sigma, check_reproduced
from nestedmlm.design.rows import Rows, frozen, rows_here
from nestedmlm.design.schema import Schema
from nestedmlm.errors import FormulaError, OptionError
from nestedmlm.formula.formula import Formula, as_formula
from nestedmlm.late import Late

if TYPE_CHECKING:
    from nestedmlm.families import Family


read_relationships = Late("nestedmlm.design.relationship", "read_relationships")
with_relationships = Late("nestedmlm.design.relationship", "with_relationships")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Fixed:
    """The fixed part: its matrix without the columns that others explain.

    Attributes
    ----------
    spec : MatrixSpec
        Before columns were dropped.
    X : ndarray, shape (n, p)
    kept : tuple of int
        The columns of `spec` that were kept.
    default : bool
        Whether all are kept and no contrasts were asked for: a random-effects term of the same
        variables then has the same matrix.
    """

    spec: MatrixSpec
    X: FloatArray
    kept: tuple[int, ...]
    default: bool

    @property
    def dropped(self) -> tuple[str, ...]:
        """Names of the columns that were dropped."""
        return tuple(name for j, name in enumerate(self.spec.names) if j not in set(self.kept))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Random:
    """The random part.

    Attributes
    ----------
    blocks : tuple of Block
        The terms with their matrices and groups, in lme4's order.
    """

    blocks: tuple[Block, ...] = ()


@checked
def build_design(
    formula: str | Formula,
    data: Any,
    *,
    weights: Any = None,
    offset: Any = None,
    contrasts: Mapping[str, Any] | None = None,
    na_action: str = "omit",
    double_bar: str = "split",
    dispersion: str | None = None,
    residual: str | None = None,
    relationship: Mapping[str, Any] | None = None,
    sigma: float | None = None,
    env: Mapping[str, Any] | None = None,
    family: Family | None = None,
    require_random: bool = True,
    check: bool = True,
) -> Design:
    """Make the design of a mixed model.

    Parameters
    ----------
    formula : str or Formula
    data : DataFrame, mapping of arrays, or anything narwhals can read
        Never changed.
    weights, offset : str or array, optional
        A column name, or one number per row.
    contrasts : mapping of str to contrasts, optional
        For factors of the fixed part: ``{"cond": "sum"}``, or a matrix.
    na_action : {"omit", "exclude", "raise"}
        What to do with rows that have missing values.
    double_bar : {"split", "diag"}
        What ``||`` means (see `parse_formula`).
    dispersion : str, optional
        One-sided formula of the residuals' log standard deviation: ``"~ Sex"``.
    residual : str, optional
        Correlation of residuals within blocks: ``"ar1(Days | Subject)"``.
    relationship : mapping of str to DataFrame, (matrix, labels) or Pedigree, optional
        Known relationships between the levels of grouping factors: ``{"id": A}``.
    sigma : float, optional
        The residual standard deviation of a row of weight 1, where it is known: a factor may then
        have as many levels as there are rows.
    env : mapping, optional
        The caller's variables, for names that are no columns.
    family : Family, optional
        Of a generalized model (`nestedmlm.families`), which says what the response may be; by
        default any numbers.
    require_random : bool
        Whether a formula without random-effects terms is refused; with `dispersion` or `residual`
        it never is.
    check : bool
        Whether lme4's checks of grouping factors and numbers of effects are made.

    Returns
    -------
    Design

    Raises
    ------
    FormulaError
        For a formula that cannot be read, with its place.
    ColumnNotFoundError
        If the data have no such column, with the nearest names.
    DataError
        If no complete row is left, a column has a kind that a model cannot take, or the fixed
        effects have infinite values.
    ResponseError
        For a response that the model does not take, with its first row.
    GroupingError
        If a grouping factor has one level, or as many as the response has rows.
    WeightsError
        For weights that are negative, missing or infinite.
    OptionError
        For an unknown option, or contrasts that do not go with the factor.
    ResidualStructureError
        For residuals that do not go together, or with something else that was asked for.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> data = nm.load_dataset("sleepstudy")
    >>> design = nm.build_design("Reaction ~ Days + (Days | Subject)", data)
    >>> design.n, design.p, design.x_names
    (180, 2, ('(Intercept)', 'Days'))
    >>> [(f.name, len(f.levels)) for f in design.factors]
    [('Subject', 18)]
    """
    if family is not None and not hasattr(family, "link"):
        raise OptionError(f"family must be a Family such as nm.families.poisson(), not {family!r}")
    formula = as_formula(formula, double_bar)
    arguments = read_arguments(dispersion, residual)
    require_random = require_random and arguments is None
    if require_random and not formula.bars:
        raise FormulaError(
            "no random-effects terms in the formula; add one, for example (1 | group)", formula.text
        )
    others = () if arguments is None else arguments.formulas
    variables = read_variables(
        formula,
        data,
        weights=weights,
        offset=offset,
        na_action=na_action,
        env=env,
        family=family,
        others=others,
    )
    return built_design(
        variables,
        contrasts,
        arguments=arguments,
        relationship=relationship,
        sigma=sigma,
        family=family,
        require_random=require_random,
        check=check,
    )


def built_design(
    variables: Variables,
    contrasts: Mapping[str, Any] | None = None,
    *,
    arguments: ResidualArguments | None = None,
    relationship: Mapping[str, Any] | None = None,
    sigma: float | None = None,
    family: Family | None = None,
    require_random: bool = True,
    check: bool = True,
) -> Design:
    """Make the design of variables that were read; see `build_design`."""
    fixed = fixed_part(variables, contrasts)
    random = random_part(variables, fixed)
    if require_random and not random.blocks:
        raise FormulaError("the random-effects terms have no columns", variables.formula.text)
    design = join(variables, fixed, random)
    if relationship is not None:
        design = with_relationships(design, read_relationships(relationship, variables.formula))
    if arguments is not None:
        check_known_sigma(sigma)
        design = _with_residual(design, residual_rows(arguments, variables.values, variables.n))
    if sigma is not None:
        known = check_number(sigma, "sigma", positive=True)
        rows = replace(rows_here(design.rows, "a known sigma"), sigma=known)
        design = replace(design, rows=rows)
    if check:
        free = response_kind(family).free_dispersion and sigma is None
        name = None if family is None else family.name
        check_levels(design.factors, design.n, free_dispersion=free, family=name)
        check_effects(design.terms, design.factors, design.n, free_dispersion=free)
    said = remarks(design, variables.missing, normal=family is None)
    if said or family is not None:
        design = replace(design, messages=(*design.messages, *said), family=family)
    return design


def _with_residual(design: Design, residual: ResidualRows) -> Design:
    """The design with residuals that differ or correlate."""
    check_beside(residual, design.factors, design.terms)
    check_reproduced(residual, design)
    said = (*design.messages, *residual_remarks(residual))
    rows = replace(rows_here(design.rows, "the residuals"), residual=residual)
    return replace(design, rows=rows, messages=said)


def fixed_part(variables: Variables, contrasts: Mapping[str, Any] | None = None) -> Fixed:
    """Make the matrix of the fixed effects, full column rank.

    Parameters
    ----------
    variables : Variables
    contrasts : mapping of str to contrasts, optional

    Returns
    -------
    Fixed

    Raises
    ------
    OptionError
        For contrasts of what is no factor of the fixed part.
    DataError
        For infinite values.
    """
    check_contrasts(contrasts, variables)
    spec = learn_matrix(variables.fixed, variables.values, contrasts)
    full = build_matrix(spec, variables.values, variables.n)
    check_finite(full, spec.names)
    kept = kept_columns(full)
    every = kept.size == full.shape[1]
    return Fixed(
        spec=spec,
        X=frozen(full if every else np.ascontiguousarray(full[:, kept])),
        kept=tuple(kept.tolist()),
        default=every and not contrasts,
    )


def random_part(variables: Variables, fixed: Fixed) -> Random:
    """Make matrices and groups of the random-effects terms, in lme4's order.

    Parameters
    ----------
    variables : Variables
    fixed : Fixed
        Whose matrix a term of the same variables shares.

    Returns
    -------
    Random
        Without blocks where the formula has no terms, or none with columns.
    """
    shared = (fixed.spec, fixed.X) if fixed.default else None
    blocks = make_blocks(variables.formula, variables.values, variables.n, shared)
    return Random(blocks=tuple(lme4_order(blocks)))


def join(variables: Variables, fixed: Fixed, random: Random | None = None) -> Design:
    """Put the parts together.

    Parameters
    ----------
    variables : Variables
    fixed : Fixed
    random : Random, optional
        None: the design of a linear model.

    Returns
    -------
    Design
    """
    blocks = list(random.blocks) if random is not None else []
    groups = first_of_each_factor(blocks)
    factor_of = tuple(list(groups).index(block.factor.name) for block in blocks)
    schema = Schema(
        formula=variables.formula,
        fixed=fixed.spec,
        kept=fixed.kept,
        bars=tuple(block.spec for block in blocks),
        groups=tuple(block.group for block in groups.values()),
        factor_of=factor_of,
        offsets=variables.offsets,
        offset_column=variables.offset_column,
        offset_array=variables.offset_array,
        states=variables.states,
        env=variables.env,
    )
    rows = Rows(
        y=frozen(variables.y),
        X=fixed.X,
        matrices=tuple(block.X for block in blocks),
        codes=tuple(block.codes for block in groups.values()),
        weights=None if variables.weights is None else frozen(variables.weights),
        offset=None if variables.offset is None else frozen(variables.offset),
        index=variables.index,
        full_index=variables.full_index,
        kept=frozen(variables.kept),
    )
    return Design(
        formula=variables.formula,
        schema=schema,
        n=variables.n,
        x_names=tuple(fixed.spec.names[j] for j in fixed.kept),
        x_assign=tuple(fixed.spec.assign[j] for j in fixed.kept),
        x_terms=variables.fixed.labels,
        dropped=fixed.dropped,
        factors=tuple(block.factor for block in groups.values()),
        terms=make_terms(blocks, factor_of),
        na_action=variables.na_action,
        messages=rank_message(fixed.dropped),
        rows=rows,
    )


def check_contrasts(contrasts: Mapping[str, Any] | None, variables: Variables) -> None:
    """Refuse contrasts of what is no factor of the fixed part.

    Raises
    ------
    OptionError
    """
    values = variables.values
    factors = [v.name for v in variables.fixed.variables if isinstance(values.get(v.name), Factor)]
    for name in contrasts or {}:
        if name not in factors:
            known = ", ".join(factors) or "none"
            raise OptionError(f"contrasts for {name!r}, but the factors of the model are: {known}")
