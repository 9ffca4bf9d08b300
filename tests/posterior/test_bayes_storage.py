"""Posteriors on disk: what is read back predicts the same."""

from __future__ import annotations

import datetime as dt
import importlib.util
import json
import pickle
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from decimal import Decimal

import arviz as az
import numpy as np
import pandas as pd
import pytest
from designs import FORMULAS, data
from fake_posterior import fake_bayesfit
from xarray import Dataset, DataTree

import nestedmlm as nm
from nestedmlm.covariance.table import temporary_structures
from nestedmlm.design.design import Design
from nestedmlm.design.frame.environment import Environment
from nestedmlm.errors import OptionError
from nestedmlm.posterior import storage
from nestedmlm.posterior.records import read_records, write_records


@pytest.fixture(scope="module")
def bayes():
    fit = nm.lmer("Reaction ~ poly(Days, 2) + (Days | Subject)", nm.load_dataset("sleepstudy"))
    return fake_bayesfit(fit, chains=2, draws=50)


@pytest.mark.parametrize("name", ["fit.zarr", "fit.nc"])
def test_round_trip(bayes, tmp_path, name):
    if name.endswith(".nc"):
        pytest.importorskip("h5py")
    path = bayes.save(tmp_path / name)
    back = nm.load_bayesfit(path)
    assert set(back.data.children) == set(bayes.data.children)
    for group in bayes.data.children:
        for variable, values in bayes.data[group].data_vars.items():
            np.testing.assert_array_equal(back.data[group][variable].values, values.values)
    new = pd.DataFrame({"Days": [0.5, 20.0], "Subject": ["308", "new"]})
    options = {"new_levels": "sample", "seed": 1}
    pd.testing.assert_frame_equal(back.predict(new, **options), bayes.predict(new, **options))
    assert str(back) == str(bayes)
    assert str(back.priors) == str(bayes.priors)
    assert {v.name for v in back.model.free_RVs} == {v.name for v in bayes.model.free_RVs}
    assert back.save(tmp_path / name) == path  # what is there is replaced


def test_curves_are_read_back(tmp_path):
    frame = data(n=80)
    formula = "y ~ s(x) + s(z, bs='cr', k=5) + s(off, bs='ps', k=6) + (1 | f1)"
    posterior = nm.Model(formula, frame).sample(sampler="psis", draws=20, seed=1, progress=False)
    back = nm.load_bayesfit(posterior.save(tmp_path / "curves.zarr"))
    new = frame.head(9).assign(x=lambda d: d["x"] + 0.1)
    pd.testing.assert_frame_equal(back.predict(new), posterior.predict(new))


@pytest.mark.parametrize("where", ["", ".", "..", "notes", "notes.txt", "mixed.zarr"])
def test_a_folder_of_other_things_is_never_replaced(bayes, tmp_path, monkeypatch, where):
    work = tmp_path / "outer" / "work"
    (work / "notes" / "deep").mkdir(parents=True)
    bayes.save(work / "mixed.zarr")
    for other in ("thesis.txt", "notes.txt", "notes/deep/data.csv", "mixed.zarr/mine.csv"):
        (work / other).write_text("years of work")
    monkeypatch.chdir(work)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OptionError):
        bayes.save(where)
    assert sorted(tmp_path.rglob("*")) == before


def test_arviz_reads_the_file(bayes, tmp_path):
    bayes.save(tmp_path / "fit.zarr")
    data_tree = az.from_zarr(tmp_path / "fit.zarr")
    assert float(data_tree["posterior"]["sigma"].mean()) == pytest.approx(bayes.sigma)


def test_mixed_labels(tmp_path):
    fit = nm.lmer(FORMULAS["nested within crossed"], data())
    back = nm.load_bayesfit(fake_bayesfit(fit, chains=1, draws=10).save(tmp_path / "fit.zarr"))
    assert back.ranef()["level"].tolist() == fit.ranef()["level"].tolist()


def test_no_such_file(tmp_path):
    with pytest.raises(nm.DataError, match="no file"):
        nm.load_bayesfit(tmp_path / "nothing.zarr")


