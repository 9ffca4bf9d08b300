"""Example data: a few sets are shipped, others come from a folder or are downloaded once.

Three places are looked in, in this order:

1. the package: data sets of the R package lme4 (`nestedmlm/_data/README.md` names the sources);
2. the folder named by the environment variable ``NESTEDMLM_DATA``: any ``NAME.csv`` or
   ``NAME.csv.gz`` there, its factors described by a ``schema.json`` beside it (the form of
   ``nestedmlm/_data/schema.json``);
3. the `REMOTE` table: downloaded with pooch into the user's cache, checked by SHA-256.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from nestedmlm.arguments import checked
from nestedmlm.errors import DataError, DatasetError, OptionError

DATA_VARIABLE = "NESTEDMLM_DATA"
_SHIPPED = Path(__file__).parent / "_data"
_SUFFIXES = (".csv", ".csv.gz")

Schema = Mapping[str, Mapping[str, Any]]
"""Factor column -> ``{"levels": [...], "ordered": bool}``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A data set that is downloaded: where from, its SHA-256, and how the file becomes the data."""

    url: str
    sha256: str
    prepare: Callable[[pd.DataFrame], pd.DataFrame]


def prepare_classroom(raw: pd.DataFrame) -> pd.DataFrame:
    """Bring the classroom data into the form of the multilevel guide.

    Parameters
    ----------
    raw : pandas.DataFrame
        Either the five columns of the guide, or the twelve columns distributed with West, Welch
        and Gałecki's *Linear Mixed Models*, from which the two missing ones are derived.

    Returns
    -------
    pandas.DataFrame
        ``mathscore``, ``ses`` and the factors ``classid``, ``schoolid`` and ``classid2``;
        ``mathscore`` is the score at the end of the year, ``mathkind + mathgain``, and
        ``classid2`` counts the classes of a school in order of appearance.

    Raises
    ------
    DataError
        When columns are missing.
    """
    derived = {}
    if "mathscore" not in raw:
        _require(raw, ("mathkind", "mathgain"))
        derived["mathscore"] = raw["mathkind"] + raw["mathgain"]
    if "classid2" not in raw:
        _require(raw, ("classid", "schoolid"))
        by_school = raw.groupby("schoolid", sort=False)["classid"]
        derived["classid2"] = by_school.transform(lambda classes: pd.factorize(classes)[0] + 1)
    columns = ["mathscore", "ses", "classid", "schoolid", "classid2"]
    frame = raw.assign(**derived)
    _require(frame, columns)
    factors = {name: _numbered_factor(frame[name]) for name in columns[2:]}
    return frame[columns].assign(**factors)


REMOTE: Mapping[str, Remote] = {
    "classroom": Remote(
        url=(
            "https://raw.githubusercontent.com/frankcj6/Multi-Level-Nested-Model-Project/"
            "aed61a4d06c35426fec2ae1e822f0b13f45d8045/data/classroom.csv"
        ),
        sha256="90a161b6fb14dd619213ab247aeddcfc9baae97480f26d84107333007f488df3",
        prepare=prepare_classroom,
    ),
}


def list_datasets() -> tuple[str, ...]:
    """Names that `load_dataset` knows, in alphabetical order without regard to case.

    Returns
    -------
    tuple of str
        Shipped and downloadable sets, and the files of the folder in ``NESTEDMLM_DATA``.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> "sleepstudy" in nm.list_datasets()
    True
    """
    names = {*_files_in(_SHIPPED), *_files_in(data_folder()), *REMOTE}
    return tuple(sorted(names, key=str.casefold))


@checked
def load_dataset(name: str) -> pd.DataFrame:
    """Load an example data set, with its factors as categories in R's level order.

    Parameters
    ----------
    name : str
        One of `list_datasets`, for example ``"sleepstudy"``, ``"Pastes"`` or ``"classroom"``.

    Returns
    -------
    pandas.DataFrame
        A new frame at every call; factors are categorical columns, the rest as read.

    Raises
    ------
    OptionError
        When the name is not known.
    DatasetError
        When the data are not shipped and could neither be found nor downloaded.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> pastes = nm.load_dataset("Pastes")
    >>> pastes.shape, list(pastes["cask"].cat.categories)
    ((60, 4), ['a', 'b', 'c'])
    """
    path = find_local(name)
    if path is None and name in REMOTE:
        path = _download(name, REMOTE[name])
    if path is None:
        raise OptionError(_unknown_name(name))
    if name in REMOTE:
        return REMOTE[name].prepare(pd.read_csv(path))
    return _read(path, _schema_beside(path).get(name, {}))


def find_local(name: str) -> Path | None:
    """Path of a data set that can be read without the network, or None.

    Parameters
    ----------
    name : str
        Name of the data set.

    Returns
    -------
    pathlib.Path or None
        The shipped file, the one in the folder ``NESTEDMLM_DATA``, or the downloaded one.
    """
    for folder in (_SHIPPED, data_folder()):
        path = _files_in(folder).get(name)
        if path is not None:
            return path
    cached = _cache_folder() / f"{name}.csv"
    return cached if name in REMOTE and cached.is_file() else None


def data_folder() -> Path | None:
    """Folder named by the environment variable ``NESTEDMLM_DATA``, or None where it is unset.

    Returns
    -------
    pathlib.Path or None
        The folder, with ``~`` expanded; it need not exist.
    """
    value = os.environ.get(DATA_VARIABLE)
    return Path(value).expanduser() if value else None


def _files_in(folder: Path | None) -> dict[str, Path]:
    """Data set name -> file, for the CSV files of a folder."""
    if folder is None or not folder.is_dir():
        return {}
    return {
        path.name.removesuffix(suffix): path
        for suffix in reversed(_SUFFIXES)  # a plain .csv wins over a compressed one
        for path in folder.glob(f"*{suffix}")
    }


def _schema_beside(path: Path) -> Mapping[str, Schema]:
    """Read the ``schema.json`` of the folder that `path` is in; empty where there is none."""
    file = path.with_name("schema.json")
    if not file.is_file():
        return {}
    schemas: Mapping[str, Schema] = json.loads(file.read_text(encoding="utf-8"))
    return schemas


def _read(path: Path, schema: Schema) -> pd.DataFrame:
    """Read a CSV file; the columns of the schema become categories with its levels."""
    frame = pd.read_csv(path, dtype=dict.fromkeys(schema, "str"))
    factors = {
        name: pd.Categorical(frame[name], categories=spec["levels"], ordered=spec["ordered"])
        for name, spec in schema.items()
        if name in frame
    }
    return frame.assign(**factors)


def _numbered_factor(column: pd.Series) -> pd.Categorical:
    """Factor with string levels sorted by number, as R's ``factor()`` orders numeric codes."""
    levels = [str(value) for value in sorted(column.dropna().unique())]
    return pd.Categorical(column.astype("str").where(column.notna()), categories=levels)


