"""Options of generalized models: families, quadrature, when to say that Laplace may be off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nestedmlm.arguments import check_count
from nestedmlm.design.design import Design
from nestedmlm.errors import OptionError
from nestedmlm.families import Family, resolve_family

MOST_NAGQ = 100  # quadrature points of an effect, as in lme4
FEW_ROWS = 5  # of 0 and 1 in a group: with fewer the Laplace approximation may be far off


def generalized_family(family: Any, link: Any) -> Family:
    """The family of a generalized model.

    Raises
    ------
    OptionError
        For an unknown family or link; for the normal distribution with the identity, which is a
        linear model; for a link without a family.
    """
    if family is None:
        raise OptionError('a link is of a model with a family: family="binomial", link=...')
    found = resolve_family(family, link)
    no_link = link is None and not isinstance(family, Family)  # whose identity is meant, as in R
    if found.name == "gaussian" and (no_link or found.link.name == "identity"):
        raise OptionError(
            "a normal response with the identity link is a linear mixed model: nm.lmer (other "
            'links: family="gaussian", link="log")'
        )
    return found


def check_quadrature(nAGQ: int, design: Design) -> None:
    """Refuse quadrature where there is more than one grouping factor.

    Raises
    ------
    OptionError
    """
    check_count(nAGQ, "nAGQ", least=0)
    if nAGQ > MOST_NAGQ:
        raise OptionError(f"nAGQ={nAGQ}: at most {MOST_NAGQ} points")
    if nAGQ <= 1:
        return
    names = ", ".join(factor.name for factor in design.factors)
    if len(design.factors) > 1:
        raise OptionError(
            f"nAGQ={nAGQ}: quadrature needs one grouping factor, and there are "
            f"{len(design.factors)} ({names}); the Laplace approximation, nAGQ=1, takes any"
        )
    columns = sum(len(term.columns) for term in design.terms)
    if columns > 3:
        raise OptionError(
            f"nAGQ={nAGQ}: {columns} random effects for each level of {names} would need "
            f"{nAGQ}^{columns} points for each; quadrature takes up to 3 effects"
        )


def few_rows_of_a_group(design: Design) -> float | None:
    """Median rows of a group of the largest factor, if they are few and have one trial each."""
    if design.weights is not None and not np.all(design.weights == 1.0):
        return None
    counts = np.bincount(min(design.factors, key=lambda f: len(f.levels)).codes)
    median = float(np.median(counts))
    return median if median < FEW_ROWS else None


def two_informations(fits: Sequence[Any]) -> tuple[str, ...]:
    """Note on criteria whose Laplace approximations have different informations, if they have.

    A negative binomial model with theta estimated has the observed one by default, one with theta
    given the expected.
    """
    used = {fit.solved.model.one_information for fit in fits if hasattr(fit, "solved")}
    if len(used) < 2:
        return ()
    return (
        "the Laplace approximation has the observed information in some models and the expected "
        "in others, so part of a difference in deviance is between these: refit with "
        'information="observed"',
    )
