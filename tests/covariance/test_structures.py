"""Covariance structures: every number of reference/lme4.md 2.13, printing, and users' own."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import nestedmlm as nm
from nestedmlm.covariance import (
    STRUCTURES,
    Parameter,
    TermShape,
    add_structure,
    temporary_structures,
)
from nestedmlm.errors import FormulaError, OptionError
from nestedmlm.likelihood.plan import Plan, jacobian, start_phi


def apart(k):
    return np.abs(np.subtract.outer(np.arange(k), np.arange(k)))


def decay(xp, par, k):
    return nm.covariance.cholesky(xp, xp.exp(-apart(k) / par[0]), k)


def exchangeable(xp, par, k):
    return nm.covariance.cholesky(xp, (1.0 - par[0]) * np.eye(k) + par[0] * np.ones((k, k)), k)


def toeplitz(xp, par, k):
    """Any correlations by distance, through partial ones (Durbin-Levinson)."""
    r, phi = [0.0 * par[0] + 1.0], []
    for m in range(k - 1):
        phi = [phi[i] - par[m] * phi[m - 1 - i] for i in range(m)] + [par[m]]
        r.append(sum(phi[i] * r[m - i] for i in range(m + 1)))
    rows = [xp.stack([r[abs(i - j)] for j in range(k)]) for i in range(k)]
    return nm.covariance.cholesky(xp, xp.stack(rows), k)


def rho(k):
    return [Parameter("rho", -1.0 / (k - 1.0), 1.0, 0.0)]


def partials(k):
    return [Parameter(f"partial{i + 1}", -1.0, 1.0, 0.0) for i in range(k - 1)]


@pytest.fixture(scope="module", autouse=True)
def registered():
    with temporary_structures():
        nm.covariance.register("decay", decay, [Parameter("range", lower=0.0)], hom=True)
        nm.covariance.register("mycs", exchangeable, rho)
        nm.covariance.register("toep", toeplitz, partials, hom=True)
        yield


@pytest.fixture(scope="module")
def sleep() -> pd.DataFrame:
    rows = nm.load_dataset("sleepstudy")
    days = rows["Days"].astype(int).astype(str)
    ordered = pd.Categorical(days, ordered=True)  # polynomial contrasts, as in the reference
    return rows.assign(Daysf=ordered, early=rows["Days"] // 2.5)


@pytest.fixture(scope="module")
def machines(shared_data) -> pd.DataFrame:
    return pd.read_csv(shared_data / "Machines.csv")


# reference/lme4.md 2.13: formula, REML, criterion, SDs, rho, sigma
REFERENCE = {
    "2.13 ar1 ML": (
        "Reaction ~ Daysf + ar1(0 + Daysf | Subject)", False,
        1736.576161, [46.120558], 0.8802567, 14.571536,
    ),
    "2.13 ar1 REML": (
        "Reaction ~ Daysf + ar1(0 + Daysf | Subject)", True,
        1681.022940, [47.457658], None, 14.993990,
    ),
    "2.13 ar1 with a line": (
        "Reaction ~ Days + ar1(0 + Daysf | Subject)", True,
        1734.186468, [47.340496], 0.8834993, 15.130444,
    ),
    "2.13 cs of two is us": (
        "Reaction ~ Days + cs(Days | Subject)", True,
        1743.628272, [24.7405, 5.92213], 0.06555, 25.59182,
    ),
    "2.13 homcs": (
        "Reaction ~ Days + cs(Days | Subject, hom = TRUE)", True,
        1757.774308, [7.2276563], 0.5925397, 27.834742,
    ),
}  # fmt: skip
MACHINES = {
    "2.13 homcs": ("cs(0 + Machine | Worker, hom = TRUE)", 215.687568, None, None),
    "2.13 homcs is nested": ("(1 | Worker/Machine)", 215.687568, None, None),
    "2.13 het cs": (
        "cs(0 + Machine | Worker)", 209.220442, [4.114488, 8.419744, 4.461803], 0.7357103,
    ),
    "2.13 diag": ("diag(0 + Machine | Worker)", 217.651079, None, None),
    "2.13 hom diag": ("diag(0 + Machine | Worker, hom = TRUE)", 221.255590, None, None),
    "2.13 us": ("us(0 + Machine | Worker)", 208.311218, None, None),
}  # fmt: skip


def standard_deviations(fit: nm.LmerFit, count: int) -> np.ndarray:
    return fit.sigma * fit.theta[:count]


@pytest.mark.parametrize("case", REFERENCE)
def test_numbers_on_sleepstudy(case, sleep):
    formula, REML, criterion, sds, correlation, sigma = REFERENCE[case]
    fit = nm.lmer(formula, sleep, REML=REML)
    assert fit.criterion == pytest.approx(criterion, abs=1e-5)
    assert fit.converged
    assert standard_deviations(fit, len(sds)) == pytest.approx(sds, rel=1e-4)
    assert fit.sigma == pytest.approx(sigma, rel=1e-4)
    if correlation is not None:
        assert fit.theta[-1] == pytest.approx(correlation, rel=1e-3)


@pytest.mark.parametrize("case", MACHINES)
def test_numbers_on_machines(case, machines):
    term, criterion, sds, correlation = MACHINES[case]
    fit = nm.lmer(f"score ~ Machine + {term}", machines)
    assert fit.criterion == pytest.approx(criterion, abs=1e-5)
    if sds is not None:
        assert standard_deviations(fit, 3) == pytest.approx(sds, rel=1e-4)
        assert fit.theta[-1] == pytest.approx(correlation, rel=1e-4)


def test_printing_as_lme4_2(sleep, machines):
    """2.5: ``0.880 (ar1)`` in the first row, one row where there is one SD, no Corr for diag."""
    ar1 = nm.lmer("Reaction ~ Daysf + ar1(0 + Daysf | Subject)", sleep, REML=False)
    assert repr(ar1.varcorr()).splitlines()[1].split() == [
        "Subject", "Daysf0", "46.121", "0.880", "(ar1)",
    ]  # fmt: skip
    assert len(repr(ar1.varcorr()).splitlines()) == 3
    cs = repr(nm.lmer("score ~ Machine + cs(0 + Machine | Worker)", machines).varcorr())
    assert "0.736 (cs)" in cs.splitlines()[1] and "(cs)" not in cs.splitlines()[2]
    diag = repr(nm.lmer("score ~ Machine + diag(0 + Machine | Worker)", machines).varcorr())
    assert "Corr" not in diag
    het = nm.lmer("Reaction ~ Days + cs(0 + Daysf | Subject)", sleep)
    assert len(repr(het.varcorr()).splitlines()) == 12
    summary = str(ar1.summary())
    assert "0.88 (ar1)" in summary


@pytest.mark.parametrize("structure", ["cs", "ar1", "diag"])
def test_one_column_has_no_correlation(structure):
    fit = nm.lmer(f"Yield ~ 1 + {structure}(1 | Batch)", nm.load_dataset("Dyestuff"))
    plain = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    assert fit.npar == plain.npar
    assert fit.criterion == pytest.approx(plain.criterion, abs=1e-9)


@pytest.mark.parametrize(
    "own, other",
    [
        ("mycs(0 + Machine | Worker)", "cs(0 + Machine | Worker)"),
        ("mycs(0 + Machine | Worker, hom = TRUE)", "(1 | Worker/Machine)"),
        ("toep(0 + Machine | Worker, hom = FALSE)", "toep(0 + Machine | Worker, hom = FALSE)"),
    ],
)
def test_users_structure_by_another_route(own, other, machines):
    fit, same = (nm.lmer(f"score ~ Machine + {term}", machines) for term in (own, other))
    assert fit.criterion == pytest.approx(same.criterion, abs=1e-7)
    assert fit.converged
    names = ["MachineB", "MachineC"]
    assert np.allclose(fit.params[names], same.params[names], rtol=1e-5)


def test_exponential_decay_is_ar1_at_integer_times(sleep):
    own = nm.lmer("Reaction ~ Days + decay(0 + factor(early) | Subject)", sleep)
    ar1 = nm.lmer("Reaction ~ Days + ar1(0 + factor(early) | Subject)", sleep)
    assert own.criterion == pytest.approx(ar1.criterion, abs=1e-7)
    assert np.exp(-1.0 / own.theta[-1]) == pytest.approx(ar1.theta[-1], rel=1e-5)
    mine, theirs = own.conf_int("theta_"), ar1.conf_int("theta_")
    assert list(mine.index) == ["sd_*|Subject", "range|Subject", "sigma"]
    assert np.allclose(mine.loc[["sd_*|Subject", "sigma"]], theirs.loc[["sd_*|Subject", "sigma"]],
                       rtol=1e-4)  # fmt: skip
    decayed = np.exp(-1.0 / mine.loc["range|Subject"])
    assert np.allclose(decayed, theirs.loc["rho|Subject"], rtol=1e-4)
    se = own.variance_parameters()["std_error"]
    slope = np.exp(-1.0 / own.theta[-1]) / own.theta[-1] ** 2
    assert se["range|Subject"] * slope == pytest.approx(
        ar1.variance_parameters().loc["rho|Subject", "std_error"], rel=1e-4
    )
    assert own.theta_names == ("Subject.*", "Subject.range")
    assert f"{own.theta[-1]:.3f} (decay)" in repr(own.varcorr())
    assert np.allclose(own.fittedvalues, ar1.fittedvalues, rtol=1e-5)
    assert not own.is_singular() and not own.is_singular(rule="lme4")


def test_toeplitz_holds_ar1_and_is_held_by_us(machines):
    """Nested structures: the criterion falls as parameters are added."""
    terms = ("ar1(0 + Machine | Worker, hom = FALSE)", "toep(0 + Machine | Worker, hom = FALSE)",
             "(0 + Machine | Worker)")  # fmt: skip
    fits = [nm.lmer(f"score ~ Machine + {term}", machines, REML=False) for term in terms]
    assert [fit.npar for fit in fits] == [8, 9, 10]
    assert fits[0].deviance > fits[1].deviance > fits[2].deviance
    corr = fits[1].varcorr().blocks[0].corr
    assert corr[1, 0] == pytest.approx(corr[2, 1])
    first = repr(fits[1].varcorr()).splitlines()[1]
    assert first.endswith(f"{fits[1].theta[3]:.3f}, {fits[1].theta[4]:.3f} (toep)")


def test_derivatives_of_a_users_structure():
    """Complex steps against central differences, at a point that is not the start."""
    plan = Plan((TermShape(STRUCTURES["toep"], False, 4),), ((0,),))
    from nestedmlm.likelihood.plan import flat_factors

    phi = start_phi(plan) + 0.2 * np.arange(plan.n_theta) / plan.n_theta
    J = jacobian(phi, plan)
    for i, e in enumerate(np.eye(plan.n_theta)):
        step = flat_factors(np, phi + 1e-6 * e, plan) - flat_factors(np, phi - 1e-6 * e, plan)
        assert np.allclose(J[:, i], step / 2e-6, atol=1e-8)


def test_bayesian_models_of_a_users_structure(machines):
    import pymc as pm

    fit = nm.lmer("score ~ Machine + mycs(0 + Machine | Worker, hom = TRUE)", machines)
    same = nm.lmer("score ~ Machine + cs(0 + Machine | Worker, hom = TRUE)", machines)
    assert "Worker_rho" in fit.model.priors
    for marginal in (False, True):
        model, other = (f.to_pymc(marginal=marginal) for f in (fit, same))
        assert "Worker_rho" in model.named_vars
        names = {"Worker_rho_parameter_raw": "Worker_rho_unit"}
        point, at = model.initial_point(), other.initial_point()
        # the same place in both: logit of the stretched correlation, and all the rest
        for name, value in point.items():
            for own, theirs in names.items():
                if name.startswith(own):
                    point[name] = at[name.replace(own, theirs)]
                    break
            else:
                point[name] = at.get(name, value)
        pairs = ((model, point), (other, at))
        logp = [m.compile_logp(jacobian=False, mode="FAST_COMPILE")(p) for m, p in pairs]
        assert np.isfinite(logp[0]) and logp[0] == pytest.approx(logp[1], rel=1e-9)
        gradient = model.compile_dlogp(mode="FAST_COMPILE")(point)
        assert np.all(np.isfinite(gradient))
    assert isinstance(model, pm.Model)


def test_pickled_fit_takes_its_structure_along(sleep, tmp_path):
    fit = nm.lmer("Reaction ~ Days + decay(0 + factor(early) | Subject)", sleep)
    path = tmp_path / "fit.pickle"
    path.write_bytes(pickle.dumps(fit))
    code = (
        "import pickle, sys, nestedmlm as nm\n"
        f"fit = pickle.loads(open({str(path)!r}, 'rb').read())\n"
        "print(float(fit.refit_ml().deviance), 'decay' in nm.covariance.STRUCTURES)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    deviance, known = done.stdout.split()
    assert known == "True"
    assert float(deviance) == pytest.approx(fit.refit_ml().deviance, abs=1e-9)
    assert pickle.loads(pickle.dumps(fit)).design.terms[0].structure is STRUCTURES["decay"]
    assert pickle.loads(pickle.dumps(fit)).conf_int("sigma").equals(fit.conf_int("sigma"))


def test_registering_again():
    nm.covariance.register("decay", decay, [Parameter("range", lower=0.0)], hom=True)

    def the_same(xp, par, k):
        return nm.covariance.cholesky(xp, xp.exp(-apart(k) / par[0]), k)

    nm.covariance.register("decay", the_same, [Parameter("range", lower=0.0)], hom=True)
    with pytest.raises(OptionError, match="exists and is another one"):
        nm.covariance.register("decay", exchangeable, rho)
    assert "decay" in STRUCTURES


@pytest.mark.parametrize("name", ["us", "cs", "log", "factor", "a b", "", 3])
def test_names_that_are_taken_or_no_names(name):
    with pytest.raises(OptionError):
        nm.covariance.register(name, exchangeable, rho)


def no_root(xp, par, k):
    return par[0] * np.ones((k, k))


def not_analytic(xp, par, k):
    return nm.covariance.cholesky(xp, np.abs(np.asarray(par[0])) ** apart(k), k)


@pytest.mark.parametrize(
    "root, message", [(no_root, "lower-triangular"), (not_analytic, "complex numbers")]
)
def test_roots_that_are_none(root, message):
    with pytest.raises(OptionError, match=message):
        nm.covariance.register("wrong", root, [Parameter("a", 0.0, 1.0)])
    assert "wrong" not in STRUCTURES


def test_unknown_names_are_refused_with_the_list(sleep):
    with pytest.raises(FormulaError, match=r"known: .*decay.*us"):
        nm.lmer("Reaction ~ Days + matern(0 + Daysf | Subject)", sleep)


def test_a_callers_variable_of_that_name_is_left_alone(sleep):
    decay = object()  # would not pickle by name; the formula must not look it up
    fit = nm.lmer("Reaction ~ Days + decay(0 + factor(early) | Subject)", sleep)
    assert "decay" not in fit.model.formula.names and decay is not None


def test_an_infinite_end_is_said():
    """As the range grows the model becomes ``(1 | g)``, whose deviance the profile approaches."""
    rng = np.random.default_rng(4)
    b = rng.normal(size=15)[:, None] + 0.45 * np.cumsum(rng.normal(size=(15, 4)), 1)
    cells = [(g, t, b[g, t] + rng.normal()) for g in range(15) for t in range(4) for _ in range(2)]
    rows = pd.DataFrame(cells, columns=["g", "t", "y"]).assign(tf=lambda d: d.t.astype(str))
    fit = nm.lmer("y ~ 1 + decay(0 + tf | g)", rows, REML=False)
    limit = nm.lmer("y ~ 1 + (1 | g)", rows, REML=False)
    found = fit.profile("range|g")
    assert found.curves[0].ends == ("cutoff", "open")
    assert "infinite" in found.messages[0]
    top = found.to_frame()["zeta"].max()
    assert top == pytest.approx(np.sqrt(limit.deviance - fit.deviance), abs=1e-4)
    low, high = found.conf_int().loc["range|g"]
    assert 1.5 < low < fit.theta[-1] < high == np.inf
    assert found.conf_int(0.8).loc["range|g", "conf_high"] < 65.0


def test_a_posterior_has_a_users_parameter_under_its_name(sleep):
    """Issue 10: tables of such posteriors listed correlations in its place, and failed."""
    fit = nm.lmer("Reaction ~ Days + decay(0 + factor(early) | Subject)", sleep)
    draws = fit.sample(sampler="psis", draws=100, seed=1, progress=False)
    table = draws.parameters()
    assert table.loc["range|Subject", ["kind", "var1"]].tolist() == ["par", "range"]
    assert draws.varcorr().to_frame()["vcov"].isna().sum() == 1
    assert "range" in str(draws.summary())
    compared = nm.compare(fit, draws).table
    assert compared.loc["range|Subject", "estimate"] == pytest.approx(fit.theta[-1])
    assert "range|Subject" in str(nm.etable(fit, draws))
    assert "Subject_range_parameter_raw_log__" in fit.to_pymc(marginal=True).initial_point()


def test_names_of_functions_are_reserved():
    from nestedmlm.covariance.custom import RESERVED
    from nestedmlm.design.frame.functions import FUNCTIONS

    assert set(FUNCTIONS) == RESERVED


@pytest.mark.parametrize("name", ["us", "diag", "cs", "ar1", "decay"])
def test_structures_are_values(name):
    structure = STRUCTURES[name]
    for same in (pickle.loads(pickle.dumps(structure)), copy.deepcopy(structure)):
        assert same == structure and hash(same) == hash(structure)
    assert structure != dataclasses.replace(structure, name="another")


def test_the_table_holds_one_structure_of_a_name():
    kept = dict(STRUCTURES)
    with temporary_structures():
        add_structure(STRUCTURES["cs"])  # again: nothing happens
        add_structure(dataclasses.replace(STRUCTURES["cs"], name="again"))
        assert "again" in STRUCTURES
        with pytest.raises(OptionError, match="is another one"):
            add_structure(dataclasses.replace(STRUCTURES["ar1"], name="cs"))
    assert dict(STRUCTURES) == kept


def test_an_optimum_where_the_root_stops_to_exist_is_not_certified():
    def toeplitz(xp, par, k):
        lag = np.abs(np.subtract.outer(np.arange(k), np.arange(k)))
        return nm.covariance.cholesky(xp, xp.stack([1.0, *par])[lag], k)

    with temporary_structures():
        nm.covariance.register(
            "toeplitz",
            toeplitz,
            lambda k: [Parameter(f"rho{i}", -1.0, 1.0, 0.0) for i in range(1, k)],
        )
        with pytest.warns(nm.ConvergenceWarning, match="could not be certified"):
            fit = nm.lmer(
                "angle ~ temp + toeplitz(0 + recipe | replicate, hom = TRUE)",
                nm.load_dataset("cake"),
            )
    assert not fit.converged
    assert fit.criterion > 1657.2201  # partial correlations reach 1657.2200
