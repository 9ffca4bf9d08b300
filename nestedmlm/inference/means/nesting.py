"""Nesting: which factors of a reference grid lie within which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nestedmlm._typing import FloatArray
from nestedmlm.formula.nodes import variables_in
from nestedmlm.formula.terms import Terms

Nesting = dict[str, tuple[str, ...]]


def find_nesting(
    levels: Mapping[str, Sequence[Any]], codes: np.ndarray, weight: FloatArray, terms: Terms
) -> Nesting:
    """Find nested factors from the cells that occur, and from the formula.

    Parameters
    ----------
    levels : mapping of str to sequence
        Reference values of each variable.
    codes : (m, v) array
        Positions of each cell.
    weight : (m,) array
        Zero where the data have no row.
    terms : Terms
        Of the fixed effects.

    Returns
    -------
    dict
        For each nested factor the factors around it.

    Notes
    -----
    As in emmeans: a factor is nested in another one if each of its levels occurs with one level
    of the other only; or if it is in the formula only within interactions where it is coded by
    contrasts inside the levels of the others (``~ school / class``).
    """
    names = [name for name, values in levels.items() if len(values) > 1]
    if len(names) < 2:
        return {}
    place = {name: j for j, name in enumerate(levels)}
    seen = codes[weight > 0]
    found: dict[str, list[str]] = {}
    for name in names:
        # two factors that say the same are nested in one direction only
        others = [o for o in names if o != name and name not in found.get(o, [])]
        nested = [o for o in others if _one_each(seen[:, place[name]], seen[:, place[o]])]
        if nested:
            found[name] = nested
    for name, around in _from_formula(terms, names).items():
        found[name] = [*dict.fromkeys([*found.get(name, []), *around])]
    for name in list(found):  # what surrounds a surrounding factor surrounds this one too
        outer = [o for parent in found[name] for o in found.get(parent, [])]
        found[name] = [*dict.fromkeys([*outer, *found[name]])]
    return {name: tuple(around) for name, around in found.items() if name not in around}


def _one_each(inner: np.ndarray, outer: np.ndarray) -> bool:
    """Whether every value of `inner` comes with one value of `outer`."""
    pairs = np.unique(np.column_stack([inner, outer]), axis=0)
    return len(pairs) == len(np.unique(inner))


def _from_formula(terms: Terms, names: Sequence[str]) -> Nesting:
    """Factors without a main effect, within the factors that are coded by all their indicators."""
    own = [variables_in(v.node) for v in terms.variables]
    single = [name[0] if len(name) == 1 and name[0] in names else None for name in own]
    main = {single[term[0]] for term in terms.terms if len(term) == 1}
    out: Nesting = {}
    for number, name in enumerate(single):
        if name is None or name in main:
            continue
        inside = [
            (term, contrast)
            for term, contrast in zip(terms.terms, terms.contrast, strict=True)
            if number in term
        ]
        coded = [(t, c) for t, c in inside if c[t.index(number)]] or inside
        around = {
            str(single[v])
            for term, contrast in coded
            for v, is_contrast in zip(term, contrast, strict=True)
            if v != number and not is_contrast and single[v] is not None
        }
        if around:
            out[name] = tuple(n for n in names if n in around)
    return out