def _require(frame: pd.DataFrame, columns: tuple[str, ...] | list[str]) -> None:
    missing = [name for name in columns if name not in frame]
    if missing:
        raise DataError(
            f"The classroom data need the column(s) {', '.join(missing)}; "
            f"the file has {', '.join(map(str, frame.columns))}."
        )


def _cache_folder() -> Path:
    import pooch  # late: only a data set that is not shipped needs it

    return Path(pooch.os_cache("nestedmlm"))


def _download(name: str, remote: Remote) -> Path:
    """Fetch a file into the user's cache and check it; a file with another hash is refused."""
    import pooch

    try:
        path = pooch.retrieve(
            remote.url,
            known_hash=f"sha256:{remote.sha256}",
            fname=f"{name}.csv",
            path=_cache_folder(),
        )
    except (OSError, ValueError) as error:  # requests' errors are OSErrors; a wrong hash ValueError
        raise DatasetError(
            f"The data set {name!r} is not shipped and could not be downloaded from {remote.url} "
            f"({type(error).__name__}). Save the file as {name}.csv in a folder of your own and "
            f"set the environment variable {DATA_VARIABLE} to that folder."
        ) from error
    return Path(path)


def _unknown_name(name: str) -> str:
    known = list_datasets()
    folded = {other.casefold(): other for other in known}
    close = difflib.get_close_matches(name.casefold(), folded, n=1)
    hint = f" Did you mean {folded[close[0]]!r}?" if close else ""
    return (
        f"Unknown data set {name!r}.{hint} Known: {', '.join(known)}. Other files can be read "
        f"from a folder named by the environment variable {DATA_VARIABLE}."
    )
