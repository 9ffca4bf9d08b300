"""`fit.elimination()`: the order in which random effects are eliminated, and its cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestedmlm.likelihood.block_sizes import block_sizes
from nestedmlm.views.elimination import Elimination

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit


def elimination(fit: LmerFit) -> Elimination:
    """Describe how the random effects are eliminated: chain, dense block, sizes, memory.

    Grouping factors that are nested in one another form a chain, whose levels are eliminated one
    after the other at a cost linear in their number. Whatever is crossed with the chain goes into
    one dense block, whose memory grows with the square of its columns.

    Returns
    -------
    Elimination
        A view; ``.to_frame()`` has a row for each grouping factor: ``block`` (``"chain"`` or
        ``"dense"``), ``levels``, ``columns`` of each level, those ``above`` it (of the coarser
        factors it lies in), and how many columns of the dense block it has ``met`` on average.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", nm.load_dataset("Penicillin"))
    >>> fit.elimination()
    Elimination of the random effects
    Formula: diameter ~ 1 + (1 | plate) + (1 | sample)
    <BLANKLINE>
           Block Levels Columns Above Met
    plate  chain     24       1     0 6.0
    sample dense      6       1     0
    <BLANKLINE>
    Chain: plate, level by level.
    The crossed grouping factors (sample) need a dense block of 6 x 6 numbers, about 1.4 KiB in all.
    Memory: 6.4 KiB of sums of products, 5.3 KiB for an evaluation.
    """
    return Elimination(numbers=block_sizes(fit.solution, fit.design), formula=fit.formula)
