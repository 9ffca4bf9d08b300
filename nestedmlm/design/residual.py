"""`ResidualRows`: what a design knows of residuals that differ or correlate.

The arguments ``dispersion`` and ``residual`` become columns of the log standard deviations, blocks,
times and groups of the rows. What cannot be estimated, or told apart from the random effects, is
refused here, before any fit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.covariance.residual_structures import (
    BLOCK,
    GAPS,
    ResidualStructure,
    residual_structure,
)
from nestedmlm.design.frame.checks import check_finite
from nestedmlm.design.frame.operators import as_numbers
from nestedmlm.design.frame.values import Factor, Matrix, Vector, as_factor
from nestedmlm.design.matrices.grouping import learn_group
from nestedmlm.design.matrices.modelmatrix import MatrixSpec, build_matrix, learn_matrix
from nestedmlm.design.residual_checks import checked_rows
from nestedmlm.errors import FormulaError, ResidualStructureError
from nestedmlm.formula.formula import Formula
from nestedmlm.formula.residual_arguments import ResidualTerm, parse_dispersion, parse_residual


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualArguments:
    """The arguments as they were read.

    Attributes
    ----------
    dispersion : Formula or None
    dispersion_text : str or None
    term : ResidualTerm or None
    """

    dispersion: Formula | None
    dispersion_text: str | None
    term: ResidualTerm | None

    @property
    def texts(self) -> tuple[str, ...]:
        """The arguments as they were written, for readers."""
        out = () if self.dispersion_text is None else (f"log SD {self.dispersion_text}",)
        return out if self.term is None else (*out, self.term.text)

    @property
    def formulas(self) -> tuple[Formula, ...]:
        """Formulas that name all variables."""
        term = () if self.term is None else self.term.formulas
        return term if self.dispersion is None else (self.dispersion, *term)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResidualRows:
    """Residuals that differ or correlate: what is known of each row.

    Attributes
    ----------
    arguments : ResidualArguments
    structure : ResidualStructure or None
        Of the correlations within blocks.
    hom : bool
        Whether the structure has one variance.
    block, by : (n,) int arrays or None
    time : (n,) array or None
        Times, or codes of levels.
    log_sd : (n, q) array
        Columns of the log-linear model of the standard deviations, without the intercept.
    names : tuple of str
        Of the parameters: those of `log_sd`, then those of the correlations.
    log_sd_names : tuple of str
        What a posterior calls those of `log_sd`: ``sigma_Sex[Female]``, ``sigma_Days``.
    block_name, time_name : str
    block_levels : ndarray of object
    time_labels : tuple of str
        Of levels; of `hom=False` structures over gaps the times.
    by_levels : tuple of str
    strata : tuple of str
        Strata of the argument ``dispersion``, where all its variables are factors.
    stratum : (n,) int array or None
        The stratum of each row.
    spec : MatrixSpec or None
        Of the argument ``dispersion``; `columns` of it are used, the intercept is not.
    columns : tuple of int
    sorted_as_text : bool
        Whether numbers in the labels of the time are out of order.
    """

    arguments: ResidualArguments
    structure: ResidualStructure | None
    hom: bool
    block: IntArray | None
    by: IntArray | None
    time: FloatArray | None
    log_sd: FloatArray
    names: tuple[str, ...]
    log_sd_names: tuple[str, ...]
    block_name: str
    time_name: str
    block_levels: npt.NDArray[np.object_]
    time_labels: tuple[str, ...]
    by_levels: tuple[str, ...]
    strata: tuple[str, ...]
    stratum: IntArray | None
    spec: MatrixSpec | None
    columns: tuple[int, ...]
    sorted_as_text: bool = False

    def __post_init__(self) -> None:
        for array in (self.block, self.by, self.time, self.log_sd, self.stratum):
            if array is not None:
                array.flags.writeable = False

    @property
    def levels(self) -> int:
        """Number of levels of the time."""
        return len(self.time_labels)

    def of_rows(self, rows: IntArray) -> ResidualRows:
        """The same of some rows: parameters stay, also those that these rows say nothing of."""
        return replace(
            self,
            log_sd=self.log_sd[rows],
            block=None if self.block is None else self.block[rows],
            by=None if self.by is None else self.by[rows],
            time=None if self.time is None else self.time[rows],
            stratum=None if self.stratum is None else self.stratum[rows],
        )

    def apart(self, copy: IntArray) -> ResidualRows:
        """The same with the blocks of rows told apart whose numbers in `copy`, (n,), differ."""
        if self.block is None:
            return self
        size = len(self.block_levels)
        found, block = np.unique(copy.astype(np.int64) * size + self.block, return_inverse=True)
        labels = self.block_levels[found % size]
        return replace(self, block=block.astype(self.block.dtype), block_levels=labels)

    @property
    def n_dispersion(self) -> int:
        """How many of the columns are those of the argument ``dispersion``."""
        return len(self.columns)

    def new_log_sd(self, values: Mapping[str, Vector], n: int) -> FloatArray:
        """The dispersion's columns of other rows."""
        if self.spec is None:
            return np.zeros((n, 0))
        return build_matrix(self.spec, values, n)[:, list(self.columns)]


