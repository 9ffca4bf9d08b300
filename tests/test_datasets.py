"""Shipped, local and downloadable data sets."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pandas as pd
import pytest

from nestedmlm import datasets
from nestedmlm.datasets import (
    DATA_VARIABLE,
    Remote,
    list_datasets,
    load_dataset,
    prepare_classroom,
)
from nestedmlm.errors import DataError, DatasetError, OptionError

SHIPPED = {
    "sleepstudy": (180, ["Reaction", "Days", "Subject"]),
    "Pastes": (60, ["strength", "batch", "cask", "sample"]),
    "Penicillin": (144, ["diameter", "plate", "sample"]),
    "Dyestuff": (30, ["Batch", "Yield"]),
    "Dyestuff2": (30, ["Batch", "Yield"]),
    "cake": (270, ["replicate", "recipe", "temperature", "angle", "temp"]),
    "cbpp": (56, ["herd", "incidence", "size", "period"]),
    "grouseticks": (403, ["INDEX", "TICKS", "BROOD", "HEIGHT", "YEAR", "LOCATION", "cHEIGHT"]),
}

# West, Welch and Galecki's twelve columns; two schools, classes named across schools
ORIGINAL = pd.DataFrame(
    {
        "sex": [1, 0, 0, 1, 0],
        "minority": [1, 1, 0, 0, 0],
        "mathkind": [448, 460, 511, 449, 425],
        "mathgain": [32, 109, 56, 83, 53],
        "ses": [0.46, -0.27, -0.03, -0.38, -0.03],
        "yearstea": [1.0, 1.0, 2.0, 2.0, 12.54],
        "mathknow": [-0.11, -0.11, 0.3, None, -0.11],
        "housepov": [0.082, 0.082, 0.082, 0.365, 0.365],
        "mathprep": [2.0, 2.0, 3.25, 2.5, 2.5],
        "classid": [160, 160, 21, 7, 160],
        "schoolid": [1, 1, 1, 11, 11],
        "childid": [1, 2, 3, 4, 5],
    }
)


@pytest.fixture
def no_folder(monkeypatch, tmp_path):
    """Neither a data folder nor a cached download."""
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    monkeypatch.setattr(datasets, "_cache_folder", lambda: tmp_path / "cache")


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_sets_need_no_folder(name, no_folder):
    rows, columns = SHIPPED[name]
    frame = load_dataset(name)
    assert len(frame) == rows
    assert list(frame.columns) == columns
    factors = frame.select_dtypes("category").columns
    assert all(pd.api.types.is_numeric_dtype(frame[c]) for c in frame.columns.difference(factors))
    assert not frame.isna().to_numpy().any()


def test_factors_have_rs_levels(no_folder):
    cake = load_dataset("cake")
    assert cake["temperature"].cat.ordered
    assert list(cake["temperature"].cat.categories) == ["175", "185", "195", "205", "215", "225"]
    assert list(cake["replicate"].cat.categories) == [str(i) for i in range(1, 16)]
    pastes = load_dataset("Pastes")
    assert list(pastes["cask"].cat.categories) == ["a", "b", "c"]
    assert pastes["sample"].nunique() == 30
    relative = pastes["batch"].astype("str") + ":" + pastes["cask"].astype("str")
    assert (relative == pastes["sample"].astype("str")).all()


def test_each_call_returns_its_own_frame(no_folder):
    frame = load_dataset("Dyestuff")
    frame["Yield"] = 0
    assert load_dataset("Dyestuff")["Yield"].min() > 0


def test_shipped_sets_equal_the_shared_copies(shared_data, no_folder):
    for name in set(SHIPPED) - {"cbpp", "grouseticks"}:  # which are shipped only
        assert (datasets._SHIPPED / f"{name}.csv").read_text() == (
            shared_data / f"{name}.csv"
        ).read_text()


def test_unknown_name_lists_the_known_ones(no_folder):
    with pytest.raises(OptionError, match=r"Did you mean 'sleepstudy'\?.*Pastes"):
        load_dataset("Sleepstudi")
    assert set(list_datasets()) == {*SHIPPED, "classroom"}


def test_classroom_without_network_says_what_to_do(no_folder, monkeypatch):
    import pooch

    def offline(*args, **kwargs):
        raise ConnectionError("no network")

    monkeypatch.setattr(pooch, "retrieve", offline)
    with pytest.raises(DatasetError, match=r"classroom\.csv in a folder.*NESTEDMLM_DATA"):
        load_dataset("classroom")


@pytest.fixture
def served_classroom(tmp_path, monkeypatch):
    """The original file on this machine; yields the list of requests made for it."""
    content = ORIGINAL.to_csv(index=False).encode()
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        remote = Remote(
            url=f"http://127.0.0.1:{server.server_port}/classroom.csv",
            sha256=hashlib.sha256(content).hexdigest(),
            prepare=prepare_classroom,
        )
        monkeypatch.setattr(datasets, "REMOTE", {"classroom": remote})
        yield requests
        server.shutdown()


def test_classroom_is_downloaded_once(no_folder, served_classroom):
    for _ in range(2):
        assert list(load_dataset("classroom")["mathscore"]) == [480, 569, 567, 532, 478]
    assert served_classroom == ["/classroom.csv"]


def test_a_download_with_another_hash_is_refused(no_folder, served_classroom, monkeypatch):
    altered = replace(datasets.REMOTE["classroom"], sha256="0" * 64)
    monkeypatch.setattr(datasets, "REMOTE", {"classroom": altered})
    with pytest.raises(DatasetError, match="could not be downloaded"):
        load_dataset("classroom")
    assert datasets.find_local("classroom") is None


def test_classroom_is_read_from_the_cache(no_folder):
    cache = datasets._cache_folder()
    cache.mkdir()
    ORIGINAL.to_csv(cache / "classroom.csv", index=False)
    assert list(load_dataset("classroom")["mathscore"]) == [480, 569, 567, 532, 478]


def test_classroom_columns_are_derived_from_the_original_twelve():
    frame = prepare_classroom(ORIGINAL)
    assert list(frame.columns) == ["mathscore", "ses", "classid", "schoolid", "classid2"]
    assert list(frame["mathscore"]) == [480, 569, 567, 532, 478]
    assert list(frame["classid2"]) == ["1", "1", "2", "1", "2"]  # in order of appearance
    assert list(frame["classid"].cat.categories) == ["7", "21", "160"]  # by number, not by text
    assert list(frame["schoolid"].cat.categories) == ["1", "11"]


def test_classroom_needs_its_columns():
    with pytest.raises(DataError, match="mathgain"):
        prepare_classroom(ORIGINAL.drop(columns="mathgain"))
    with pytest.raises(DataError, match="ses"):
        prepare_classroom(ORIGINAL.drop(columns="ses"))


def test_classroom_is_the_guides(shared_data, monkeypatch):
    monkeypatch.setenv(DATA_VARIABLE, str(shared_data))
    frame = load_dataset("classroom")
    assert frame.shape == (1190, 5)
    assert [frame[c].nunique() for c in ("classid", "schoolid", "classid2")] == [312, 107, 9]
    assert list(frame["mathscore"].head(10)) == [480, 569, 567, 532, 478, 515, 503, 509, 510, 473]
    assert list(frame["classid2"].head(4)) == ["1", "1", "1", "2"]
    schema = json.loads((shared_data / "schema.json").read_text())["classroom"]
    assert {c: list(frame[c].cat.categories) for c in schema} == {
        c: spec["levels"] for c, spec in schema.items()
    }
    rederived = prepare_classroom(frame.drop(columns="classid2").astype({"classid": int}))
    assert list(rederived["classid2"]) == list(frame["classid2"])


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_any_file_of_the_folder_can_be_loaded(no_folder, monkeypatch, tmp_path: Path, suffix):
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    pd.DataFrame({"y": [1.5, 2.0], "g": ["01", "2"]}).to_csv(tmp_path / f"own{suffix}", index=False)
    assert "own" in list_datasets()
    assert load_dataset("own")["g"].tolist() == [1, 2]  # without a schema: as pandas reads it
    schema = {"own": {"g": {"levels": ["2", "01"], "ordered": True}}}
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    factor = load_dataset("own")["g"]
    assert factor.tolist() == ["01", "2"]
    assert factor.cat.ordered and list(factor.cat.categories) == ["2", "01"]
