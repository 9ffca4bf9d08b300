"""`load_bayesfit`: a posterior read back from disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nestedmlm.arguments import checked
from nestedmlm.fits.bayes_fit import BayesFit
from nestedmlm.posterior import storage


@checked
def load_bayesfit(
    path: str | Path, *, functions: Mapping[str, Callable[..., Any]] | None = None
) -> BayesFit:
    """Read a fit that `BayesFit.save` wrote; nothing in the file is run.

    Parameters
    ----------
    path : path
    functions : mapping of str to callable, optional
        Functions of yours that the file only names: those of the formula by their names
        (``{"half": half}``), priors by those of their parameters. Without them the fit loads all
        the same, and says what is missing where a function is needed.

    Returns
    -------
    BayesFit

    Raises
    ------
    DataError
        If there is no such file, it holds no fit, or (saved by an earlier version) a pickle; and
        if the model has a covariance structure of yours that is not registered.
    OptionError
        For functions that the file does not name.

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
    data, extra = storage.load(path, functions)
    return BayesFit(data=data, **extra)
