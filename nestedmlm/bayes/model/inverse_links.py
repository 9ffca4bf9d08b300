"""Inverse links in PyTensor, by the link's name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pytensor.tensor as pt

from nestedmlm.errors import OptionError
from nestedmlm.families import Link

_INVERSE: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
    {
        "logit": pt.sigmoid,
        "probit": lambda eta: 0.5 * pt.erfc(-eta / np.sqrt(2.0)),
        "cloglog": lambda eta: -pt.expm1(-pt.exp(eta)),
        "cauchit": lambda eta: pt.arctan2(1.0, -eta) / np.pi,
        "log": pt.exp,
        "sqrt": pt.sqr,
        "identity": lambda eta: eta,
        "inverse": lambda eta: 1.0 / eta,
        "1/mu^2": lambda eta: 1.0 / pt.sqrt(eta),
    }
)


def inverse_link(link: Link) -> Callable[[Any], Any]:
    """The inverse of a link, of symbolic predictors.

    Raises
    ------
    OptionError
        For a link of one's own that does not say how it is written in PyTensor.
    """
    found = link.symbolic or _INVERSE.get(link.name)
    if found is None:
        raise OptionError(
            f"the link {link.name!r} does not say how its inverse is written in PyTensor: give "
            "nestedmlm.families.Link(..., symbolic=...), or sample with marginal='laplace'"
        )
    return found