def test_other_files_are_refused(bayes, tmp_path):
    other = tmp_path / "other.zarr"
    bayes.data.to_zarr(other, zarr_format=2)
    with pytest.raises(nm.DataError, match=r"not written by BayesFit\.save"):
        nm.load_bayesfit(other)
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(nm.DataError, match="holds no posterior"):
        nm.load_bayesfit(tmp_path / "empty.zarr")


# --- everything comes back ------------------------------------------------------------------------
def assert_same(a, b, where=""):
    """Equal to the last bit and of the same types, all the way down."""
    assert type(a) is type(b), where
    if isinstance(a, np.ndarray):
        assert (a.dtype, a.shape) == (b.dtype, b.shape), where
        assert not b.flags.writeable
        if a.dtype == object:
            for one, other in zip(a.ravel(), b.ravel(), strict=True):
                assert_same(one, other, where)
        else:
            np.testing.assert_array_equal(a, b, err_msg=where)
    elif isinstance(a, pd.Index):
        assert a.equals(b) and a.dtype == b.dtype and a.names == b.names, where
    elif isinstance(a, pd.Series | pd.DataFrame):
        assert a.equals(b) and a.index.equals(b.index)
    elif isinstance(a, Environment):
        assert_same(a.values, b.values, where)
    elif isinstance(a, Mapping):
        assert list(a) == list(b), where
        for key in a:
            assert_same(a[key], b[key], f"{where}[{key}]")
    elif is_dataclass(a):
        for field in fields(a):
            # factors and terms share the design's rows
            if field.name != "rows" or isinstance(a, Design):
                assert_same(getattr(a, field.name), getattr(b, field.name), f"{where}.{field.name}")
    elif isinstance(a, tuple | list):
        assert len(a) == len(b), where
        for i, (one, other) in enumerate(zip(a, b, strict=True)):
            assert_same(one, other, f"{where}[{i}]")
    else:
        assert a == b or (a != a and b != b), where


def back_from(bayes, path, **options):
    return nm.load_bayesfit(bayes.save(path), **options)


@pytest.mark.parametrize("kind", FORMULAS)
def test_every_kind_of_model_comes_back(kind, tmp_path):
    fit = nm.lmer(FORMULAS[kind], data(), weights="w", offset="off")
    bayes = fake_bayesfit(fit, chains=1, draws=5, weights_column="w")
    back = back_from(bayes, tmp_path / "fit.zarr")
    for name in ("design", "priors", "run", "weights_column", "messages", "data_name"):
        assert_same(getattr(bayes, name), getattr(back, name), name)
    assert back.design.terms[0].rows is back.design.rows


FORMULAS_THAT_LEARN = [
    "y ~ scale(x) + poly(x, z, degree = 2) + (1 | f1)",
    "y ~ ns(x, df = 3) + bs(z) + (x || f1)",
    "y ~ C(a, contr.sum) + factor(f1 > 3) + dummy(a) + (0 + a | c1)",
    "y ~ . - y - f2 - w - off + (1 | f1)",
    "log(y + 100) ~ I(x^2) * a + offset(off) + (1 | f1/c1)",
]


@pytest.mark.parametrize("formula", FORMULAS_THAT_LEARN)
def test_what_functions_learned_comes_back(formula, tmp_path):
    table = data()
    table["a"] = pd.Categorical(np.resize(list("pqr"), len(table)), ordered=True)
    fit = nm.lmer(formula, table)
    bayes = fake_bayesfit(fit, chains=1, draws=5)
    back = back_from(bayes, tmp_path / ("fit.nc" if h5py_here() else "fit.zarr"))
    assert_same(bayes.design, back.design, "design")
    new = table.head(7)
    pd.testing.assert_frame_equal(back.predict(new), bayes.predict(new))


def h5py_here():
    return importlib.util.find_spec("h5py") is not None


