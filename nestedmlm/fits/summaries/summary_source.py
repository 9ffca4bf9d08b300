"""`SummarySource`: sums over rows as the source of a model's design."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn

from nestedmlm.design.design import Design
from nestedmlm.design.frame.environment import Environment
from nestedmlm.errors import RowsNotHereError
from nestedmlm.fits.model_source import ModelOptions
from nestedmlm.formula import Formula
from nestedmlm.statistics.cells.cell_design import cell_design
from nestedmlm.statistics.cells.predictor_tally import PredictorTally

if TYPE_CHECKING:
    from nestedmlm.fits.summaries.data_summary import Summary


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SummarySource:
    """Sums over rows in the place of data; what `model_source.Source` is for data in memory.

    Attributes
    ----------
    summary : Summary
    options : ModelOptions
    """

    summary: Summary
    options: ModelOptions

    @property
    def env(self) -> Environment:
        """The caller's variables that the formula uses."""
        return self.summary.plan.reading.env

    @property
    def data(self) -> NoReturn:
        """There are none.

        Raises
        ------
        RowsNotHereError
        """
        self._refuse("the data")

    @property
    def predictors(self) -> PredictorTally:
        """What the sums tell of the predictors' own columns.

        Raises
        ------
        RowsNotHereError
            Of sums that were made without it, or shared without rare combinations.
        """
        tally = self.summary.cells.tally.predictors
        if tally is None:
            self._refuse("which combinations of the factors' levels occur")
        return tally

    @property
    def data_name(self) -> str:
        """For print: where the rows were, and how many."""
        return str(self.summary)

    def design(self, formula: Formula) -> Design:
        """Make the design of a formula whose columns were summed."""
        return cell_design(
            self.summary.plan,
            self.summary.cells,
            formula,
            contrasts=self.options.contrasts,
            na_action=self.options.na_action,
        )

    def linear_design(self, formula: Formula) -> NoReturn:
        """Refuse to make a design without groups.

        Raises
        ------
        RowsNotHereError
        """
        self._refuse("a linear model without groups")

    def reduced(self, formula: Formula) -> SummarySource:
        """Keep what applies to a formula that has fewer terms."""
        if not self.options.contrasts:
            return self
        left = {variable.name for variable in formula.fixed_terms(()).variables}
        contrasts = {k: how for k, how in self.options.contrasts.items() if k in left}
        return replace(self, options=replace(self.options, contrasts=contrasts))

    def with_data(self, data: Any) -> NoReturn:
        """Refuse other data: they are another summary.

        Raises
        ------
        RowsNotHereError
        """
        self._refuse("a fit to other data in this way")

    def _refuse(self, wanted: str) -> NoReturn:
        raise RowsNotHereError(
            f"{wanted} is a matter of rows, and this model was made of sums over them "
            f"({self.data_name}); fit data that are in memory with nm.lmer, or summarise others "
            "with nm.summarise"
        )
