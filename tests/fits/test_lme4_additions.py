"""What lme4 has since 1.1-28, and what its users reach for; numbers are R 4.2's, lme4 1.1-31."""

from __future__ import annotations

import copy
import pickle
from inspect import signature

import numpy as np
import pytest

import nestedmlm as nm
from nestedmlm import lme4
from nestedmlm.errors import DataError, FormulaError, OptionError, WeightsError
from nestedmlm.lme4 import VarCorr, confint, getME, lmList, ranef, refit, vcov


@pytest.fixture(scope="module")
def fit():
    return nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))


def test_conditional_covariances(fit) -> None:
    first = ranef(fit, postVar=True).query("grp == '308'")
    postvar = [[145.70509, -21.444425], [-21.44443, 5.312273]]  # attr(ranef(m)$Subject, "postVar")
    np.testing.assert_allclose(first[["cov_(Intercept)", "cov_Days"]], postvar, rtol=1e-4)
    np.testing.assert_allclose(first.condsd, np.sqrt(np.diag(postvar)), rtol=1e-4)
    split = nm.lmer("Reaction ~ Days + (Days || Subject)", nm.load_dataset("sleepstudy"))
    assert split.ranef(postvar=True).query("term == 'Days'")["cov_(Intercept)"].isna().all()


def test_joint_covariance(fit) -> None:
    V = vcov(fit, full=True)
    np.testing.assert_allclose(V.iloc[:2, :2], fit.cov_params(), rtol=1e-9)
    # a group's fitted line: predict() has the same variance by the elimination
    names = list(V.index)
    x = np.zeros(len(V))
    x[[0, 1, names.index("(Intercept) | Subject: 309"), names.index("Days | Subject: 309")]] = (
        1, 4, 1, 4,
    )  # fmt: skip
    row = nm.load_dataset("sleepstudy").query("Subject == '309' and Days == 4")
    se = fit.predict(row, se_fit=True).iloc[0, 1]
    assert np.sqrt(x @ V.to_numpy() @ x) == pytest.approx(se, rel=1e-9)


def test_joint_covariance_of_a_singular_fit() -> None:
    flat = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff2"))
    V = vcov(flat, full=True)
    assert np.abs(V.iloc[1:, 1:].to_numpy()).max() == 0.0
    assert V.iloc[0, 0] == pytest.approx(flat.cov_params().iloc[0, 0])


def test_varcorr_as_covariances(fit) -> None:
    text = str(VarCorr(fit, corr=False)).split()
    assert text[:4] == ["Groups", "Name", "Variance", "Cov"]
    assert text[text.index("Days") + 2] == "9.6043"


def test_refit_with_new_weights(fit) -> None:
    again = refit(fit, newweights=np.tile([1.0, 2.0, 3.0], 60))
    np.testing.assert_allclose(again.params, [251.80441, 10.43597], rtol=2e-5)
    frame = fit.simulate(1, seed=1)
    assert fit.refit(frame).sigma == fit.refit(frame["sim_1"]).sigma
    with pytest.raises(WeightsError, match="zero"):
        fit.refit(weights=np.zeros(180))
    with pytest.raises(DataError, match="180 values"):
        fit.refit(weights=[1.0, 2.0])


def test_names_of_intervals(fit) -> None:
    old = confint(fit, method="Wald").index
    assert list(confint(fit, method="Wald", oldNames=True).index) == list(old)
    new = confint(fit, method="Wald", signames=False).index
    assert old[0] == ".sig01" and new[0] != ".sig01"


