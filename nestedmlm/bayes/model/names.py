"""Names of a design's parameters in a posterior, with their dimensions and coordinates.

Bambi's names, so that ArviZ snippets carry over: ``Intercept``, ``ses``, ``1|schoolid``,
``1|schoolid_sigma``, ``sigma``; and ``schoolid_corr`` for what Bambi lacks. Where two terms of
one factor share a column, lme4's unique term names (``classid.1``) keep them apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nestedmlm.covariance import Parameter
from nestedmlm.families import Family, SampledParameter

if TYPE_CHECKING:
    from nestedmlm.design.design import Design, ReTerm
    from nestedmlm.design.residual import ResidualRows

SIGMA, MU, OBS_DIM = "sigma", "mu", "__obs__"
PROBABILITY = "p"  # mean of a binomial response
DISPERSION = "dispersion"  # of a family that says nothing of PyMC
PLAIN = SampledParameter(name=DISPERSION, prior=("HalfCauchy", (("beta", 1.0),)))
IMPORTANCE = "importance_variance"  # in sample_stats, of draws by importance sampling
LIKELIHOOD = "marginal_likelihood"  # name of the marginal form's potential
LAPLACE = "laplace_likelihood"  # the same where effects are integrated out approximately
INTERCEPT = "Intercept"
FIXED_DIM = "fixed"
CENTRED_INTERCEPT = "Intercept_centred"

# Endings of the variables that exist only so that sampling is easy; left out of posteriors.
RAW, OFFSET, PARTIAL, STRETCHED = "_raw", "_offset", "_partial", "_unit"
SCORE = "_standard_score"  # of a coefficient with a joint prior
STICK = "slopes_stick"  # of R2D2, whose shares are reported
FREE = "_parameter_raw"  # what a parameter of a structure is made from that is no rho
RESIDUAL = "residual"  # the label of the residuals' correlations
SCALE_SUFFIX, CORRELATION_SUFFIX, RHO_SUFFIX = "_sigma", "_corr", "_rho"
PAIR_DIM = "__pair_dim"
_RESERVED = {SIGMA, MU, "theta", CENTRED_INTERCEPT, LIKELIHOOD, LAPLACE}


@dataclass(frozen=True, slots=True, kw_only=True)
class TermNames:
    """Names of one random-effects term.

    Attributes
    ----------
    label : str
        The factor's name, or the term's unique name where that would clash.
    columns : tuple of str
        ``"1"`` for the intercept, otherwise the column's name.
    variables : tuple of str
        ``"1|schoolid"``, one per column.
    sds : tuple of str
        ``"1|schoolid_sigma"``, one per column; a single ``"schoolid_sigma"`` if homogeneous.
    correlation : str or None
        ``"schoolid_corr"`` if the columns are correlated.
    rho : str or None
        ``"schoolid_rho"``: the correlation of neighbours where that is all (``cs``, ``ar1``).
    parameters : tuple of str
        ``"schoolid_range"``: all parameters of a structured correlation, `rho` among them.
    factor_dim : str
        ``"schoolid__factor_dim"``.
    pair_dim : str
        ``"schoolid__pair_dim"``: the dimension of the correlations, one for each pair of columns.
    """

    label: str
    columns: tuple[str, ...]
    variables: tuple[str, ...]
    sds: tuple[str, ...]
    correlation: str | None
    rho: str | None
    parameters: tuple[str, ...]
    factor_dim: str
    pair_dim: str

    @property
    def pairs(self) -> tuple[str, ...]:
        """Labels of the correlations: ``"ses, 1"``."""
        return tuple(f"{self.columns[i]}, {self.columns[j]}" for i, j in pairs(len(self.columns)))


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrelationNames:
    """Names of the correlations of residuals within the blocks of one group.

    Attributes
    ----------
    label : str
        ``"residual"``, or ``"residual|drug"`` of a group.
    parameters : tuple of str
        ``"residual_rho"``; none of an unstructured matrix.
    sds : tuple of str
        ``"residual_sd[VIS2]"``: of an unstructured matrix, the first visit's left out.
    correlation : str or None
        ``"residual_corr"`` of an unstructured matrix.
    expr_dims : tuple of str
    visits : tuple of str
    """

    label: str
    parameters: tuple[str, ...]
    sds: tuple[str, ...]
    correlation: str | None
    expr_dims: tuple[str, str]
    visits: tuple[str, ...]

    @property
    def variables(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.parameters, *self.sds, *([self.correlation] if self.correlation else []))


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualNames:
    """Names of what residuals that differ or correlate add to a posterior.

    Attributes
    ----------
    log_sd : tuple of str
        ``"sigma_Sex[Female]"``: logarithms of ratios of standard deviations, and slopes.
    groups : tuple of CorrelationNames
    """

    log_sd: tuple[str, ...]
    groups: tuple[CorrelationNames, ...]

    @property
    def variables(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.log_sd, *(name for group in self.groups for name in group.variables))


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterNames:
    """Names of everything a posterior of a design holds.

    Attributes
    ----------
    fixed : tuple of str
        In the order of ``design.x_names``.
    mean : str
        Of the expected response: ``mu``, or ``p`` of a binomial one.
    beside : tuple of str
        What stands beside the mean: ``sigma``, or a family's own, ``alpha``.
    terms : tuple of TermNames
        In the order of ``design.terms``.
    residual : ResidualNames
        Empty where residuals neither differ nor correlate.
    """

    fixed: tuple[str, ...]
    mean: str
    beside: tuple[str, ...]
    terms: tuple[TermNames, ...]
    residual: ResidualNames = ResidualNames(log_sd=(), groups=())

    @property
    def sigma(self) -> str:
        """The residual standard deviation of a linear model."""
        return SIGMA

    @property
    def covariance(self) -> tuple[str, ...]:
        """Names of standard deviations, rho and correlations, term by term."""
        out: list[str] = []
        for t in self.terms:
            out += [*t.sds, *t.parameters, *([t.correlation] if t.correlation else [])]
        return tuple(out)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Fixed effects, covariance parameters, sigma (or a family's own), the residuals'."""
        return (*self.fixed, *self.covariance, *self.beside, *self.residual.variables)

    @property
    def effects(self) -> tuple[str, ...]:
        """Names of the random effects, column by column."""
        return tuple(v for t in self.terms for v in t.variables)


