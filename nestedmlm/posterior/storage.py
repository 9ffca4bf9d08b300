"""Posteriors on disk: the DataTree, and beside it what is needed to predict."""

from __future__ import annotations

import importlib.util
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nestedmlm.errors import DataError, OptionError

GROUP, VARIABLE = "nestedmlm", "pickled"
_NETCDF = (".nc", ".nc4", ".h5")
_ENGINES = {"h5netcdf": ("h5netcdf", "h5py"), "netcdf4": ("netCDF4",)}


def save(data: Any, extra: Mapping[str, Any], path: str | Path) -> Path:
    """Write a DataTree, and `extra` pickled in a group of its own.

    Parameters
    ----------
    data : DataTree
    extra : mapping
        Picklable.
    path : path
        ``.nc`` writes NetCDF (one file), anything else a Zarr folder. What is there is replaced.

    Raises
    ------
    OptionError
        If nothing installed can write NetCDF.
    DataError
        If `extra` cannot be pickled.
    """
    import cloudpickle
    from xarray import Dataset, DataTree

    path = Path(path)
    write = _writer(path)
    try:
        # cloudpickle takes functions that were typed in a notebook, too
        bytes_ = np.frombuffer(cloudpickle.dumps(dict(extra)), dtype=np.uint8)
    except (pickle.PicklingError, AttributeError, TypeError) as problem:
        raise DataError(f"this fit cannot be saved, part of it cannot be pickled: {problem}") from (
            problem
        )
    out = data.copy()
    out[GROUP] = DataTree(Dataset({VARIABLE: ("byte", bytes_)}))
    write(_storable(out), path)
    return path


def load(path: str | Path) -> tuple[Any, dict[str, Any]]:
    """Read what `save` wrote, into memory.

    Unpickling can run code: load only files you trust.

    Returns
    -------
    data : DataTree
    extra : dict

    Raises
    ------
    DataError
        If there is no such file, or it was not written by `save`.
    OptionError
        If nothing installed can read NetCDF.
    """
    from xarray import open_datatree

    path = Path(path)
    if not path.exists():
        raise DataError(f"no file {path}")
    engine = _netcdf_engine() if path.suffix in _NETCDF else "zarr"
    try:
        with open_datatree(path, engine=engine) as opened:
            data = opened.load()
    except (OSError, ValueError, KeyError) as problem:
        raise DataError(f"{path} holds no posterior: {problem}") from problem
    if GROUP not in data.children:
        raise DataError(f"{path} was not written by BayesFit.save: it has no group {GROUP!r}")
    bytes_ = np.asarray(data[GROUP][VARIABLE].values, dtype=np.uint8)
    extra = pickle.loads(bytes_.tobytes())
    kept = data.copy()
    del kept[GROUP]
    return kept, extra


def _writer(path: Path) -> Callable[[Any, Path], None]:
    if path.suffix not in _NETCDF:
        return _write_zarr
    engine = _netcdf_engine()
    return lambda data, where: data.to_netcdf(where, engine=engine)


def _write_zarr(data: Any, path: Path) -> None:
    # format 2: its consolidated metadata are specified, format 3 has none that all can read
    data.to_zarr(path, mode="w", zarr_format=2)


def _netcdf_engine() -> str:
    for engine, modules in _ENGINES.items():
        if all(importlib.util.find_spec(module) is not None for module in modules):
            return engine
    raise OptionError(
        "NetCDF needs h5netcdf and h5py: pip install 'nestedmlm[netcdf]'; a path that does not end "
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
