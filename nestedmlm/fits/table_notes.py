"""Notes below a table of models: what its numbers are, and which cannot be compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from nestedmlm.fits.fit_statistics import STATISTIC_NAMES
from nestedmlm.inference.effects.df_record import ClusterRobust
from nestedmlm.inference.variances.identification import listed
from nestedmlm.views.protocols import TabledFit
from nestedmlm.views.report import RATIOS

type Covariance = str | ClusterRobust | None

DF_METHODS = MappingProxyType(
    {
        "satterthwaite": "Satterthwaite's",
        "kenward-roger": "Kenward and Roger's",
        "residual": "residual",
    }
)
_LEGENDS = MappingProxyType(
    {
        "se": "Standard errors{} in parentheses.",
        "ci": "{:g} % intervals in brackets: Wald's{}.",
        "p": "p-values of fixed effects by {}.",
        "none": "",
    }
)
_MOST_NAMES = 4  # names of rows that are left out, before they are counted


def table_notes(
    fits: Mapping[str, TabledFit],
    *,
    stats: Sequence[str],
    spread: str,
    stars: Mapping[str, float],
    ddf: str,
    level: float,
    covariances: Mapping[str, Covariance],
    exponentiate: bool,
    left_out: Sequence[str],
) -> Iterator[str]:
    """What has to be said below a table.

    Parameters
    ----------
    fits : mapping of str to fit
        By the names of the models.
    stats : sequence of str
        The fit statistics that are shown.
    spread, stars, ddf, level, exponentiate
        As `nestedmlm.fits.etable.etable` has them.
    covariances : mapping of str to str, ClusterRobust or None
        Of the fixed effects of each model.
    left_out : sequence of str
        Fixed effects that have no row.

    Yields
    ------
    str
    """
    posterior = any(fit.engine == "posterior" for fit in fits.values())
    tested = _tests_of(fits, ddf, covariances) if stars or spread == "p" else ""
    legends = {
        "se": (" (of posteriors: standard deviations)" if posterior else "",),
        "ci": (100 * level, ", of posteriors equal-tailed" if posterior else ""),
        "p": (tested,),
        "none": (),
    }
    if legend := _LEGENDS[spread].format(*legends[spread]):
        yield legend
    if exponentiate:
        yield f"Fixed effects are exponentiated: {_ratios_of(fits)}."
    yield from _robust(covariances)
    if stars:
        limits = sorted(stars.items(), key=lambda item: -item[1])
        shown = ", ".join(f"{symbol} p < {limit:g}" for symbol, limit in limits)
        by = "" if spread == "p" else f", by {tested}"
        yield f"{shown}{by}."
    if tested and posterior:
        yield "Posteriors have no p-values."
    if left_out:
        few = len(left_out) <= _MOST_NAMES
        yield f"Not shown: {', '.join(left_out) if few else f'{len(left_out)} fixed effects'}."
    yield from _incomparable(fits, stats)


def _by_what(models: Mapping[str, str]) -> str:
    """Text by models: one for all, or each with the models that it is of."""
    texts = list(dict.fromkeys(models.values()))
    if len(texts) < 2:
        return "".join(texts)
    return ", ".join(
        f"{text} ({', '.join(name for name, own in models.items() if own == text)})"
        for text in texts
    )


def _tests_of(
    fits: Mapping[str, TabledFit], ddf: str, covariances: Mapping[str, Covariance]
) -> str:
    """What p-values are by."""
    found = {}
    for name, fit in fits.items():
        if fit.engine == "posterior":
            continue
        if fit.engine != "pooled" and fit.design.family is not None:
            found[name] = "z tests"
        elif covariances[name] is not None:
            found[name] = "the cluster-robust covariance's degrees of freedom"
        else:
            found[name] = f"{DF_METHODS[ddf]} degrees of freedom"
    return _by_what(found)


def _ratios_of(fits: Mapping[str, TabledFit]) -> str:
    """What exponentiated fixed effects are, by the links."""
    found = {}
    for name, fit in fits.items():
        family = fit.design.family
        link = None if family is None else family.link.name
        found[name] = "ratios, if the response is a logarithm" if link is None else RATIOS[link]
    return _by_what(found)


def _robust(covariances: Mapping[str, Covariance]) -> Iterator[str]:
    """Which models have a cluster-robust covariance."""
    said = {name: _said(asked) for name, asked in covariances.items() if asked is not None}
    for text in dict.fromkeys(said.values()):
        models = [name for name, own in said.items() if own == text]
        of = "" if len(models) == len(covariances) else f" of {', '.join(models)}"
        yield f"Fixed effects{of}: {text}."


def _said(vcov: str | ClusterRobust) -> str:
    asked = vcov if isinstance(vcov, ClusterRobust) else ClusterRobust(type=vcov)
    by = f" by {asked.cluster}" if asked.cluster else ""
    return f"cluster-robust covariance{by} ({asked.type})"


def _incomparable(fits: Mapping[str, TabledFit], stats: Sequence[str]) -> Iterator[str]:
    """Say which criteria that stand in one row cannot be compared."""
    shown = [STATISTIC_NAMES[name] for name in stats if name in STATISTIC_NAMES]
    own: dict[str, Any] = {
        name: fit for name, fit in fits.items() if fit.engine not in ("posterior", "pooled")
    }
    if not shown or len(own) < 2:
        return
    what = listed(shown)
    what = what[0].upper() + what[1:]
    reml = [name for name, fit in own.items() if fit.REML]
    if 0 < len(reml) < len(own):
        rest = [name for name in own if name not in reml]
        yield (
            f"{what} of REML fits ({', '.join(reml)}) and ML fits ({', '.join(rest)}) cannot be "
            "compared."
        )
    if len({tuple(sorted(own[name].design.x_names)) for name in reml}) > 1:
        yield (
            f"{what} of REML fits with different fixed effects cannot be compared; those of ML "
            "fits can (stats: aic_ml, bic_ml)."
        )
    if len({fit.nobs for fit in own.values()}) > 1:
        yield f"{what} of fits to different rows cannot be compared."