def test_components(fit) -> None:
    assert (getME(fit, "RZX") ** 2).sum() == pytest.approx(5016.285, rel=1e-5)
    np.testing.assert_allclose(
        getME(fit, "ST")["Subject"], [[0.96673279, 0], [0.01569106, 0.2309096]], rtol=1e-4
    )
    assert getME(fit, "devfun")([1, 0, 0.2]) == pytest.approx(1744.244, abs=5e-4)
    assert getME(fit, "devfun")(fit.theta) == pytest.approx(fit.criterion)
    assert getME(fit, "Lind")[:5].tolist() == [0, 1, 2, 0, 1]
    Lambdat = getME(fit, "Lambdat").tocsc()
    Lambdat.eliminate_zeros()
    np.testing.assert_allclose(Lambdat.data, fit.theta[getME(fit, "Lind")])
    L, A = getME(fit, "L"), getME(fit, "A")
    np.testing.assert_allclose(L @ L.T, (A @ A.T).toarray() + np.eye(36), rtol=1e-10, atol=1e-12)
    assert list(getME(fit, "Ztlist")) == ["Subject.(Intercept)", "Subject.Days"]
    days = getME(fit, "Ztlist")["Subject.Days"].toarray()
    np.testing.assert_array_equal(days.sum(axis=0), nm.load_dataset("sleepstudy").Days)
    several = getME(fit, ["theta", "q_i", "m_i", "Tp"])
    assert several["q_i"] == {"Subject": 36} and several["m_i"] == {"Subject": 3}
    assert {"Zt", "mmList", "devcomp"} <= set(getME(fit, "ALL"))
    with pytest.raises(OptionError, match="not a component"):
        getME(fit, ["theta", "rubbish"])


def test_least_squares_by_group() -> None:
    data = nm.load_dataset("sleepstudy")
    found = lmList("Reaction ~ Days | Subject", data)
    np.testing.assert_allclose(found.coef.iloc[1], [205.0549, 2.261785], rtol=1e-6)
    assert found.pooled_sigma == pytest.approx(25.59182, rel=1e-6)
    np.testing.assert_allclose(found.std_error["(Intercept)"], 15.04169, rtol=1e-6)
    np.testing.assert_allclose(
        found.conf_int().iloc[0, 3:].astype(float), [214.4617, 273.9237], rtol=1e-5
    )
    alone = lmList("Reaction ~ Days | Subject", data, pool=False).std_error.iloc[0]
    own = data[data.Subject == "308"]
    X = np.column_stack([np.ones(10), own.Days])
    _, squares, *_ = np.linalg.lstsq(X, own.Reaction, rcond=None)
    expected = np.sqrt(squares[0] / 8 * np.diag(np.linalg.inv(X.T @ X)))
    np.testing.assert_allclose(alone, expected)
    assert "144 residual" in str(found)
    for again in (pickle.loads(pickle.dumps(found)), copy.deepcopy(found)):
        assert str(again) == str(found)


def test_a_group_that_does_not_determine_a_slope() -> None:
    data = nm.load_dataset("sleepstudy")
    found = lmList("Reaction ~ Days | Subject", data.drop(range(1, 10)))
    assert found.coef.iloc[0].isna().tolist() == [False, True]
    assert found.df.iloc[0] == 0 and np.isnan(found.sigma.iloc[0])
    with pytest.raises(FormulaError, match="one grouping factor"):
        lmList("Reaction ~ Days", data)


def test_a_plan_in_standard_deviations() -> None:
    data = nm.load_dataset("sleepstudy")
    for residual in ("residual", "Residual"):
        study = nm.scenario(
            "y ~ Days + (1 | Subject)", data, beta={"Days": 1}, sd={"Subject": 4, residual: 10}
        )
        assert study.sigma == 10 and study.theta[0] == pytest.approx(0.4)


def test_functions_of_a_fit_say_so_of_anything_else(fit) -> None:
    takes_one = {
        name
        for name in lme4.__all__
        if next(iter(signature(getattr(lme4, name)).parameters)) not in ("fits", "formula")
    }
    assert len(takes_one) > 40
    for name in takes_one:
        with pytest.raises(OptionError, match=rf"{name}\(\) takes"):
            getattr(lme4, name)(*[3, "X"][: 2 if name == "getME" else 1 + (name == "update")])
    with pytest.raises(OptionError, match="what step"):
        lme4.get_model(fit)
    for name in ("summary", "drop1"):
        with pytest.raises(OptionError, match="ddf must be"):
            getattr(lme4, name)(fit, ddf=np.ones(2))
    with pytest.raises(OptionError, match="re_form must be"):
        lme4.simulate(fit, re_form=np.ones(2))
    with pytest.raises(OptionError, match="oldNames must be True or False"):
        confint(fit, oldNames=np.ones(2))
