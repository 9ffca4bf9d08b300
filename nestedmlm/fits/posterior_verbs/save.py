"""A posterior on disk."""

from __future__ import annotations

from pathlib import Path

from nestedmlm.arguments import checked
from nestedmlm.fits.bayes_estimates import BayesEstimates
from nestedmlm.posterior import storage

# what is saved beside the draws; the PyMC model is built anew
_FIELDS = (
    "design", "priors", "run", "data_name", "weights_name", "offset_name", "weights_column",
    "messages",
)  # fmt: skip


@checked
def save(fit: BayesEstimates, path: str | Path) -> Path:
    """Write the draws and what is needed to predict; `nestedmlm.load_bayesfit` reads it back.

    Parameters
    ----------
    path : path
        ``.nc`` writes one NetCDF file (needs h5netcdf), anything else a Zarr folder. Other
        programs can read the draws; the design, priors and run stand in a group ``nestedmlm`` as
        JSON and arrays, and nothing in the file is run when it is read.

    Returns
    -------
    Path

    Raises
    ------
    OptionError
        If nothing installed can write NetCDF, and for a folder that a Zarr folder would replace
        with other things in it, or that is the one you work in: nothing is written or deleted.
    DataError
        If the formula uses an object of yours that is no number, text, table or function.

    Notes
    -----
    Of functions of yours (in the formula, or as priors) and of covariance structures that you
    registered a file holds the names alone: `load_bayesfit` takes the functions, and structures
    have to be registered before it is called. A pickle of the fit holds more, and runs code when
    it is read. A PyMC model of yours is not saved.

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
    return storage.save(fit.data, extra, path)
