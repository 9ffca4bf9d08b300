"""Posteriors on disk: the DataTree, and beside it what is needed to predict.

No file is read that could run code: what stands beside the draws is JSON and arrays
(`nestedmlm.posterior.records`).
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nestedmlm.errors import DataError, OptionError
from nestedmlm.posterior.records import read_records, write_records

GROUP, TEXT, PICKLED = "nestedmlm", "records", "pickled"
_NETCDF = (".nc", ".nc4", ".h5")
_METADATA = (".zarray", ".zmetadata", "zarr.json")
_PARTS = {".zgroup", ".zattrs", *_METADATA}  # files that tell a Zarr folder from another
_ENGINES = {"h5netcdf": ("h5netcdf", "h5py"), "netcdf4": ("netCDF4",)}


def save(data: Any, extra: Mapping[str, Any], path: str | Path) -> Path:
    """Write a DataTree, and `extra` as JSON and arrays in a group of its own.

    Parameters
    ----------
    data : DataTree
    extra : mapping of str to record or plain value
        See `nestedmlm.posterior.records.write_records`.
    path : path
        ``.nc`` writes NetCDF (one file), anything else a Zarr folder. A file or Zarr folder that is
        there is replaced.

    Raises
    ------
    OptionError
        If nothing installed can write NetCDF, or a Zarr folder would replace what is none.
    DataError
        If `extra` holds what is no plain value.
    """
    from xarray import Dataset, DataTree

    path = Path(path)
    write = _writer(path)
    text, arrays = write_records(extra)
    variables = {
        name: ([f"{name}_dim_{i}" for i in range(array.ndim)], np.ascontiguousarray(array))
        for name, array in arrays.items()
    }
    bytes_ = np.frombuffer(text.encode(), dtype=np.uint8)
    out = data.copy()
    out[GROUP] = DataTree(Dataset({TEXT: ("byte", bytes_), **variables}))
    write(_storable(out), path)
    return path


def load(
    path: str | Path, functions: Mapping[str, Callable[..., Any]] | None = None
) -> tuple[Any, dict[str, Any]]:
    """Read what `save` wrote, into memory; nothing in the file is run.

    Parameters
    ----------
    path : path
    functions : mapping of str to callable, optional
        The caller's functions that the file only names.

    Returns
    -------
    data : DataTree
    extra : dict

    Raises
    ------
    DataError
        If there is no such file, if it was not written by `save`, or if it holds a pickle, which
        could run code.
    OptionError
        If nothing installed can read NetCDF, or for functions that the file does not name.
    """
    from xarray import open_datatree

    path = Path(path)
    if not path.exists():
        raise DataError(f"no file {path}")
    netcdf = path.suffix in _NETCDF
    if not netcdf:
        _check_zarr(path)
    try:
        with open_datatree(path, engine=_netcdf_engine() if netcdf else "zarr") as opened:
            data = opened.load()
    except (OSError, ValueError, KeyError) as problem:
        raise DataError(f"{path} holds no posterior: {problem}") from problem
    if GROUP not in data.children:
        raise DataError(f"{path} was not written by BayesFit.save: it has no group {GROUP!r}")
    own = data[GROUP].to_dataset()
    if TEXT not in own:
        raise DataError(_no_records(path, PICKLED in own))
    arrays = {str(name): own[name].values for name in own.data_vars if name != TEXT}
    text = np.asarray(own[TEXT].values, dtype=np.uint8).tobytes().decode(errors="replace")
    extra = read_records(text, arrays, functions or {})
    kept = data.copy()
    del kept[GROUP]
    return kept, extra


def _no_records(path: Path, pickled: bool) -> str:
    if not pickled:
        return f"{path} was not written by BayesFit.save: its group {GROUP!r} has no {TEXT!r}"
    return (
        f"{path} was saved by an earlier version, with a pickle inside; pickles run code when they "
        "are read, so it is not read. Load it with that version if you trust it, and save its "
        "draws (fit.data.to_zarr) for BayesFit.from_pymc; ArviZ reads the draws as they are"
    )


def _check_zarr(path: Path) -> None:
    """Refuse a Zarr folder whose arrays are pickled: Zarr would unpickle them by itself."""
    if not path.is_dir():
        raise DataError(f"{path} is no Zarr folder; NetCDF files end in {', '.join(_NETCDF)}")
    for found in path.rglob("*"):
        if found.is_symlink():
            raise DataError(f"{path} is not read: {found} is a link to another place")
        if found.name not in _METADATA:
            continue
        try:
            content = json.loads(found.read_text(encoding="utf-8"))
        except (OSError, ValueError) as problem:
            raise DataError(f"{path} holds no posterior: {found} is no JSON") from problem
        if "pickle" in _codecs(content):
            raise DataError(
                f"{path} holds arrays of pickles, which run code when they are read: not read"
            )


def _codecs(content: Any) -> Iterator[str]:
    """The names of all codecs in the metadata of a Zarr folder."""
    if isinstance(content, dict):
        for key, value in content.items():
            if key in ("id", "name", "codec") and isinstance(value, str):
                yield value.rpartition(".")[2].casefold()
            yield from _codecs(value)
    elif isinstance(content, list):
        for item in content:
            yield from _codecs(item)


def _writer(path: Path) -> Callable[[Any, Path], None]:
    if path.suffix not in _NETCDF:
        return _write_zarr
    engine = _netcdf_engine()
    return lambda data, where: data.to_netcdf(where, engine=engine)


def _write_zarr(data: Any, path: Path) -> None:
    _refuse_to_replace(path)
    # format 2: its consolidated metadata are specified, format 3 has none that all can read
    data.to_zarr(path, mode="w", zarr_format=2)


def _refuse_to_replace(path: Path) -> None:
    """Refuse a place whose contents are no Zarr folder's: writing one deletes what is there."""
    here = Path.cwd().resolve()
    if path.resolve() in (here, *here.parents):
        raise OptionError(
            f"path={str(path)!r} is the folder you work in, or holds it; a Zarr folder has a name "
            'of its own: "draws.zarr"'
        )
    if path.is_file():
        raise OptionError(f"{path} is a file, which a Zarr folder does not replace")
    foreign = (
        [found.name for found in path.iterdir() if not _of_zarr(found)] if path.is_dir() else []
    )
    if foreign:
        raise OptionError(
            f"{path} is a folder with other things in it ({', '.join(sorted(foreign)[:3])}), which "
            "would be deleted: give the Zarr folder a name of its own"
        )


def _of_zarr(found: Path) -> bool:
    """Whether something in a folder is part of a Zarr folder: its metadata, a group, an array."""
    if found.is_dir() and not found.is_symlink():
        return any((found / name).is_file() for name in _PARTS)
    return found.name in _PARTS


def _netcdf_engine() -> str:
    for engine, modules in _ENGINES.items():
        if all(importlib.util.find_spec(module) is not None for module in modules):
            return engine
    raise OptionError(
        "NetCDF needs h5netcdf and h5py: pip install h5netcdf h5py; a path that does not end "
        "in .nc is written as Zarr, which needs nothing more"
    )


def _storable(data: Any) -> Any:
    """Coordinates of mixed types as text: files know columns of one type only."""
    return data.map_over_datasets(_plain_coordinates)


def _plain_coordinates(dataset: Any) -> Any:
    mixed = {
        name: (coord.dims, coord.values.astype(str))
        for name, coord in dataset.coords.items()
        if coord.dtype == object
    }
    return dataset.assign_coords(mixed) if mixed else dataset
