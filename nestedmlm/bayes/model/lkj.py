"""`LKJ`: the prior of a correlation matrix."""

from __future__ import annotations

from nestedmlm.bayes.model.distributions import Prior
from nestedmlm.bayes.model.prior_checks import check_prior


def LKJ(eta: float) -> Prior:
    """Prior of a correlation matrix: density in proportion to its determinant to the eta - 1.

    Short for ``Prior("LKJ", eta=eta)``. In the models made here the matrix is sampled by canonical
    partial correlations, each ``2 Beta(a, a) - 1``.

    Parameters
    ----------
    eta : float
        Positive. 1: uniform over matrices; larger: correlations near -1 and 1 less likely; the
        default of the models made here is 2.

    Returns
    -------
    Prior

    Raises
    ------
    OptionError
        If eta is not one positive finite number.

    References
    ----------
    Lewandowski, Kurowicka & Joe (2009), Journal of Multivariate Analysis 100: 1989-2001.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> model = nm.Model("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> model.priors.replace({"correlations": nm.LKJ(4)})["Subject_corr"].prior
    LKJ(eta=4)
    """
    prior = Prior("LKJ", eta=eta)
    check_prior("a correlation matrix", prior, "correlation matrix")
    return prior
