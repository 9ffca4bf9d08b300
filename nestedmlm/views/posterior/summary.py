"""The summary of a `BayesFit`: posterior numbers in lme4's layout."""

from __future__ import annotations

import pandas as pd

from nestedmlm.posterior.summaries import ESTIMATES
from nestedmlm.views import fit_blocks
from nestedmlm.views.posterior import cells
from nestedmlm.views.posterior.varcorr import varcorr_block
from nestedmlm.views.protocols import PrintedPosterior
from nestedmlm.views.render.blocks import Block, Table, Text
from nestedmlm.views.render.view import View, blank

TITLE = "Linear mixed model, draws from the posterior"
GENERALIZED_TITLE = "Generalized linear mixed model, draws from the posterior"
_FORMS = {
    "marginal": "random effects integrated out, then drawn given the rest",
    "hierarchical": "random effects sampled with the rest",
    "laplace": "APPROXIMATE: random effects integrated out by the Laplace approximation",
    "weighted": "random effects integrated out by importance weights of each group",
}


def summary_view(fit: PrintedPosterior, table: pd.DataFrame, level: float) -> View:
    """Build the summary.

    Parameters
    ----------
    fit : BayesFit
    table : DataFrame
        Its parameter table.
    level : float
        Probability inside the intervals.

    Returns
    -------
    View
        With tables ``varcorr`` and ``coefficients``.
    """
    fixed = table[table["kind"] == "fixed"]
    blocks: list[Block] = [*_title(fit), *fit_blocks.call(fit), blank()]
    blocks += [Text(sampling_lines(fit, table)), blank()]
    blocks += [
        Text(("Random effects:",), role="heading"),
        varcorr_block(table[table["kind"] != "fixed"], level),
    ]
    if fit.design.residual is not None:
        blocks.append(Text((f"Residuals: {', '.join(fit.design.residual.arguments.texts)}",)))
    blocks.append(fit_blocks.groups(fit))
    if len(fixed):
        heading = Text(("Fixed effects:",), role="heading")
        blocks += [blank(), heading, fixed_block(fixed, level)]
    return View((*blocks, *_notes(fit)), main="coefficients")


def _title(fit: PrintedPosterior) -> list[Block]:
    """First line; then the family, where there is one."""
    family = fit.design.family
    if family is None:
        return [Text((TITLE,), role="title")]
    return [
        Text((GENERALIZED_TITLE,), role="title"),
        Text((f" Family: {family.name}  ( {family.link.name} )",)),
    ]


def fixed_block(table: pd.DataFrame, level: float) -> Table:
    """Lay out the fixed effects under R's names."""
    lower, upper = cells.level_names(level)
    columns = {
        "estimate": ("Estimate", cells.as_is),
        "std_error": ("Post.SD", cells.as_is),
        "conf_low": (lower, cells.as_is),
        "conf_high": (upper, cells.as_is),
        "r_hat": ("R-hat", cells.fixed_point(2)),
        "ess_bulk": ("ESS", cells.whole),
    }
    shown = cells.by_spread(table, ESTIMATES)
    return cells.frame_table("coefficients", table, columns, rows=list(table["var1"]), shown=shown)


def sampling_lines(fit: PrintedPosterior, table: pd.DataFrame) -> tuple[str, ...]:
    """Say how the draws were made and whether they can be trusted."""
    run = fit.run
    chains = "1 chain" if fit.n_chains == 1 else f"{fit.n_chains} chains"
    made = f"{chains} of {fit.n_draws} draws by {run.sampler}"
    if run.tune:
        made += f", after {run.tune} of warm-up"
    checks = []
    if run.khat is not None:
        checks.append(f"Pareto k {run.khat:.2f}")
    if fit.divergences is not None:
        checks.append(f"divergences: {fit.divergences}")
    if table["r_hat"].notna().any():
        checks.append(f"largest R-hat {table['r_hat'].max():.2f}")
    checks.append(f"smallest ESS {table['ess_bulk'].min():.0f}")
    return f"{made}; {_FORMS[run.form]}", "; ".join(checks)


def _notes(fit: PrintedPosterior) -> list[Block]:
    return [Text(fit.messages, role="note")] if fit.messages else []
