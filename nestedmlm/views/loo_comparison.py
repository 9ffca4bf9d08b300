"""Models side by side by how well they predict new groups, whatever they were fitted by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from nestedmlm.errors import ModelComparisonError, OptionError
from nestedmlm.inference.rows.group_prediction import outer_factors
from nestedmlm.views.loo import sum_error
from nestedmlm.views.posterior import cells
from nestedmlm.views.render.view import View, Viewable, note


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class LooComparison(Viewable):
    """Models compared by leave-one-group-out, the best predictions first.

    Attributes
    ----------
    table : DataFrame
        By model: ``engine``; ``elpd_diff`` and ``diff_std_error``, the difference of expected log
        predictive densities of new groups to the first model and its standard error over the
        groups; ``elpd, std_error``; ``rmse`` of predicted rows (of fits by likelihood); ``khat``,
        the largest Pareto k (of posteriors).
    groups : DataFrame
        Log predictive density of each group, a column for each model in the order of the table.
    group : str
        What was left out.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> data = nm.load_dataset("sleepstudy")
    >>> slopes = nm.lmer("Reaction ~ Days + (Days | Subject)", data)
    >>> intercepts = nm.lmer("Reaction ~ Days + (1 | Subject)", data)
    >>> found = nm.compare(intercepts, slopes)
    >>> found.table["elpd_diff"].round(2).to_dict()
    {'slopes': 0.0, 'intercepts': -15.79}
    >>> found.groups.shape
    (18, 2)
    """

    table: pd.DataFrame
    groups: pd.DataFrame
    group: str

    @property
    def best(self) -> str:
        """The model with the largest elpd."""
        return str(self.table.index[0])

    def view(self) -> View:
        """Build the document."""
        two = cells.fixed_point(2)
        columns = {
            "engine": ("", cells.text), "elpd_diff": ("elpd diff", two),
            "diff_std_error": ("SE diff", two), "elpd": ("elpd", two), "std_error": ("SE", two),
            "rmse": ("rmse", cells.significant), "khat": ("k-hat", two),
        }  # fmt: skip
        rows = [str(name) for name in self.table.index]
        lines = [
            f"Each of {len(self.groups)} {self.group} predicted by the others, random effects "
            "integrated out; differences to the first model."
        ]
        if self.table["engine"].eq("posterior").nunique() == 2:
            lines.append(
                "A posterior's densities count the uncertainty of covariances, those of REML and "
                "ML that of fixed effects only."
            )
        table = cells.frame_table("comparison", self.table, columns, rows=rows)
        return View((table, note(*lines)))


def compare_group_loos(
    fits: Sequence[Any],
    names: Sequence[str],
    *,
    group: str | None = None,
    refit: bool = False,
    seed: int | None = None,
    progress: bool = False,
) -> LooComparison:
    """Compare fits of either engine by leave-one-group-out.

    Parameters
    ----------
    fits : sequence of LmerFit, GlmerFit or BayesFit
    names : sequence of str
    group : str, optional
        By default the factor with the fewest levels that contains all others of its model.
    refit : bool
        Of posteriors: sample again without a group whose Pareto k is too large.
    seed : int, optional
        Of that.
    progress : bool

    Raises
    ------
    ModelComparisonError
        If they are not of the same response.
    OptionError
        If no model has a factor that contains all others.
    """
    check_responses(fits, names)
    chosen = common_group(fits) if group is None else group
    found, columns = {}, {}
    for name, fit in zip(names, fits, strict=True):
        columns[name], found[name] = _numbers(fit, chosen, refit, seed, progress)
    return compare_elpd(columns, found, chosen)


def compare_elpd(
    columns: Mapping[str, pd.Series], found: Mapping[str, dict[str, Any]], group: str
) -> LooComparison:
    """Put log predictive densities of the same groups side by side.

    Parameters
    ----------
    columns : mapping of str to Series
        By model, by group.
    found : mapping of str to dict
        By model: ``engine``, and ``rmse`` or ``khat``.
    group : str
        What was left out.

    Raises
    ------
    ModelComparisonError
        If the groups differ.
    """
    first = next(iter(columns))
    for name, values in columns.items():
        if set(values.index) != set(columns[first].index):
            raise ModelComparisonError(f"{name} and {first} have different groups of {group}")
    groups = pd.DataFrame(columns).rename_axis(index=group)
    order = groups.sum().sort_values(ascending=False, kind="stable").index
    groups = groups[list(order)]
    away = groups.sub(groups.iloc[:, 0], axis=0)
    numbers = pd.DataFrame(
        {
            "elpd_diff": away.sum(), "diff_std_error": sum_error(away),
            "elpd": groups.sum(), "std_error": sum_error(groups),
        }
    )  # fmt: skip
    own = pd.DataFrame(dict(found)).T.reindex(index=order, columns=["engine", "rmse", "khat"])
    table = numbers.join(own.astype({"rmse": float, "khat": float}))
    table.insert(0, "engine", table.pop("engine"))
    return LooComparison(table=table, groups=groups, group=group)


def check_responses(fits: Sequence[Any], names: Sequence[str]) -> None:
    """Refuse fits of different responses (`ModelComparisonError`)."""
    first = fits[0].design
    for name, fit in zip(names, fits, strict=True):
        if fit.design.n != first.n or not np.array_equal(fit.design.y, first.y):
            raise ModelComparisonError(f"{name} is of another response than {names[0]}")


def common_group(fits: Sequence[Any]) -> str:
    """The coarsest of the factors that contain all others of their models.

    Raises
    ------
    OptionError
        If there is none.
    """
    levels = {
        name: len(factor.levels)
        for fit in fits
        for name in outer_factors(fit.design)[:1]
        for factor in fit.design.factors
        if factor.name == name
    }
    if not levels:
        raise OptionError(
            "no grouping factor of these models contains all others: say which groups are new "
            "with group="
        )
    return min(levels, key=lambda name: levels[name])


def _numbers(
    fit: Any, group: str, refit: bool, seed: int | None, progress: bool
) -> tuple[pd.Series, dict[str, Any]]:
    """Log predictive densities by group, and what else is told of a model."""
    if fit.engine == "posterior":
        loo = fit.loo("group", group=group, refit=refit, seed=seed, progress=progress)
        values = loo.elpd_i
        series = pd.Series(values.values, index=values.coords[values.dims[0]].values.astype(str))
        return series, {"engine": fit.engine, "khat": float(loo.pareto_k.max())}
    loo = fit.loo("group", group=group, progress=progress)
    series = loo.to_frame()["elpd"].rename(index=str)
    return series, {"engine": fit.engine, "rmse": loo.rmse}
