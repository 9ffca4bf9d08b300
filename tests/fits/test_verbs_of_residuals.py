"""Every verb of a fit whose residuals differ or correlate: it knows so, or says that it does not.

A verb that took the residuals for independent would give the numbers of the fit without the
structure: each answer must be another one, unless it is of a kind that no residual can touch.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from situations import rows
from verb_row import EVERYWHERE
from verbs import VERBS

import nestedmlm as nm
from nestedmlm.errors import NestedMLMError, ResidualStructureError
from nestedmlm.views.render.view import Viewable


@cache
def data() -> pd.DataFrame:
    d = rows().copy()
    d["when"] = d.groupby("f1").cumcount().astype(float)
    noise = d.y - 5.0 - d.x
    sd = np.where(d.half == "odd", 3.0, 1.0)
    return d.assign(y=5.0 + d.x + noise + sd * np.sin(np.arange(len(d)) * 7.3))


@cache
def fits(situation: str) -> tuple[nm.LmerFit, nm.LmerFit | None]:
    """A fit with the structure, and the one without it (None where that is no mixed model)."""
    formula, options = SITUATIONS[situation]
    plain = nm.lmer(formula, data()) if "|" in formula else None
    return nm.lmer(formula, data(), **options), plain


MIXED = "y ~ x + a + (x | f1) + (1 | c1)"
SITUATIONS = {
    "strata": (MIXED, {"dispersion": "~ half"}),
    "slope": (MIXED, {"dispersion": "~ z"}),
    "autoregressive": (MIXED, {"residual": "ar1(when | f1)"}),
    "alone": ("y ~ x + a", {"residual": "car1(when | f1)", "dispersion": "~ half"}),
}
# rows of the table whose answers no residual touches
UNTOUCHED = frozenset(
    "engine nobs ngrps converged REML is_singular model_matrix Model.data "
    "Model.weights_column diagnose".split()
) | {"diagnose next", "simplify final", "report text"}  # ranks, and the order of two texts
NEW = frozenset({"dispersion", "residual_cov", "compare_residuals"})  # asked of such fits only
# rows that answer in other situations: no random effects, no times, blocks that meet no factor
PARTLY = frozenset(
    {("ranova whole", "autoregressive"), ("tidy everything", "alone")}
    | {(case, "alone") for case in ("diagnose", "diagnose next", "simplify", "simplify final")}
    | {("residual_cov", situation) for situation in ("strata", "slope", "alone")}
    | {("compare_residuals", s) for s in ("strata", "slope", "autoregressive")}
    | {(case, "alone") for case in ("ranef", "coef", "predict random only", "icc", "icc by group")}
    | {(f"plot {name}", "alone") for name in (
        "caterpillar", "qq_random_effects", "shrinkage", "spaghetti", "trellis", "singularity",
        "variance partition")}
)  # fmt: skip
CASES = [case for case, verb in VERBS.items() if "lmer" in verb.engines]
NEEDS_A_FACTOR = ("Model.reduced", "bootstrap bca")  # calls that name the first grouping factor


def answer(case: str, fit: nm.LmerFit):
    found = VERBS[case].call(fit)
    return found.to_frame() if isinstance(found, Viewable) else found


# dear calls are asked in one situation
CELLS = [
    (case, situation)
    for case in CASES
    for situation in (SITUATIONS if VERBS[case].only == EVERYWHERE else ("strata",))
]


@pytest.mark.parametrize(("case", "situation"), CELLS, ids=["-".join(cell) for cell in CELLS])
def test_knows_or_says_that_it_does_not(case, situation):
    fit, plain = fits(situation)
    if plain is None and case in NEEDS_A_FACTOR:
        return
    try:
        found = answer(case, fit)
    except ResidualStructureError:
        assert case not in KNOWN or (case, situation) in PARTLY, "answered before"
        return
    except NestedMLMError as error:
        assert plain is None or not answered(case, plain), repr(error)
        return
    if plain is None or case in UNTOUCHED | NEW or VERBS[case].question == "pictures":
        return
    assert differs(found, answer(case, plain)), "the numbers of independent residuals"


def answered(case: str, fit: nm.LmerFit) -> bool:
    try:
        answer(case, fit)
    except NestedMLMError:
        return False
    return True


def differs(a, b) -> bool:
    if isinstance(a, str):
        return a != b
    if isinstance(a, tuple):
        return any(differs(x, y) for x, y in zip(a, b, strict=True))
    one, other = pd.DataFrame(a), pd.DataFrame(b)
    if one.shape != other.shape:
        return True
    one, other = one.select_dtypes("number"), other.select_dtypes("number")
    return not np.allclose(one.to_numpy(float), other.to_numpy(float), rtol=1e-6, equal_nan=True)


# rows of the table that answer in some of these situations: they do not stop to
KNOWN_TEXT = """
params; fixef; bse; compare_residuals; tvalues; pvalues; engine; nobs; ngrps; criterion;
reml_criterion; deviance; llf; aic; bic; df_resid; npar; converged; REML; sigma; cov_params;
varcorr; varcorr sigma; ranef; coef; theta; getME; dispersion; residual_cov; autocorrelation;
plot acf; predict; predict se;
predict partial; predict population; predict new; predict new sample; predict new lower;
fittedvalues; predict random only; predict new random only; predict se alone; residuals working;
residuals marginal; residuals scaled; resid; model_matrix; conf_int wald; variance_parameters;
simulate; simulate conditional; simulate partial; simulate new; refit_many; refit_many tests;
variance_partition; tidy; tidy everything; tidy kenward-roger;
tidy none; tidy vcov; glance; summary; icc; icc by group; r2; r2 by group; emmeans; emmeans 1;
emmeans print; pairs; contrast; means test; means interval; means vcov; emtrends; summary
satterthwaite; summary residual; summary none; summary kenward-roger; anova I; anova II; anova
III; fragility; influence one step; anova kenward-roger; anova none;
contest; contest rows; vcovAdj; ranova; ranova whole;
drop1; drop1 Chisq; is_singular; repca; refitted; refit; polish; refit_ml; update; Model.update;
Model.reduced; Model.with_formula; Model.with_data; Model.data; Model.weights_column; etable;
maketables; plot diagnostics; plot caterpillar; plot qq_random_effects; plot shrinkage; plot
spaghetti; plot trellis; plot forest; plot effect of a number; plot effect of a factor; plot
variance partition; plot singularity; plot priors; conf_int boot; bootstrap; bootstrap
conditional; bootstrap fun; tidy boot; icc interval; influence full; conf_int; conf_int 0.8;
profile; residuals standardized; residuals marginal standardized; rstudent; rstudent external;
hatvalues; dfbeta; dfbetas; cooks_distance; influence cases held; influence held; augment; check;
plot leverage; plot cook's distance; diagnose; diagnose next; simplify; simplify final; step;
report; report text; standardized; power lrt; power z; power satterthwaite
"""
KNOWN = frozenset(" ".join(name.split()) for name in KNOWN_TEXT.split(";"))


@cache
def offset_twins(how: str) -> tuple[nm.LmerFit, nm.LmerFit]:
    """A fit with an offset, and one to the response from which it is taken off."""
    formula, options = SITUATIONS[how]
    moved = data().assign(y_off=data().y + data().off)
    return nm.lmer(formula.replace("y ~", "y_off ~"), moved, offset="off", **options), fits(how)[0]


REFITTED = {"drop1 Chisq", "step", "ranova", "compare_residuals"}  # many fits each
OF_ROWS = frozenset(
    "influence held; influence one step; dfbeta; cooks_distance; rstudent; conf_int wald; "
    "autocorrelation; residuals marginal; residuals scaled".split("; ")
)
OFFSET_CASES = [
    case
    for case in CASES
    if case in OF_ROWS
    or (
        (VERBS[case].question in ("estimates", "tests") and VERBS[case].only == EVERYWHERE)
        and case not in REFITTED
    )
]


@pytest.mark.parametrize("how", ["autoregressive", "alone"])
@pytest.mark.parametrize("case", OFFSET_CASES)
def test_an_offset_is_taken_off_the_response(case, how):
    fit, twin = offset_twins(how)
    try:
        expected = answer(case, twin)
    except NestedMLMError as error:
        with pytest.raises(type(error)):
            answer(case, fit)
        return
    found = answer(case, fit)
    if isinstance(found, str) or found is None:
        return
    a, b = (
        pd.DataFrame(t).select_dtypes(["number", "bool"]).to_numpy(dtype=float)
        for t in (found, expected)
    )
    scale = np.nanmax(np.abs(b), initial=0.0)
    assert a == pytest.approx(b, rel=1e-5, abs=1e-5 * scale, nan_ok=True)