def read_arguments(dispersion: str | None, residual: str | None) -> ResidualArguments | None:
    """Read both arguments; None where neither is given.

    Raises
    ------
    FormulaError, OptionError
    """
    if dispersion is None and residual is None:
        return None
    term = None if residual is None else parse_residual(residual)
    if term is not None:
        residual_structure(term.structure)
    return ResidualArguments(
        dispersion=None if dispersion is None else parse_dispersion(dispersion),
        dispersion_text=None if dispersion is None else " ".join(dispersion.split()),
        term=term,
    )


def residual_rows(
    arguments: ResidualArguments, values: Mapping[str, Vector], n: int
) -> ResidualRows:
    """Learn the residuals' structure from the variables of the complete rows.

    Raises
    ------
    ResidualStructureError, FormulaError
    """
    spec, columns, log_sd, names, variables = _dispersion(arguments.dispersion, values, n)
    strata, stratum = _strata(arguments.dispersion, values)
    term = arguments.term
    if term is None:
        return checked_rows(ResidualRows(
            arguments=arguments, structure=None, hom=True, block=None, by=None, time=None,
            log_sd=log_sd, names=tuple(names), log_sd_names=tuple(variables), block_name="",
            time_name="",
            block_levels=np.zeros(0, dtype=object), time_labels=(), by_levels=(), strata=strata,
            stratum=stratum, spec=spec, columns=columns,
        ))  # fmt: skip
    structure = residual_structure(term.structure)
    hom = structure.default_hom if term.hom is None or not structure.takes_hom else term.hom
    _, factor, codes = learn_group(term.bar, values, n)
    block = codes.astype(np.int64)
    time, labels = _time(term, structure, hom, values, n)
    by, by_levels = _groups(term, values, block, factor.name)
    groups = np.zeros(n, dtype=np.int64) if by is None else by
    suffix = [""] if by is None else [f"|{level}" for level in by_levels]
    extra: list[FloatArray] = []
    for g, ending in enumerate(suffix):
        own = (groups == g).astype(float)
        if g:
            extra.append(own)
            names.append(f"sd_ratio[{by_levels[g]}]")
            variables.append(f"sigma_{term.by.name}[{by_levels[g]}]")  # type: ignore[union-attr]
        if not hom and structure.takes_hom:
            level = np.searchsorted(np.unique(time), time) if structure.time == GAPS else time
            for v, label in enumerate(labels[1:], start=1):
                extra.append(own * (level == v))
                names.append(f"sd_ratio[{label}{ending}]")
                variables.append(f"sigma_{term.time.name}[{label}{ending}]")  # type: ignore[union-attr]
    k = len(labels)
    for ending in suffix:
        names += [f"{name}{ending}" for name in structure.parameters(k)]
    return checked_rows(ResidualRows(
        arguments=arguments, structure=structure, hom=hom, block=block, by=by, time=time,
        log_sd=np.column_stack([log_sd, *extra]), names=tuple(names),
        log_sd_names=tuple(variables), block_name=factor.name,
        time_name="" if term.time is None else term.time.name, block_levels=factor.levels,
        time_labels=labels, by_levels=by_levels, strata=strata, stratum=stratum, spec=spec,
        columns=columns, sorted_as_text=_sorted_as_text(term, values),
    ))  # fmt: skip


def _sorted_as_text(term: ResidualTerm, values: Mapping[str, Vector]) -> bool:
    """Whether the numbers in the labels of a time that is text are out of order."""
    value = None if term.time is None else values[term.time.name]
    if not isinstance(value, Factor) or value.kind != "string":
        return False
    numbers = [re.findall(r"\d+(?:\.\d+)?", label) for label in value.labels]
    if not all(len(found) == 1 for found in numbers):
        return False
    found = [float(one[0]) for one in numbers]
    return found != sorted(found)


