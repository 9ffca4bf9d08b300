"""A posterior on disk."""

from __future__ import annotations

from pathlib import Path

from nestedmlm.fits.bayes_estimates import BayesEstimates
from nestedmlm.posterior import storage

# what is saved beside the draws; the PyMC model is built anew
_FIELDS = (
    "design", "priors", "run", "data_name", "weights_name", "offset_name", "weights_column",
    "messages",
)  # fmt: skip


def save(fit: BayesEstimates, path: str | Path) -> Path:
    """Write the draws and what is needed to predict; `nestedmlm.load_bayesfit` reads it back.

    Parameters
    ----------
    path : path
        ``.nc`` writes one NetCDF file (needs h5netcdf), anything else a Zarr folder. Other
        programs can read the draws; the design is pickled in a group ``nestedmlm``.

    Returns
    -------
    Path

    Raises
    ------
    OptionError
        If nothing installed can write NetCDF.
    DataError
        If a part of the fit cannot be pickled.

    Examples
    --------
    >>> import tempfile
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> posterior = fit.sample(sampler="psis", draws=250, seed=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     print(posterior.save(f"{folder}/dyestuff.zarr").name)
    dyestuff.zarr
    """
    extra = {name: getattr(fit, name) for name in _FIELDS}
    # a PriorSet holds a mapping proxy, which cannot be pickled
    extra["priors"] = None if fit.priors is None else dict(fit.priors)
    return storage.save(fit.data, extra, path)
