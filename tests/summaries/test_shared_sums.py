"""Fits of large tables are compared from the sums of one of them; no row is built."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from test_sources import DATA

import nestedmlm as nm
from nestedmlm.errors import ModelComparisonError
from nestedmlm.fits import model_source

FORMULAS = (
    "score ~ poly(ses, 2) + sector + (1 | school)",
    "score ~ poly(ses, 2) + sector + age + (1 | school / room)",
    "score ~ poly(ses, 2) + sector + age + (age | school) + (1 | room:school)",
)


def fits_of(data: pd.DataFrame, rows: int, **options: object) -> list[nm.LmerFit]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_source, "MANY_ROWS", rows)
        return [nm.lmer(formula, data, **options) for formula in FORMULAS]


def built(fits: list[nm.LmerFit]) -> list[bool]:
    return [bool(fit.design.rows._built) for fit in fits]


@pytest.mark.parametrize("options", [{}, {"contrasts": {"sector": "sum"}}], ids=["", "contrasts"])
def test_comparisons_without_rows(options: dict[str, object]) -> None:
    large, small = fits_of(DATA, 1, **options), fits_of(DATA, len(DATA) + 1, **options)
    pd.testing.assert_frame_equal(nm.anova(*large).table, nm.anova(*small).table, rtol=1e-6)
    mine, theirs = (
        nm.anova(*fits[1:], test="boundary", refit=False).table["Pr(boundary)"]
        for fits in (large, small)
    )
    np.testing.assert_allclose(mine, theirs, rtol=1e-4)
    drawn = nm.anova(*large[:2], test="bootstrap", nsim=5, seed=1, progress=False)
    assert drawn.table["Pr(bootstrap)"].notna().sum() == 1
    assert not any(built(large))


def test_other_data_of_the_same_size_are_refused() -> None:
    one, two = fits_of(DATA, 1)[0], fits_of(DATA.assign(score=DATA.score + DATA.age), 1)[1]
    with pytest.raises(ModelComparisonError, match="different responses"):
        nm.anova(one, two)
    moved = DATA.assign(score=DATA.score.to_numpy()[::-1])
    with pytest.raises(ModelComparisonError, match="different responses"):
        nm.anova(one, fits_of(moved, 1)[1])


def test_columns_that_are_not_in_the_sums_are_looked_for_in_the_rows() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_source, "MANY_ROWS", 1)
        one = nm.lmer("score ~ sector + (1 | school)", DATA)
        two = nm.lmer("score ~ ses * age + (1 | school)", DATA)
    found = nm.anova(one, two)
    assert "one is not nested in two" in str(found)
    assert built([one, two]) == [True, True]
