"""The fit of a changed formula."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit


def update(fit: LmerFit, formula: str) -> LmerFit:
    """Refit with a changed formula, ``.`` standing for what was there.

    Parameters
    ----------
    formula : str
        For example ``". ~ . + x"`` or ``". ~ . - (0 + Days | Subject)"``.

    Returns
    -------
    LmerFit
        By the same criterion and optimizer, with the same penalty.

    Raises
    ------
    FormulaError
        For a formula that cannot be read, with its place.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> fit.update(". ~ . + I(Days^2)").fixef.round(2).to_dict()
    {'(Intercept)': 255.45, 'Days': 7.43, 'I(Days^2)': 0.34}
    """
    how, model = fit.core.approximation, fit.model.update(formula)
    if how is not None:
        return model.fit(nAGQ=how.nAGQ, information=how.information, penalty=fit.penalty)
    return model.fit(REML=fit.REML, control=fit.certificate.control, penalty=fit.penalty)