def pairs(k: int) -> list[tuple[int, int]]:
    """Pairs (i, j) of k columns whose correlations are kept: a lower triangle column by column."""
    return [(i, j) for j in range(k) for i in range(j + 1, k)]


def parameter_names(design: Design) -> ParameterNames:
    """Name the parameters of a design."""
    labels = _labels(design)
    mean, beside = _of_family(design)
    reserved = {*_RESERVED, mean, *beside}
    return ParameterNames(
        fixed=tuple(_fixed_name(n, reserved) for n in design.x_names),
        mean=mean,
        beside=beside,
        terms=tuple(
            _term_names(design, t, label) for t, label in zip(design.terms, labels, strict=True)
        ),
        residual=_residual_names(design.residual),
    )


def _residual_names(rows: ResidualRows | None) -> ResidualNames:
    if rows is None:
        return ResidualNames(log_sd=(), groups=())
    log_sd = tuple(without_slash(name) for name in rows.log_sd_names)
    if rows.structure is None:
        return ResidualNames(log_sd=log_sd, groups=())
    out, labels = [], tuple(without_slash(label) for label in rows.time_labels)
    for ending in ("",) if rows.by is None else (f"|{level}" for level in rows.by_levels):
        ending = without_slash(ending)
        label, whole = RESIDUAL + ending, rows.structure.is_root
        own = rows.structure.ends(rows.levels)
        out.append(
            CorrelationNames(
                label=label,
                parameters=tuple(f"{label}_{without_slash(p.name)}" for p in own),
                sds=tuple(f"{RESIDUAL}_sd[{v}{ending}]" for v in labels[1:]) if whole else (),
                correlation=label + CORRELATION_SUFFIX if whole else None,
                expr_dims=(f"{label}__expr_dim", f"{label}__expr_dim_aux"),
                visits=labels,
            )
        )
    return ResidualNames(log_sd=log_sd, groups=tuple(out))


def coordinates(design: Design) -> dict[str, list[Any]]:
    """Coordinates of a posterior of the design: the user's labels."""
    out: dict[str, list[Any]] = {}
    for term, names in zip(design.terms, parameter_names(design).terms, strict=True):
        out[names.factor_dim] = design.factors[term.factor].levels.tolist()
        if names.correlation:
            out[names.pair_dim] = list(names.pairs)
    for group in parameter_names(design).residual.groups:
        if group.correlation:
            out |= {dim: list(group.visits) for dim in group.expr_dims}
    return out


def dimensions(design: Design) -> dict[str, tuple[str, ...]]:
    """Dimensions, besides chain and draw, of every variable that has any."""
    out: dict[str, tuple[str, ...]] = {}
    for t in parameter_names(design).terms:
        out |= dict.fromkeys(t.variables, (t.factor_dim,))
        if t.correlation:
            out[t.correlation] = (t.pair_dim,)
    for group in parameter_names(design).residual.groups:
        if group.correlation:
            out[group.correlation] = group.expr_dims
    return out


def response_name(design: Design) -> str:
    """Name of the observed variable."""
    return without_slash(design.formula.response_text)


