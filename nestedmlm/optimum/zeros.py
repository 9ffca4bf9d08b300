"""Boundary of the covariances: exact zeros to try, and steps away from it."""

from __future__ import annotations

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.likelihood.plan import Plan, parts_of
from nestedmlm.optimum.certificate import Escape


def zero_candidates(phi: FloatArray, plan: Plan, limit: float) -> list[FloatArray]:
    """Points with all small standard deviations at zero, then with one of them at a time.

    What a point holds after phi stays as it is.
    """
    options: list[tuple[int, FloatArray]] = []  # (term, replacement of its part of phi)
    parts, rest = parts_of(phi, plan), phi[plan.n_theta :]
    everything = list(parts)
    for t, (part, shape) in enumerate(zip(parts, plan.shapes, strict=True)):
        found = shape.structure.with_zeros(part, shape.k, shape.hom, limit)
        if found:
            everything[t] = found[0]
        options += [(t, replacement) for replacement in found]
    if not options:
        return []
    out = [np.concatenate([*everything, rest])]
    if len(options) > 1:
        for t, replacement in options:
            one = [replacement if i == t else p for i, p in enumerate(parts)]
            out.append(np.concatenate([*one, rest]))
    return out


def leave_boundary(phi: FloatArray, plan: Plan, escape: Escape, step: float) -> FloatArray:
    """Phi with one term's covariance moved along an escape."""
    parts = list(parts_of(phi, plan))
    parts[escape.term] = escape.at(step)
    return np.concatenate([*parts, phi[plan.n_theta :]])
