"""What the adapter to marginaleffects does not take, whether that is installed or not."""

from __future__ import annotations

import pytest

import nestedmlm as nm
from nestedmlm import interop


@pytest.mark.parametrize("function", [interop.marginaleffects_model, interop.avg_slopes])
def test_generalized_fits_are_refused_by_name(function):
    formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    fit = nm.glmer(formula, nm.load_dataset("cbpp"), family="binomial")
    with pytest.raises(nm.NestedMLMError, match=r"the adapter to marginaleffects.*binomial family"):
        function(fit)
