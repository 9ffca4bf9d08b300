"""`load_bayesfit`: a posterior read back from disk."""

from __future__ import annotations

from pathlib import Path

from nestedmlm.bayes.model.priors import PriorSet
from nestedmlm.fits.bayes_fit import BayesFit
from nestedmlm.posterior import storage


def load_bayesfit(path: str | Path) -> BayesFit:
    """Read a fit that `BayesFit.save` wrote.

    The design is unpickled, which can run code: load only files you trust.

    Parameters
    ----------
    path : path

    Returns
    -------
    BayesFit

    Raises
    ------
    DataError
        If there is no such file, or it holds no fit.

    Examples
    --------
    >>> import tempfile
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> posterior = fit.sample(sampler="psis", draws=250, seed=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = posterior.save(f"{folder}/dyestuff.zarr")
    ...     again = nm.load_bayesfit(path)
    >>> bool((again.fixef == posterior.fixef).all())
    True
    """
    data, extra = storage.load(path)
    rows = extra.pop("priors")
    priors = None if rows is None else PriorSet(rows)
    return BayesFit(data=data, priors=priors, **extra)
