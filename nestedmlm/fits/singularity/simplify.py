"""Refitting along the recommendations of a diagnosis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from nestedmlm.arguments import check_choice
from nestedmlm.fits.model_comparison import compare_models
from nestedmlm.fits.plain_only import refuse_residuals
from nestedmlm.fits.reduced_fit import fit_like
from nestedmlm.fits.singularity.diagnose import diagnose
from nestedmlm.fits.singularity.diagnosis import Diagnosis, Recommendation
from nestedmlm.notebook import said_by_result
from nestedmlm.views.anova import AnovaResult
from nestedmlm.views.loo_comparison import LooComparison, compare_group_loos
from nestedmlm.views.render.blocks import Block, Text
from nestedmlm.views.render.view import View, Viewable, blank

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit

MAX_STEPS = 25  # of simplification, one after the other


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Path(Viewable):
    """Fits from a singular model to one that is not singular.

    Attributes
    ----------
    fits : tuple of LmerFit
        The first is where the path began.
    diagnoses : tuple of Diagnosis
        One for each fit.
    taken : tuple of Recommendation
        The steps between them: one less than fits.
    comparison : AnovaResult, LooComparison or None
        Of the fits, by likelihood ratio tests or predictions of new groups; None where there is
        only one.
    """

    fits: tuple[LmerFit, ...]
    diagnoses: tuple[Diagnosis, ...]
    taken: tuple[Recommendation, ...]
    comparison: AnovaResult | LooComparison | None

    @property
    def final(self) -> LmerFit:
        """The last fit."""
        return self.fits[-1]

    @property
    def formulas(self) -> tuple[str, ...]:
        """Formulas of the fits, the steps in their short form."""
        return (str(self.fits[0].formula), *(step.formula for step in self.taken))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the fits in tables."""
        return tuple(_name(i) for i in range(len(self.fits)))

    @property
    def table(self) -> pd.DataFrame:
        """One row per fit: formula, criterion, number of parameters, what was found."""
        return pd.DataFrame(
            {
                "formula": self.formulas,
                "criterion": [fit.criterion for fit in self.fits],
                "npar": [fit.npar for fit in self.fits],
                "singular": [d.singular for d in self.diagnoses],
                "finding": [_findings(d) for d in self.diagnoses],
            },
            index=pd.Index(self.names),
        )

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The path and, where models were compared, the comparison."""
        found = {"path": self.table}
        return found if self.comparison is None else {**found, **self.comparison.tables}

    def view(self) -> View:
        """Build the document."""
        blocks: list[Block] = [Text(("Simplification path",), role="title")]
        changes = ((), *((f"    {step.change}",) for step in self.taken))
        rows = zip(self.names, self.formulas, changes, self.diagnoses, strict=True)
        for name, formula, change, diagnosis in rows:
            found = [f"{t.name}: {t.finding}" for t in diagnosis.terms if t.collapse.singular]
            verdict = [f"    singular; {f}" for f in found]
            verdict += [f"    {one.message}" for one in diagnosis.confounded]
            verdict = verdict or ["    not singular"]
            blocks.append(Text((f"{name}: {formula}", *change, *verdict)))
        blocks += [blank(), Text(tuple(_conclusion(self).split("\n")))]
        if self.comparison is None:
            return View(tuple(blocks))
        return View((*blocks, blank(), *self.comparison.view().blocks))


def simplify(
    fit: LmerFit,
    *,
    max_steps: int = MAX_STEPS,
    criterion: str = "lrt",
    group: str | None = None,
) -> Path:
    """Fit the models that `diagnose` recommends until one is not singular.

    Parameters
    ----------
    max_steps : int
        Give up after so many refits.
    criterion : {"lrt", "elpd"}
        How the models are compared: by likelihood ratio tests, or by their predictions of new
        groups, each group left out and predicted by the others.
    group : str, optional
        Of ``"elpd"``: the grouping factor, or another column, whose groups are predicted; by
        default the factor that contains all others.

    Returns
    -------
    Path
        A view of the models and their comparison. It ends early where nothing simpler is
        recommended or no random effects would be left.

    Raises
    ------
    OptionError
        For an unknown criterion, and where it predicts groups if no factor contains all others.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("angle ~ temp + (temp | replicate)", nm.load_dataset("cake"))
    >>> fit.simplify().final.formula
    'angle ~ temp + ((1 | replicate) + (0 + temp | replicate))'
    >>> fit.simplify(criterion="elpd").comparison.table[["elpd_diff", "diff_std_error"]].round(2)
            elpd_diff  diff_std_error
    step 1       0.00            0.00
    start       -0.67            0.84
    """
    check_choice(criterion, "criterion", ("lrt", "elpd"))
    if criterion == "elpd":
        refuse_residuals(fit, "simplify with criterion='elpd'", "criterion='lrt' is")
    fits, diagnoses, taken = [fit], [diagnose(fit)], list[Recommendation]()
    while _troubled(diagnoses[-1]) and len(taken) < max_steps:
        step = next(iter(diagnoses[-1].next), None)
        if step is None or not step.mixed:
            break
        with said_by_result():
            fits.append(fit_like(fit, fit.model.with_formula(step.formula), REML=fit.REML))
        diagnoses.append(diagnose(fits[-1]))
        taken.append(step)
    names = [_name(i) for i in range(len(fits))]
    comparison: AnovaResult | LooComparison | None = None
    if len(fits) > 1 and criterion == "elpd":
        comparison = compare_group_loos(fits, names, group=group)
    elif len(fits) > 1:
        comparison = compare_models(fits, names=names)
    return Path(
        fits=tuple(fits), diagnoses=tuple(diagnoses), taken=tuple(taken), comparison=comparison
    )


def _troubled(diagnosis: Diagnosis) -> bool:
    return diagnosis.singular or bool(diagnosis.same)


def _name(number: int) -> str:
    return f"step {number}" if number else "start"


def _findings(diagnosis: Diagnosis) -> str:
    found = [f"{t.name}: {t.finding}" for t in diagnosis.terms if t.collapse.singular]
    return "; ".join([*found, *(one.message for one in diagnosis.confounded)])


def _conclusion(path: Path) -> str:
    if not _troubled(path.diagnoses[-1]):
        restarting = path.diagnoses[-1].restarting
        return "\n".join((f"{path.names[-1]} is not singular.", *restarting))
    step = next(iter(path.diagnoses[-1].next), None)
    if step is None:
        return f"{path.names[-1]} is still singular, and nothing simpler is recommended."
    if not step.mixed:
        rest = path.diagnoses[-1].rest
        return f"{path.names[-1]} is still singular; what remains is {rest}: {step.formula}"
    return f"{path.names[-1]} is still singular: the limit on the number of steps was reached."