def _dispersion(
    formula: Formula | None, values: Mapping[str, Vector], n: int
) -> tuple[MatrixSpec | None, tuple[int, ...], FloatArray, list[str], list[str]]:
    if formula is None:
        return None, (), np.zeros((n, 0)), [], []
    spec = learn_matrix(formula.fixed_terms(), values)
    full = build_matrix(spec, values, n)
    check_finite(full, spec.names)
    columns = tuple(j for j, name in enumerate(spec.names) if name != "(Intercept)")
    X = full[:, list(columns)]
    names, variables = [], []
    for j, column in zip(columns, X.T, strict=True):
        name, strata = spec.names[j], bool(np.isin(column, (0.0, 1.0)).all())
        plain = [v.name for v in formula.fixed_terms().variables if v.name == name[: len(v.name)]]
        level = name[len(plain[0]) :] if strata and len(plain) == 1 and ":" not in name else ""
        names.append(f"sd_ratio[{level or name}]" if strata else f"dispersion[{name}]")
        variables.append(f"sigma_{plain[0]}[{level}]" if level else f"sigma_{name}")
    return spec, columns, np.ascontiguousarray(X), names, variables


def _strata(
    formula: Formula | None, values: Mapping[str, Vector]
) -> tuple[tuple[str, ...], IntArray | None]:
    """Combinations of levels that occur; none where some variable is a number."""
    found = [] if formula is None else [values[v.name] for v in formula.fixed_terms().used]
    if not found or not all(isinstance(value, Factor) for value in found):
        return (), None
    labels, codes = [""], np.zeros(1, dtype=np.int64)
    for value in found:
        assert isinstance(value, Factor)
        codes = codes * len(value.labels) + value.codes
        labels = [f"{a}:{b}" if a else b for a in labels for b in value.labels]
    seen, stratum = np.unique(codes, return_inverse=True)
    return tuple(labels[code] for code in seen), stratum.reshape(-1)


def _time(
    term: ResidualTerm,
    structure: ResidualStructure,
    hom: bool,
    values: Mapping[str, Vector],
    n: int,
) -> tuple[FloatArray, tuple[str, ...]]:
    """Times of the rows, or codes of their levels, and the levels' labels."""
    if term.time is None:
        if structure.time != BLOCK or not hom:
            raise FormulaError(
                f"{term.structure} needs the time left of the bar: {term.structure}(visit | id)",
                term.text,
            )
        return np.zeros(n), ()
    value = values[term.time.name]
    if structure.time == GAPS and not isinstance(value, Factor):
        numbers = as_numbers(value, term.time.name)
        if isinstance(numbers, Matrix):
            raise ResidualStructureError(f"{term.time.name} has several columns: a time has one")
        time = np.array(numbers, dtype=float)
        check_finite(time[:, None], [term.time.name])
        if structure.whole_gaps and not np.array_equal(time, np.rint(time)):
            raise ResidualStructureError(
                f"{term.structure} counts whole steps of time and {term.time.name} has fractions: "
                f"take car1({term.time.name} | {term.bar.group_name}), for any times"
            )
        different = np.unique(time)
        return time, () if hom else tuple(f"{t:g}" for t in different)
    factor = as_factor(value, name=term.time.name)
    return factor.codes.astype(float), tuple(factor.labels)


def _groups(
    term: ResidualTerm, values: Mapping[str, Vector], block: IntArray, name: str
) -> tuple[IntArray | None, tuple[str, ...]]:
    if term.by is None:
        return None, ()
    factor = as_factor(values[term.by.name], name=term.by.name)
    codes = factor.codes.astype(np.int64)
    first = np.zeros(int(block.max()) + 1, dtype=np.int64)
    first[block] = codes
    if not np.array_equal(first[block], codes):
        bad = np.flatnonzero(first[block] != codes)[0]
        raise ResidualStructureError(
            f"by={term.by.name} changes within {name} (row {bad}): each block belongs to one group"
        )
    return codes, tuple(factor.labels)


def residual_remarks(rows: ResidualRows) -> tuple[str, ...]:
    """What a reader of the summary should know of blocks and times, a line for each."""
    structure, time, block = rows.structure, rows.time, rows.block
    if structure is None or time is None or block is None:
        return ()
    said, sizes = [], np.bincount(block)
    if rows.sorted_as_text:
        said.append(
            f"{rows.time_name} is text, in the order {', '.join(rows.time_labels[:4])}, ...: make "
            "it an ordered categorical for the order of its numbers"
        )
    single = int(np.sum(sizes == 1))
    if single:
        said.append(f"{single} of {len(sizes)} blocks of {rows.block_name} have one row")
    if structure.whole_gaps:
        order = np.lexsort((time, block))
        gaps = np.rint(np.diff(time[order])[np.diff(block[order]) == 0]).astype(np.int64)
        step = int(np.gcd.reduce(gaps)) if len(gaps) else 1
        wide = int(np.sum(gaps > step))
        if wide:
            said.append(
                f"{wide} gaps wider than {step} in {rows.time_name} count: the correlation over d "
                "steps is rho ** d"
            )
        elif step > 1:
            said.append(f"a step of {rows.time_name} is {step}: rho is the correlation over it")
    return tuple(said)
