"""One name for one thing: arguments of public callables, columns of frames, and their help."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pandas as pd
import pytest
from fake_posterior import fake_bayesfit

import nestedmlm as nm
from nestedmlm import lme4, plots
from nestedmlm.argument_names import OLD_ARGUMENTS, SAME_ARGUMENTS
from nestedmlm.views.render.frame_columns import FRAME_COLUMNS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "names.md"
# what other packages, and earlier versions, call the columns of a frame
OLD_COLUMNS = {
    "lower", "upper", "ci_low", "ci_high", "conf.low", "conf.high", "2.5 %", "97.5 %", "hdi_3%",
    "se", "SE", "std_err", "stderr", "condsd", "condval", "coef", "prediction", "sdcor",
    "grp", "grpvar", "parameter", "pvalue", "p", "p.value", "std.error", "t", "z", *FRAME_COLUMNS,
}  # fmt: skip
# level: of an interval; alpha: significance level of a test, for which there is no interval
FOREIGN = (set(OLD_ARGUMENTS) | set(SAME_ARGUMENTS)) - {"alpha", "level"}
CLASSES = (nm.LmerFit, nm.BayesFit, nm.Model, nm.Scenario, nm.Emmeans, nm.Bootstrap, nm.Power,
           nm.PooledFit, nm.Summary)  # fmt: skip


def callables() -> dict[str, object]:
    """Public functions of the package and methods of its classes."""
    found = {f"nm.{name}": getattr(nm, name) for name in nm.__all__}
    found |= {f"plots.{name}": getattr(plots, name) for name in plots.__all__}
    for cls in CLASSES:
        found |= {
            f"{cls.__name__}.{name}": member
            for name in dir(cls)
            if not name.startswith("_") and inspect.isfunction(member := getattr(cls, name))
        }
    return {
        name: member
        for name, member in found.items()
        if callable(member) and not (isinstance(member, type) and issubclass(member, Exception))
        and not (isinstance(member, type) and issubclass(member, Warning))
    }  # fmt: skip


CALLABLES = callables()


def arguments(function: object) -> list[str]:
    return [
        name
        for name, p in inspect.signature(function).parameters.items()
        if not p.kind.name.startswith("VAR")
    ]


def test_no_argument_has_another_name():
    found = {name: FOREIGN & set(arguments(member)) for name, member in CALLABLES.items()}
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_alpha_is_of_tests_and_level_of_intervals():
    both = {name for name, f in CALLABLES.items() if {"alpha", "level"} <= set(arguments(f))}
    assert both == set()


def documented(function: object) -> str:
    return (inspect.getdoc(function) or "").split("\nReturns\n")[0]


@pytest.mark.parametrize("name", [n for n in CALLABLES if not isinstance(CALLABLES[n], type)])
def test_help_says_everything_where_it_is_used(name):
    """Every argument is described in the function's own docstring, not in another one's."""
    member = CALLABLES[name]
    text = documented(member)
    head = re.findall(r"^([\w*, ]+?)(?: : .*)?$", text, flags=re.M)
    named = {part.strip(" *") for line in head for part in line.split(",")}
    first = next(iter(inspect.signature(member).parameters), None)
    own = [a for a in arguments(member) if a not in ("self", "cls")]
    own = own[1:] if "." in name and name[0].isupper() and first == own[:1][0:1] else own
    bound = name[0].isupper() and first not in ("self", "cls")
    wanted = own[1:] if bound else own
    assert [a for a in wanted if a not in named] == []
    assert not re.search(r"^ +(See|As in) `", text, flags=re.M), "says it elsewhere"


def test_options_are_spelled_out():
    kinds = {
        name: {p.kind.name for p in inspect.signature(member).parameters.values()}
        for name, member in CALLABLES.items()
        if not isinstance(member, type)
    }
    assert [name for name, found in kinds.items() if "VAR_KEYWORD" in found] == []


def test_dir_shows_public_names_only():
    assert sorted(dir(nm)) == sorted([*nm.__all__, "__version__"])
    with pytest.raises(AttributeError):
        nm.nothing  # noqa: B018


# --- frames --------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def fits():
    data = nm.load_dataset("sleepstudy")
    fit = nm.lmer("Reaction ~ Days + (Days | Subject)", data)
    return fit, nm.lmer("Reaction ~ Days + (1 | Subject)", data), fake_bayesfit(fit)


QUIET = {"progress": False}
FEW = {"nsim": 4, "seed": 1, **QUIET}
FRAMES = {
    "conf_int": lambda f, g, b: f.conf_int(**QUIET),
    "conf_int wald": lambda f, g, b: f.conf_int(method="wald"),
    "profile": lambda f, g, b: f.profile(**QUIET).to_frame(),
    "profile conf_int": lambda f, g, b: f.profile(**QUIET).conf_int(),
    "variance_parameters": lambda f, g, b: f.variance_parameters(),
    "tidy": lambda f, g, b: f.tidy(("fixed", "ran_pars", "ran_vals", "ran_coefs"), conf_int=True),
    "tidy vcov": lambda f, g, b: f.tidy("ran_pars", scales="vcov"),
    "varcorr": lambda f, g, b: f.varcorr().to_frame(),
    "ranef": lambda f, g, b: f.ranef(),
    "predict": lambda f, g, b: f.predict(interval="prediction"),
    "augment": lambda f, g, b: f.augment(),
    "glance": lambda f, g, b: f.glance(),
    "summary": lambda f, g, b: f.summary().to_frame(),
    "anova": lambda f, g, b: f.anova().to_frame(),
    "nm.anova": lambda f, g, b: nm.anova(g, f, refit=False).to_frame(),
    "drop1": lambda f, g, b: f.drop1().to_frame(),
    "drop1 Chisq": lambda f, g, b: f.drop1(test="Chisq").to_frame(),
    "ranova": lambda f, g, b: f.ranova().to_frame(),
    "step": lambda f, g, b: f.step().to_frame(),
    "contest": lambda f, g, b: f.contest("Days = 0").to_frame(),
    "contest rows": lambda f, g, b: f.contest("Days = 0", joint=False).to_frame(),
    "icc": lambda f, g, b: f.icc(level=0.9, **FEW),
    "r2": lambda f, g, b: f.r2(level=0.9, **FEW),
    "bootstrap": lambda f, g, b: f.bootstrap(**FEW).to_frame(),
    "bootstrap conf_int": lambda f, g, b: f.bootstrap(**FEW).conf_int(),
    "influence": lambda f, g, b: f.influence("Subject", refit="none").to_frame(),
    "emmeans": lambda f, g, b: nm.emmeans(f, "Days").to_frame(),
    "partial_r2": lambda f, g, b: f.partial_r2(),
    "eff_size": lambda f, g, b: f.emtrends("1", var="Days").eff_size(method="identity").to_frame(),
    "cld": lambda f, g, b: f.emmeans("Days").cld().to_frame(),
    "emtrends": lambda f, g, b: nm.emtrends(f, "1", var="Days").to_frame(),
    "etable": lambda f, g, b: nm.etable(f, b).to_frame(),
    "loo": lambda f, g, b: f.loo(refit="none", **QUIET).to_frame(),
    "standardized": lambda f, g, b: g.standardized().tidy("fixed"),
    "capsule": lambda f, g, b: g.capsule().verify(),
    "fragility": lambda f, g, b: g.fragility("Days", by="Subject").to_frame(),
    "planned_power": lambda f, g, b: nm.planned_power(f, "Days").to_frame(),
    "repca": lambda f, g, b: f.repca().to_frame(),
    "variance_partition": lambda f, g, b: f.variance_partition().to_frame(),
    "power": lambda f, g, b: f.power("Days", **FEW).to_frame(),
    "rlrt": lambda f, g, b: nm.rlrt(g, nsim=100, seed=1).to_frame(),
    "compare": lambda f, g, b: nm.compare(f, b).to_frame(),
    "posterior parameters": lambda f, g, b: b.parameters(),
    "posterior summary": lambda f, g, b: b.summary().to_frame(),
    "posterior varcorr": lambda f, g, b: b.varcorr().to_frame(),
    "posterior ranef": lambda f, g, b: b.ranef(),
    "posterior icc": lambda f, g, b: b.icc(),
    "posterior r2": lambda f, g, b: b.r2(),
    "posterior predict": lambda f, g, b: b.predict(),
    "posterior hypothesis": lambda f, g, b: b.hypothesis("Days > 10").to_frame(),
    "posterior diagnose": lambda f, g, b: b.diagnose().to_frame(),
    "posterior emmeans": lambda f, g, b: nm.emmeans(b, "Days").to_frame(),
    "check": lambda f, g, b: f.check(seed=1).to_frame(),
}
GENERALIZED = {
    "tidy": lambda c: c.tidy(("fixed", "ran_pars", "ran_vals", "ran_coefs"), conf_int=True),
    "conf_int": lambda c: c.conf_int(),
    "varcorr": lambda c: c.varcorr().to_frame(),
    "variance_parameters": lambda c: c.variance_parameters(),
    "ranef": lambda c: c.ranef(),
    "glance": lambda c: c.glance(),
    "augment": lambda c: c.augment(),
    "predict": lambda c: c.predict(interval="confidence"),
    "summary": lambda c: c.summary().to_frame(),
    "anova": lambda c: c.anova().to_frame(),
    "drop1": lambda c: c.drop1().to_frame(),
    "contest": lambda c: c.contest("period2", joint=False).to_frame(),
    "emmeans": lambda c: c.emmeans("period", type="response").to_frame(),
    "pairs": lambda c: c.emmeans("period").pairs().to_frame(),
    "variance_partition": lambda c: c.variance_partition().to_frame(),
    "check_approximation": lambda c: c.check_approximation(),
    "loo": lambda c: c.loo("herd", **QUIET).to_frame(),
    "fragility": lambda c: c.fragility("period2", by="herd").to_frame(),
    "repca": lambda c: c.repca().to_frame(),
    "etable": lambda c: nm.etable(c).to_frame(),
}
ORDER = ["estimate", "std_error", "df", "statistic", "p_value", "conf_low", "conf_high"]


def columns_of(frame):
    """Columns and names of the index, without those that are names of parameters or of data."""
    named = {*map(str, frame.columns), *map(str, frame.index.names)} - {"None"}
    fixed = {"(Intercept)", "Days", "Subject", "Reaction", "incidence", "size", "herd", "sigma^2"}
    data = {"period", "period2", "period3", "period4", "1"}
    return {c for c in named if not re.match(r"(sd|var|cov|cor)_", c)} - fixed - data


def names_of_the_page():
    text = PAGE.read_text(encoding="utf-8")
    told = text.partition("## Columns\n")[2].partition("## Earlier names")[0]
    return set(re.findall(r"`(\w+)`", told))


@pytest.fixture(scope="module")
def cows():
    formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    return nm.glmer(formula, nm.load_dataset("cbpp"), family="binomial")


@pytest.mark.parametrize("name", GENERALIZED)
def test_frames_of_generalized_fits_have_no_other_names(name, cows):
    frame = GENERALIZED[name](cows)
    assert columns_of(frame) - names_of_the_page() == set()
    assert not columns_of(frame) & OLD_COLUMNS


@pytest.mark.parametrize("name", FRAMES)
def test_no_column_has_another_name(name, fits):
    frame = FRAMES[name](*fits)
    assert columns_of(frame) - names_of_the_page() == set()
    assert not {*map(str, frame.columns), *map(str, frame.index.names)} & OLD_COLUMNS
    present = [column for column in frame.columns if column in ORDER]
    if name not in {"nm.anova", "ranova", "step", "drop1 Chisq"}:  # a statistic before its df
        assert present == [column for column in ORDER if column in present]


PARAMETERS = ["(Intercept)", "Days", "sd_(Intercept)|Subject", "sd_Days|Subject",
              "cor_Days.(Intercept)|Subject", "sigma"]  # fmt: skip


@pytest.mark.parametrize("name", ["conf_int", "profile conf_int", "bootstrap conf_int", "bootstrap",
                                  "posterior parameters", "compare"])  # fmt: skip
def test_a_parameter_has_one_name(name, fits):
    frame = FRAMES[name](*fits)
    assert frame.index.name == "term" and sorted(frame.index) == sorted(PARAMETERS)


def test_any_two_tables_join(fits):
    fit, _, posterior = fits
    tidy = fit.tidy()
    for other in (fit.conf_int(method="wald"), posterior.parameters(), fit.varcorr().to_frame(),
                  nm.etable(fit).to_frame(), nm.compare(*fits[::2]).to_frame()):  # fmt: skip
        joined = tidy.merge(other, on="term", suffixes=("", "_other"))
        assert len(joined) >= 4 and isinstance(joined, pd.DataFrame)
    assert tidy.merge(posterior.parameters(), on="term")["variable"].tolist() == [
        "Intercept", "Days", "1|Subject_sigma", "Subject_corr[Days, 1]", "Days|Subject_sigma",
        "sigma",
    ]  # fmt: skip
    assert list(lme4.ranef(fit)) == ["grpvar", "term", "grp", "condval", "condsd"]  # R's


# what frames of earlier versions called their columns, and what these are called now
EARLIER = {
    "lower": "conf_low", "upper": "conf_high", "se": "std_error", "sd": "std_error",
    "condval": "estimate", "condsd": "std_error", "sdcor": "estimate",
    "prediction": "estimate", "grp": "level", "grpvar": "group",
    "parameter": "term", "name": "term",
}  # fmt: skip


def test_the_page_says_what_columns_were_called():
    text = PAGE.read_text(encoding="utf-8").partition("## Earlier names of columns")[2]
    rows = [line for line in text.splitlines() if line.startswith("|")]
    for old, new in EARLIER.items():
        line = next(line for line in rows if f"`{old}`" in line.split("|")[1])
        assert f"`{new}`" in line, old


def test_the_page_has_every_name():
    text = PAGE.read_text(encoding="utf-8")
    for name in (*ORDER, "term", "group", "effect", "variable", "level", "seed", "progress", "ddf",
                 *OLD_ARGUMENTS, *SAME_ARGUMENTS):  # fmt: skip
        assert f"`{name}" in text, name
