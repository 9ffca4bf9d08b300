"""Names of members that are spelled otherwise here.

Old ones of LmerFit, BayesFit and Model, from before pictures had an accessor, and those that R and
statsmodels have for the members of a fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

OLD_NAMES: Mapping[str, str] = MappingProxyType(
    {
        **{
            f"plot_{name}": f"fit.plot.{name}()"
            for name in (
                "caterpillar", "diagnostics", "effect", "forest", "leverage", "posterior",
                "profile_pairs", "shrinkage", "singularity", "spaghetti", "trellis",
                "variance_partition",
            )
        },
        "plot_likelihood": "fit.plot.likelihood_surface()",
        "plot_profile": "fit.plot.profile_zeta()",
        "plot_priors": "model.plot.priors()",
    }
)  # fmt: skip

# of fits by REML, maximum likelihood or the Laplace approximation: statsmodels' and R's names
NAMES_ELSEWHERE: Mapping[str, str] = MappingProxyType(
    {
        "allFit": "fit.certificate, which says that no other optimizer gets lower",
        "bse_fe": "fit.bse",
        "confint": "fit.conf_int()",
        "cov_re": "fit.varcorr()",
        "fe_params": "fit.fixef",
        "get_prediction": 'fit.predict(newdata, interval="confidence")',
        "logLik": "fit.llf",
        "optinfo": "fit.certificate",
        "pairs": 'fit.emmeans("x").pairs()',
        "pvalue": "fit.pvalues",
        "random_effects": "fit.ranef()",
        "rsquared": "fit.r2()",
        "save": "pickle.dump(fit, file), or joblib.dump(fit, path)",
        "standardize": "fit.standardized()",
        "t_test": 'fit.contest("x = 0")',
        "to_csv": "fit.tidy().to_csv(path)",
        "to_latex": "fit.summary().to_latex(), or nm.etable(fit).to_latex()",
        "vcov": "fit.cov_params()",
        "wald_test": 'fit.contest("x = 0")',
    }
)
# of posteriors
POSTERIOR_ELSEWHERE: Mapping[str, str] = MappingProxyType(
    {
        "conf_int": "fit.parameters(), which has intervals",
        "posterior": "fit.data.posterior",
        "tidy": "fit.parameters()",
        **{
            name: f"nm.lmer(formula, data).{name}: it is of fits by likelihood"
            for name in (
                "anova", "bootstrap", "capsule", "drop1", "fragility", "power", "profile",
                "r_code", "ranova", "refit", "simplify", "standardized", "step",
                "variance_partition",
            )
        },
    }
)  # fmt: skip