days = pd.date_range("2024-02-27", periods=6, tz="Europe/Berlin")
LABELS = {
    "text": list("abcdef"),
    "numbers": [1.5, 2.5, -1.0, 4.0, 1e300, 0.1],
    "large integers": [2**53 + i for i in range(6)],
    "logical and text": [True, "b", 3, "d", 5.5, "f"],
    "times": days,
    "days": [d.date() for d in days],
    "datetimes": [dt.datetime(2024, 1, d, 12) for d in range(1, 7)],
    "durations": pd.to_timedelta(range(6), unit="h"),
    "decimals": [Decimal(i) / 10 for i in range(6)],
    "intervals": pd.interval_range(0, 6),
    "periods": pd.period_range("2024-01", periods=6, freq="M"),
    "categories": pd.Categorical(list("abcdef"), categories=list("fedcba"), ordered=True),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_groups_and_rows_of_any_type(kind, tmp_path):
    rng = np.random.default_rng(1)
    labels = pd.Series(LABELS[kind], dtype=object if "and" in kind else None)
    table = pd.DataFrame({"x": rng.normal(size=60), "g": labels.iloc[np.arange(60) % 6].array})
    table["y"] = rng.normal(size=60) + (np.arange(60) % 6)
    table.index = pd.Index(labels.iloc[np.arange(60) % 6].array, name=("row", 1))
    design = nm.build_design("y ~ x + (1 | g)", table)
    text, arrays = write_records({"design": design})
    assert_same(design, read_records(text, arrays, {})["design"], "design")


@pytest.mark.parametrize(
    "index",
    [
        pd.RangeIndex(3, 33, 3, name="row"),
        pd.MultiIndex.from_product([["a", "b"], range(5)], names=["one", None]),
        pd.date_range("2024-03-30", periods=10, freq="h", tz="Europe/Berlin"),
        pd.Index([np.nan, "b", None, 4.5, "e", "f", "g", "h", "i", "j"], dtype=object),
        pd.Index(np.arange(10, dtype=np.uint8)),
        pd.Index([None, *"abcdefghi"]),
    ],
    ids=lambda index: type(index).__name__,
)
def test_any_index(index):
    text, arrays = write_records({"index": index})
    found = read_records(text, arrays, {})["index"]
    assert type(found) is type(index) and found.dtype == index.dtype
    assert found.equals(index) and list(found.names) == list(index.names)


# --- what is the caller's -------------------------------------------------------------------------
def half(x):
    return x / 2


def test_functions_in_a_formula_are_asked_for_again(tmp_path):
    level, spread, table = 3.0, np.linspace(1, 2, len(data())), data()
    fit = nm.lmer("y ~ half(x) + I(z * level) + spread + (1 | f1)", table)
    bayes = fake_bayesfit(fit, chains=1, draws=5)
    path = bayes.save(tmp_path / "fit.zarr")
    without = nm.load_bayesfit(path)
    assert str(without) == str(bayes)
    with pytest.raises(OptionError, match=r"half\(\) is a function of yours.*load_bayesfit"):
        without.predict(table)
    back = nm.load_bayesfit(without.save(tmp_path / "again.zarr"), functions={"half": half})
    pd.testing.assert_frame_equal(back.predict(table), bayes.predict(table))
    assert level and spread.size
    with pytest.raises(OptionError, match="no function 'third' is asked for; those that are: half"):
        nm.load_bayesfit(path, functions={"third": half})


def test_elementwise_functions_of_numpy_are_known_by_name(tmp_path):
    cbrt = np.cbrt
    fit = nm.lmer("y ~ cbrt(x) + (1 | f1)", data())
    bayes = fake_bayesfit(fit, chains=1, draws=5)
    back = back_from(bayes, tmp_path / "fit.zarr")
    pd.testing.assert_frame_equal(back.predict(data()), bayes.predict(data()))
    assert cbrt is np.cbrt


def test_priors_that_are_functions_are_asked_for_again(bayes, tmp_path):
    def wide(name):
        import pymc as pm

        return pm.HalfNormal(name, 100.0)

    own = replace(bayes, priors=bayes.priors.replace({"sigma": wide}))
    path = own.save(tmp_path / "fit.zarr")
    back = nm.load_bayesfit(path)
    assert str(back.priors) == str(own.priors) and "wide()" in str(back.priors)
    with pytest.raises(OptionError, match=r"functions={'sigma': …}"):
        _ = back.model
    again = nm.load_bayesfit(path, functions={"sigma": wide})
    assert again.priors["sigma"].prior is wide
    assert "sigma" in again.model.named_vars


class Offset:
    """Something of the caller's that is no plain value."""

    def __init__(self, by):
        self.by = by


def test_what_is_no_plain_value_is_named(bayes, tmp_path):
    env = Environment({"shift": Offset(1)})
    design = replace(bayes.design, schema=replace(bayes.design.schema, env=env))
    with pytest.raises(nm.DataError, match=r"env\['shift'\] is a Offset, which a file cannot"):
        replace(bayes, design=design).save(tmp_path / "fit.zarr")
    assert not (tmp_path / "fit.zarr").exists()


def decay(xp, par, k):
    apart = np.abs(np.subtract.outer(np.arange(k), np.arange(k)))
    return nm.covariance.cholesky(xp, xp.exp(-apart / par[0]), k)


def test_a_structure_has_to_be_registered():
    with temporary_structures():
        nm.covariance.register("decay", decay, [nm.covariance.Parameter("range", lower=0.0)])
        design = nm.build_design("y ~ x + decay(0 + a | f1)", data())
        text, arrays = write_records({"design": design})
        found = read_records(text, arrays, {})["design"]
        assert found.terms[0].structure is design.terms[0].structure
    with pytest.raises(nm.DataError, match=r"'decay' of yours.*register it"):
        read_records(text, arrays, {})


# --- nothing in a file is run ---------------------------------------------------------------------
class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_pickle_of_an_earlier_version_is_refused(bayes, tmp_path):
    trap = tmp_path / "sprung"
    content = np.frombuffer(pickle.dumps(Trap(trap)), dtype=np.uint8)
    old = bayes.data.copy()
    old["nestedmlm"] = DataTree(Dataset({"pickled": ("byte", content)}))
    old.to_zarr(tmp_path / "old.zarr", zarr_format=2)
    with pytest.raises(nm.DataError, match="an earlier version, with a pickle inside"):
        nm.load_bayesfit(tmp_path / "old.zarr")
    assert not trap.exists()


@pytest.mark.parametrize("consolidated", [True, False])
def test_pickles_that_zarr_would_read_are_refused(bayes, tmp_path, consolidated):
    numcodecs = pytest.importorskip("numcodecs")
    path, trap = bayes.save(tmp_path / "fit.zarr"), tmp_path / "sprung"
    folder = path / "nestedmlm" / "trap"
    folder.mkdir()
    items = np.empty(1, dtype=object)
    items[0] = Trap(trap)
    (folder / "0").write_bytes(numcodecs.Pickle().encode(items))
    filters = [{"id": "pickle", "protocol": 5}]
    meta = {"zarr_format": 2, "shape": [1], "chunks": [1], "dtype": "|O", "compressor": None,
            "fill_value": None, "order": "C", "filters": filters}  # fmt: skip
    (folder / ".zarray").write_text(json.dumps(meta))
    (folder / ".zattrs").write_text(json.dumps({"_ARRAY_DIMENSIONS": ["trap"]}))
    if not consolidated:
        (path / ".zmetadata").unlink(missing_ok=True)
    with pytest.raises(nm.DataError, match="pickles, which run code"):
        nm.load_bayesfit(path)
    assert not trap.exists()
    trap.unlink(missing_ok=True)


def test_links_are_not_followed(bayes, tmp_path):
    path = bayes.save(tmp_path / "fit.zarr")
    (path / "more").symlink_to(tmp_path)
    with pytest.raises(nm.DataError, match="is a link to another place"):
        nm.load_bayesfit(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"objects": [], "values": {"x": {"record": ["os.system", {}]}}}', "os.system is written"),
        ('{"objects": [], "values": {"x": {"record": ["Run", {}]}}}', "another version"),
        ('{"objects": [], "values": {"x": {"call": "os.system"}}}', "holds a 'call'"),
        ('{"objects": [], "values": {"x": {"elementwise function": "save"}}}', "elementwise"),
        ('{"objects": [], "values": {"x": {"array": ["<f8", [3], "none"]}}}', "cannot be read"),
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
    ],
)
def test_what_is_never_written_is_not_read(text, message):
    with pytest.raises(nm.DataError, match=message):
        read_records(text, {}, {})


def test_netcdf_without_a_library(bayes, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert storage.importlib.util.find_spec("h5py") is None
    with pytest.raises(nm.errors.OptionError, match=r"pip install h5netcdf h5py"):
        bayes.save(tmp_path / "fit.nc")
