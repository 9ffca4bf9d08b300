"""Blocks that the summary and the repr of a fit have in common."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd

from nestedmlm.design.remarks import RANK_DEFICIENT
from nestedmlm.views.protocols import Described, Printed
from nestedmlm.views.render.blocks import Block, Table, Text
from nestedmlm.views.render.frame_columns import named_frame
from nestedmlm.views.render.layout import WIDTH, fill_lines, formula_pieces
from nestedmlm.views.render.rformat import DIGITS, format_numbers, round_r
from nestedmlm.views.render.view import blank

CLASS = "lmerMod"  # what lme4 calls the class of such a fit; part of the title people know
GENERALIZED_CLASS = "glmerMod"
_QUADRATURE = "Adaptive Gauss-Hermite Quadrature"
_STOPPED = {"lme4": "stopped where lme4 stops"}
_CRITERIA = ("AIC", "BIC", "logLik", "-2*log(L)", "df.resid")
_GENERALIZED_CRITERIA = ("AIC", "BIC", "logLik", "deviance", "df.resid")  # glmer's heading


def title(fit: Printed) -> list[Block]:
    """First line: which criterion the fit minimises; then the family, where there is one."""
    family, how = fit.core.family, fit.core.approximation
    if family is None or how is None:
        return [Text((f"{method_title(fit)} ['{CLASS}']",), role="title")]
    words = "Laplace Approximation" if how.nAGQ == 1 else f"{_QUADRATURE}, nAGQ = {how.nAGQ}"
    first = f"Generalized linear mixed model fit by maximum likelihood ({words})"
    name = family.label_at(fit.core.dispersion)
    return [
        wrapped_title(first, GENERALIZED_CLASS),
        Text((f" Family: {name}  ( {family.link.name} )",)),
    ]


def wrapped_title(first: str, kind: str) -> Text:
    """A title longer than the page, as R wraps it, with the class in brackets."""
    # the class stands without quotes in a title that is longer than the page
    lines = textwrap.wrap(first, WIDTH - 4, subsequent_indent="  ", break_on_hyphens=False)
    pieces = [*lines, " [", kind, "]"]
    wrapped = [pieces[0]]
    for piece in pieces[1:]:
        if piece.startswith("  ") or len(wrapped[-1]) + len(piece) > WIDTH:
            wrapped.append("")
        wrapped[-1] += piece
    return Text((f"{first} [{kind}]",), role="title", wrapped=tuple(wrapped))


def method_title(fit: Printed) -> str:
    """Words of the title: REML, or maximum likelihood, penalised or not."""
    # the blank after "likelihood" is lme4's
    kind = "Linear mixed model" if fit.design.factors else "Generalized least squares"
    return f"{kind} fit by {'REML' if fit.REML else 'maximum likelihood '}"


def call(fit: Described) -> list[Block]:
    """Formula, data, weights and offset, as far as their names are known."""
    wrapped = fill_lines(["Formula:", *formula_pieces(fit.formula)])
    blocks: list[Block] = [Text((f"Formula: {fit.formula}",), wrapped=tuple(wrapped))]
    named = (
        ("   Data:", fit.data_name),
        ("Weights:", fit.weights_name),
        (" Offset:", fit.offset_name),
    )
    lines = tuple(f"{label} {name}" for label, name in named if name is not None)
    return [*blocks, Text(lines)] if lines else blocks


def criteria(fit: Printed, *, digits: int) -> Block:
    """The minimised criterion: one line for REML, a table with AIC and BIC for ML."""
    if fit.core.family is None and fit.REML:
        value = format_numbers(round_r([fit.reml_criterion], digits))[0]
        return Text((f"REML criterion at convergence: {value}",))
    values = np.array([fit.aic, fit.bic, fit.llf, -2.0 * fit.llf, fit.df_resid], dtype=float)
    cells = format_numbers(round_r(values, digits), digits=DIGITS)
    cells[-1] = str(fit.df_resid)
    names = _CRITERIA if fit.core.family is None else _GENERALIZED_CRITERIA
    return Table(
        name="fit",
        frame=named_frame(pd.DataFrame([values], index=["fit"], columns=list(names)), "model"),
        cells=(tuple(cells),),
        rows=("",),
        columns=names,
        vector=True,
    )


def heading_of_components(fit: Printed) -> Block:
    """What stands above the variance components."""
    return Text(("Random effects:" if fit.design.factors else "Residuals:",), role="heading")


def dispersion(fit: Printed) -> list[Block]:
    """A line of its own for a dispersion that was estimated, in glmmTMB's words."""
    family = fit.core.family
    if family is None or not family.has_dispersion or "{" in family.label:
        return []  # there is none, or it stands in the family's name
    value = format_numbers(np.array([family.value_of(fit.core.dispersion)]), digits=3)[0]
    what = f"Dispersion parameter for {family.label} family"
    name = "sigma^2" if family.scaled else family.dispersion_name
    return [blank(), Text((f"{what} ({name}): {value}",))]


def groups(fit: Described) -> Block:
    """Numbers of observations and of levels of each grouping factor."""
    ngrps = fit.ngrps
    if not len(ngrps):
        return Text((f"Number of obs: {fit.nobs}",))
    counts = "; ".join(f"{name}, {count}" for name, count in ngrps.items())
    head = f"Number of obs: {fit.nobs}, groups: "
    # R separates what it prints by a blank: there are two after the colon
    return Text((f"{head} {counts}",), wrapped=tuple(fill_lines([head, counts])))


def messages(fit: Printed) -> list[Block]:
    """Messages below a print: rows left out, dropped columns, convergence, singularity."""
    about_design = fit.design.messages
    about_fit = tuple(m for m in fit.messages if m not in about_design)
    warned = tuple(m for m in about_design if m.startswith(RANK_DEFICIENT))
    remarks = tuple(m for m in about_design if m not in warned)
    blocks: list[Block] = []
    if remarks:
        blocks.append(Text(remarks, role="note"))
    if warned:
        blocks.append(Text(("fit warnings:", *warned), role="note"))
    if about_fit:
        blocks.append(Text((*_optimizer(fit), *about_fit), role="note"))
    return blocks


def _optimizer(fit: Printed) -> list[str]:
    stopped = _STOPPED.get(fit.certificate.control.optimizer, "optimum not certified")
    verdict = "certified local optimum" if fit.converged else stopped
    return [f"optimizer: {verdict}, {fit.certificate.evaluations} evaluations"]
