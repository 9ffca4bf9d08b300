"""`Emmeans.joint_test`: the rows of a table of means or contrasts, tested together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestedmlm.arguments import checked
from nestedmlm.errors import OptionError
from nestedmlm.inference.means.joint_tests import rows_test
from nestedmlm.inference.means.simultaneous import split_rows
from nestedmlm.posterior.linear_functions import CoefficientDraws
from nestedmlm.views.joint_tests import JointTests

if TYPE_CHECKING:
    from nestedmlm.fits.means.marginal_means import Emmeans

OF_A_POSTERIOR = (
    "a posterior has no F tests: contrasts of its means have probabilities, and comparisons of "
    "models say what a term is worth (nm.loo_compare)"
)


@checked
def joint_test(means: Emmeans) -> JointTests:
    """Test the rows of each family together, against what `test` says: R's ``test(joint=TRUE)``.

    Returns
    -------
    JointTests

    Raises
    ------
    OptionError
        For a posterior, for a side or a margin, which joint tests do not have, and where no
        coefficients fulfil the hypothesis.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("angle ~ recipe + temp + (1 | recipe:replicate)", nm.load_dataset("cake"))
    >>> nm.emmeans(fit, "recipe").pairs().joint_test()
     df1 df2 F.ratio p.value note
       2  42   0.249  0.7809  d
    <BLANKLINE>
    Degrees-of-freedom method: kenward-roger
    d: df1 reduced due to linear dependence
    """
    if isinstance(means.ddf, CoefficientDraws):
        raise OptionError(OF_A_POSTERIOR)
    hypothesis = means.hypothesis
    if hypothesis.side or hypothesis.delta:
        raise OptionError("rows are tested together on all sides: not with side= or delta=")
    null = -means.offset
    for rows in split_rows(means.labels, means.by):
        null[rows] += hypothesis.values(len(rows))
    table = rows_test(means.labels, means.L, null, means.ddf, means.by)
    return JointTests(table=table, by=means.by, method=means.ddf.method, notes=means.ddf.notes)
