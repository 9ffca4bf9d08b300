"""`Parameter`: each scalar of a posterior, by its variable and by the name that tables print."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nestedmlm.bayes.model.names import TermNames, pairs, parameter_names
from nestedmlm.design.design import Design, ReTerm
from nestedmlm.design.model_parameters import model_parameters, residual_names


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One scalar parameter of the model.

    Attributes
    ----------
    kind : {"fixed", "sd", "cor", "par", "sigma", "family", "residual"}
        ``par``: a parameter of a structured correlation that is no correlation itself; ``family``:
        one that a family has beside the mean; ``residual``: of residuals that differ or correlate.
    group : str
        Name of the random-effects term (as in VarCorr); empty for a fixed effect, ``Residual``
        for sigma.
    var1, var2 : str or None
        R's names of the columns: one for a fixed effect or a standard deviation, two for a
        correlation; the name of a parameter of a structure.
    name : str
        What the posterior calls it: ``ses``, ``ses|schoolid_sigma``, ``schoolid_corr[1, 0]``.
    variable : str
        The variable of the posterior.
    at : tuple of int
        Where in that variable.
    log : bool
        Whether the variable is the logarithm.
    """

    kind: str
    group: str
    var1: str | None
    var2: str | None
    name: str
    variable: str
    at: tuple[int, ...] = ()
    log: bool = False


def list_parameters(design: Design) -> tuple[Parameter, ...]:
    """List fixed effects, standard deviations and correlations of each term, sigma, the residuals'.

    In the order of `nestedmlm.design.model_parameters.model_parameters`. In the place of
    sigma a generalized model has the parameters of its family, if any.
    """
    names = parameter_names(design)
    out = [
        Parameter(kind="fixed", group="", var1=column, var2=None, name=name, variable=name)
        for column, name in zip(design.x_names, names.fixed, strict=True)
    ]
    for term, own in zip(design.terms, names.terms, strict=True):
        shown = term.columns[: len(own.sds)]  # a common one goes by the first column, as in VarCorr
        if term.smooth is not None:
            shown = (term.smooth.label,)
        out += [
            Parameter(kind="sd", group=term.name, var1=column, var2=None, name=name, variable=name)
            for column, name in zip(shown, own.sds, strict=True)
        ]
        free = term.structure.free_correlations
        out += _correlations(term, own) if free else _structured(term, own)
    family = design.family
    kind, group = ("sigma", "Residual") if family is None else ("family", family.name)
    return (
        *out,
        *(
            Parameter(kind=kind, group=group, var1=None, var2=None, name=name, variable=name)
            for name in names.beside
        ),
        *_of_residuals(design),
    )


def _of_residuals(design: Design) -> Iterator[Parameter]:
    """Parameters of residuals that differ or correlate; ratios of standard deviations as such."""
    own = parameter_names(design).residual
    shown = iter(residual_names(design.residual) if design.residual is not None else ())

    def parameter(variable: str, name: str, **where: Any) -> Parameter:
        label = next(shown)[0]
        return Parameter(
            kind="residual", group="Residual", var1=label, var2=None, name=name, variable=variable,
            log=label.startswith("sd_ratio"), **where,
        )  # fmt: skip

    for name in own.log_sd:
        yield parameter(name, name)
    for group in own.groups:
        for name in (*group.parameters, *group.sds):
            yield parameter(name, name)
        k = len(group.visits) if group.correlation else 0
        for j in range(k):
            for i in range(j + 1, k):
                place = f"[{group.visits[i]}, {group.visits[j]}]"
                yield parameter(str(group.correlation), f"{group.correlation}{place}", at=(i, j))


def _correlations(term: ReTerm, names: TermNames) -> list[Parameter]:
    """The correlations, each once."""
    if names.correlation is None:
        return []
    columns = term.columns
    return [
        Parameter(
            kind="cor",
            group=term.name,
            var1=columns[j],
            var2=columns[i],
            name=f"{names.correlation}[{label}]",
            variable=names.correlation,
            at=(m,),
        )
        for m, ((i, j), label) in enumerate(zip(pairs(len(columns)), names.pairs, strict=True))
    ]


def _structured(term: ReTerm, names: TermNames) -> list[Parameter]:
    """The parameters of a structured correlation; a common one is that of the first two columns."""
    if names.rho is not None:
        first, second = term.columns[:2]
        shown: list[tuple[str, str, str | None]] = [("cor", first, second)]
    else:
        shown = [("par", p.name, None) for p in term.structure.parameters(len(term.columns))]
    return [
        Parameter(kind=kind, group=term.name, var1=var1, var2=var2, name=name, variable=name)
        for (kind, var1, var2), name in zip(shown, names.parameters, strict=True)
    ]


def printed_names(design: Design) -> list[str]:
    """Names of `list_parameters` as ``LmerFit.conf_int`` has them."""
    linear = design.family is None
    variances = [p.name for p in model_parameters(design, residual=linear) if p.kind != "beta"]
    own = () if linear else parameter_names(design).beside
    return [*design.x_names, *variances, *own]


def named_parameters(design: Design) -> dict[str, Parameter]:
    """Parameters by the names of `printed_names`."""
    return dict(zip(printed_names(design), list_parameters(design), strict=True))


def printed_terms(design: Design) -> dict[str, tuple[str, ...]]:
    """What tables print for each variable of a posterior; a logarithm is called one.

    Returns
    -------
    dict
        ``{"Days|Subject_sigma": ("sd_Days|Subject",)}``; a matrix has the names of its entries.
    """
    found: dict[str, list[str]] = defaultdict(list)
    # pairs: a predictor may be called sigma, too
    for term, own in zip(printed_names(design), list_parameters(design), strict=True):
        found[own.variable].append(f"log {term}" if own.log else term)
    return {variable: tuple(terms) for variable, terms in found.items()}