def response_data_name(design: Design) -> str:
    """Name of the ``pm.Data`` that holds the response."""
    return f"{response_name(design)}_data"


def without_slash(name: str) -> str:
    """Write a slash as a word: in a DataTree it would open a group, so PyMC refuses it."""
    return name.replace("/", " per ")


def is_auxiliary(name: str) -> bool:
    """Whether a variable of the models made here exists only so that sampling is easy."""
    if name.endswith(OFFSET):
        return "|" in name  # other names may end like this
    endings = (
        SCORE,
        SCALE_SUFFIX + RAW,
        CORRELATION_SUFFIX + PARTIAL,
        RHO_SUFFIX + STRETCHED,
        FREE,
    )
    return name in (CENTRED_INTERCEPT, STICK) or name.endswith(endings)


def _of_family(design: Design) -> tuple[str, tuple[str, ...]]:
    """Names of the expected response, and of what stands beside it."""
    if design.family is None:
        return MU, (SIGMA,)
    likelihood = design.family.pymc
    if likelihood is None:
        return MU, (DISPERSION,) if design.family.has_dispersion else ()
    return likelihood.mean, tuple(p.name for p in sampled_parameters(design.family))


def sampled_parameters(family: Family) -> tuple[SampledParameter, ...]:
    """What a family samples beside the mean: not a dispersion that is fixed."""
    if family.pymc is None:
        return (PLAIN,) if family.has_dispersion else ()
    return tuple(
        p for p in family.pymc.parameters if p.power is None or family.dispersion != "fixed"
    )


def dispersion_of(family: Family, values: Mapping[str, Any]) -> Any:
    """A family's dispersion at values (or draws) of what is sampled beside its mean."""
    if not family.has_dispersion:
        return family.value_of(None)
    return values[DISPERSION] if family.pymc is None else family.pymc.dispersion(values)


def form_of(model: Any) -> str:
    """How a PyMC model treats the random effects: ``marginal``, ``laplace``, ``hierarchical``."""
    potentials = {potential.name for potential in model.potentials}
    forms = {LIKELIHOOD: "marginal", LAPLACE: "laplace"}
    return next((form for name, form in forms.items() if name in potentials), "hierarchical")


def is_mean(name: str, dims: Sequence[Any]) -> bool:
    """Whether a variable is the expected response of every row, which is long."""
    return name in (MU, PROBABILITY) and OBS_DIM in dims


def _fixed_name(column: str, reserved: set[str]) -> str:
    if column == "(Intercept)":
        return INTERCEPT
    column = without_slash(column)
    return f"{column}_" if column in reserved or column == INTERCEPT else column


def _column_name(column: str) -> str:
    return "1" if column == "(Intercept)" else without_slash(column)


def _labels(design: Design) -> list[str]:
    """Each term's factor name where all its names stay unique, else the term's own name."""
    uses = Counter((t.factor, c) for t in design.terms for c in t.columns)
    blocks = Counter(t.factor for t in design.terms if _needs_block_name(t))
    out = []
    for t in design.terms:
        clash = any(uses[t.factor, c] > 1 for c in t.columns)
        clash |= _needs_block_name(t) and blocks[t.factor] > 1
        out.append(without_slash(t.name if clash else design.factors[t.factor].name))
    return out


def _needs_block_name(term: ReTerm) -> bool:
    """Whether the term as a whole has a parameter (a correlation, a common SD)."""
    return len(term.columns) > 1 and (term.structure.correlated or term.hom)


def structured_parameters(term: ReTerm) -> tuple[Parameter, ...]:
    """Parameters of a structured correlation; empty where there are no correlations, or all."""
    return term.structure.parameters(len(term.columns))


def unbounded_name(name: str) -> str:
    """Name of the variable that a parameter of a structured correlation is made from."""
    return name + (STRETCHED if name.endswith(RHO_SUFFIX) else FREE)


def _term_names(design: Design, term: ReTerm, label: str) -> TermNames:
    columns = tuple(_column_name(c) for c in term.columns)
    variables = tuple(f"{c}|{label}" for c in columns)
    common = term.hom and len(columns) > 1
    parameters = tuple(f"{label}_{without_slash(p.name)}" for p in structured_parameters(term))
    correlated = len(columns) > 1 and term.structure.correlated
    return TermNames(
        label=label,
        columns=columns,
        variables=variables,
        sds=(label + SCALE_SUFFIX,) if common else tuple(v + SCALE_SUFFIX for v in variables),
        correlation=label + CORRELATION_SUFFIX if correlated else None,
        rho=parameters[0] if term.structure.common_correlation(len(columns)) else None,
        parameters=parameters,
        factor_dim=f"{without_slash(design.factors[term.factor].name)}__factor_dim",
        pair_dim=label + PAIR_DIM,
    )
