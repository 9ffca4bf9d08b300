"""The report of a fit: the paragraphs of a paper's results, in text, Markdown and LaTeX."""

from __future__ import annotations

import math
import platform
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd

from nestedmlm.arguments import checked
from nestedmlm.views.render import apa
from nestedmlm.views.render.blocks import Block, Text
from nestedmlm.views.render.latex import escape as latex_escape
from nestedmlm.views.render.markdown import escape as markdown_escape
from nestedmlm.views.render.view import View, Viewable, blank

WIDTH = 80  # of a line of plain text
REFERENCES = MappingProxyType(
    {
        "satterthwaite": "Kuznetsova, A., Brockhoff, P. B., & Christensen, R. H. B. (2017). "
        "lmerTest package: Tests in linear mixed effects models. Journal of Statistical Software, "
        "82(13), 1-26.",
        "kenward-roger": "Kenward, M. G., & Roger, J. H. (1997). Small sample inference for fixed "
        "effects from restricted maximum likelihood. Biometrics, 53(3), 983-997.",
        "robust": "Pustejovsky, J. E., & Tipton, E. (2018). Small-sample methods for "
        "cluster-robust variance estimation and hypothesis testing in fixed effects models. "
        "Journal of Business & Economic Statistics, 36(4), 672-683.",
        "r2": "Nakagawa, S., & Schielzeth, H. (2013). A general and simple method for obtaining R2 "
        "from generalized linear mixed-effects models. Methods in Ecology and Evolution, 4(2), "
        "133-142.",
        "rubin": "Barnard, J., & Rubin, D. B. (1999). Small-sample degrees of freedom with "
        "multiple imputation. Biometrika, 86(4), 948-955.",
        "smooths": "Wood, S. N. (2013). On p-values for smooth components of an extended "
        "generalized additive model. Biometrika, 100(1), 221-228.",
        "software": "The nestedmlm developers. nestedmlm: Linear mixed models in Python (Version "
        "{version}) [Computer software].",
    }
)  # fmt: skip

# what exponentiated coefficients are called, by link
RATIOS: Mapping[str, str] = MappingProxyType({"logit": "odds ratios", "log": "ratios of means"})
FAMILIES: Mapping[str, str] = MappingProxyType(
    {
        "poisson": "Poisson", "negativebinomial": "negative binomial", "gaussian": "Gaussian",
        "inverse_gaussian": "inverse Gaussian", "t": "Student t",
    }
)  # fmt: skip
_RATIO_COLUMNS = ("ratio", "ratio_low", "ratio_high")


class Italic(str):
    """A symbol that is set in italics: *t*, *p*."""

    __slots__ = ()


Piece = str | Italic
Sentence = tuple[Piece, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Report(Viewable):
    """Paragraphs about a fit, with numbers in APA's form.

    Attributes
    ----------
    paragraphs : tuple of tuple of str
        Pieces of each, symbols in italics as `Italic`.
    references : tuple of str
        What the paragraphs rest on, to be cited.
    table : DataFrame
        The numbers of the fixed effects: ``term, estimate, std_error, df, statistic, p_value,
        conf_low, conf_high``, as far as they apply.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> print(fit.report().to_markdown().splitlines()[4][:47])
    (Intercept): *b* = 251.41, *SE* = 6.82, 95 % CI
    """

    paragraphs: tuple[Sentence, ...]
    references: tuple[str, ...]
    table: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """Return the numbers of the fixed effects."""
        return self.table.copy()

    def view(self) -> View:
        """Build the document."""
        blocks: list[Block] = []
        for paragraph in self.paragraphs:
            text = "".join(paragraph)
            blocks += [Text((text,), wrapped=tuple(textwrap.wrap(text, WIDTH))), blank()]
        for reference in self.references:
            lines = textwrap.wrap(reference, WIDTH, subsequent_indent="  ")
            blocks.append(Text((reference,), role="note", wrapped=tuple(lines)))
        return View(tuple(blocks))

    def to_markdown(self) -> str:
        """Write as Markdown, symbols in italics."""
        parts = [_written(p, _markdown, "*{}*") for p in self.paragraphs]
        return "\n\n".join([*parts, *(_markdown(r) for r in self.references)]) + "\n"

    @checked
    def to_latex(self, *, booktabs: bool = False) -> str:
        """Write as LaTeX that needs no package, symbols in italics; a report has no rules."""
        parts = [_written(p, _latex, r"\textit{{{}}}") for p in self.paragraphs]
        return "\n\n".join([*parts, *(_latex(r) for r in self.references)]) + "\n"


def _written(paragraph: Sentence, escape: Callable[[str], str], italic: str) -> str:
    return "".join(
        italic.format(piece) if isinstance(piece, Italic) else escape(piece) for piece in paragraph
    )


def _markdown(text: str) -> str:
    return _around(text, markdown_escape(text))


def _latex(text: str) -> str:
    return _around(text, latex_escape(text)).replace("²", "$^2$")


def _around(text: str, escaped: str) -> str:
    """The blanks at both ends, which escaping takes away."""
    first, last = re.match(r"\s*", text), re.search(r"\s*$", text)
    assert first is not None and last is not None
    return f"{first[0]}{escaped}{last[0]}" if text.strip() else text


# --- sentences -----------------------------------------------------------------------------------
def coefficients(table: pd.DataFrame, level: float, interval: str = "CI") -> Sentence:
    """Each coefficient: estimate, standard error, interval, test.

    Parameters
    ----------
    table : DataFrame
        See `Report`.
    level : float
    interval : str
        What the interval is called.
    """
    pieces: list[Piece] = []
    tested = "statistic" in table
    for k, row in enumerate(table.to_dict("records")):
        d = apa.with_error(row["std_error"])
        pieces += ["; " if k else "", f"{row['term']}: ", Italic("b")]
        pieces += [f" = {apa.estimate(row['estimate'], d)}, ", Italic("SE" if tested else "SD")]
        pieces += [f" = {apa.estimate(row['std_error'], d)}, {100 * level:g} % {interval} "]
        low, high = (apa.estimate(row[name], d) for name in ("conf_low", "conf_high"))
        pieces.append(f"[{low}, {high}]")
        if tested:
            pieces += [", ", *_test(row["statistic"], row.get("df", np.nan), row["p_value"])]
    return (*pieces, ".")


def generalized_model(family: str, link: str) -> str:
    """Name of a generalized model, by its family and link."""
    named = FAMILIES.get(family, family)
    return f"a generalized linear mixed model of the {named} family with the {link} link"


def with_ratios(table: pd.DataFrame, link: str) -> pd.DataFrame:
    """Coefficients with exponentiated ones beside them, where the link makes ratios of them."""
    if link not in RATIOS:
        return table
    with np.errstate(over="ignore"):  # beyond what can be written: said of none
        raised = np.exp(table[["estimate", "conf_low", "conf_high"]].to_numpy(dtype=float))
    return table.assign(**dict(zip(_RATIO_COLUMNS, raised.T, strict=True)))


def ratios(table: pd.DataFrame, link: str, level: float, interval: str = "CI") -> str:
    """Exponentiated coefficients but the intercept's, in a sentence; or nothing.

    Parameters
    ----------
    table : DataFrame
        Of `with_ratios`.
    link : str
    level : float
    interval : str
        What the interval is called.
    """
    rows = [row for row in table.to_dict("records") if row["term"] != "(Intercept)"]
    if link not in RATIOS or not rows:
        return ""
    said = []
    for row in rows:
        ratio, low, high = (float(row[name]) for name in _RATIO_COLUMNS)
        if not math.isfinite(high):
            continue
        d = apa.with_error(max(high - low, 1e-9) / 4.0)  # about a standard error
        low_text, high_text = (apa.estimate(x, d) for x in (low, high))
        said.append(f"{row['term']} {apa.estimate(ratio, d)} [{low_text}, {high_text}]")
    return f"As {RATIOS[link]} ({100 * level:g} % {interval}): {'; '.join(said)}." if said else ""


def _test(statistic: float, df: float, p: float) -> Sentence:
    known = np.isfinite(df)
    inside = f"({apa.degrees_of_freedom(df)})" if known else ""
    head = (Italic("t" if known else "z"), f"{inside} = {apa.statistic(statistic)}, ")
    return (*head, Italic("p"), f" {apa.p_value(p)}")


def random_effects(varcorr: pd.DataFrame, notes: Sequence[str] = ()) -> Sentence:
    """Standard deviations and correlations, from VarCorr's table.

    Parameters
    ----------
    varcorr : DataFrame
    notes : sequence of str
        What is said of residuals that differ or correlate.
    """
    of_residuals = [g == "Residual" or g.startswith("Residual ") for g in varcorr["group"]]
    pieces: list[Piece] = []
    if not all(of_residuals):
        pieces.append("Random effects: ")
    for row, own in zip(varcorr.to_dict("records"), of_residuals, strict=True):
        value, paired = row["estimate"], isinstance(row["var2"], str)
        group, named = row["group"], isinstance(row["var1"], str)
        noun = "residual " if own else ""
        where = [] if noun else [group]
        if noun and group != "Residual":
            where.append(group.removeprefix("Residual "))
        if paired:
            where.append(f"{row['var1']} with {row['var2']}")
            pieces += [noun, Italic("r"), f" = {apa.below_one(value)} ({', '.join(where)}); "]
        else:
            where += [row["var1"]] if named else []
            inside = f" ({', '.join(where)})" if where else ""
            number = apa.estimate(value, apa.with_error(value))
            pieces += [noun, Italic("SD"), f" = {number}{inside}; "]
    ended = (*pieces[:-1], f"{pieces[-1].removesuffix('; ')}.")
    first = "" if isinstance(ended[0], Italic) else ended[0]
    if first:
        ended = (first[0].upper() + first[1:], *ended[1:])
    return (*ended, "".join(f" {note}." for note in notes))


def explained(marginal: float, conditional: float, *, random: bool = True) -> Sentence:
    """Shares of the variance that fixed effects, and all effects where any are random, explain."""
    share = "Fixed effects explained a share of the variance of "
    if not random:
        return (share, Italic("R"), f"² = {apa.below_one(marginal)}.")
    return (
        share, Italic("R"), "² = ",
        f"{apa.below_one(marginal)} (marginal), fixed and random effects together ",
        Italic("R"), f"² = {apa.below_one(conditional)} (conditional).",
    )  # fmt: skip


def curves(table: pd.DataFrame, df: float) -> Sentence:
    """Smooth terms: effective degrees of freedom and tests.

    Parameters
    ----------
    table : DataFrame
        ``edf, ref_df, statistic, p_value`` by label.
    df : float
        Of the residuals.
    """
    pieces: list[Piece] = []
    for k, (label, row) in enumerate(table.iterrows()):
        pieces.append(f"{'; ' if k else 'Curves: '}{label}: edf = {apa.statistic(row['edf'])}")
        if np.isfinite(row["statistic"]):
            inside = ", ".join(apa.degrees_of_freedom(value) for value in (row["ref_df"], df))
            pieces += [", ", Italic("F"), f"({inside}) = {apa.statistic(row['statistic'])}, "]
            pieces += [Italic("p"), f" {apa.p_value(row['p_value'])}"]
    said = "Tests are of no curve at all, given the standard deviations (edf 1: a straight line)."
    return (*pieces, f". {said}")


def remark_sentences(notes: Iterable[str]) -> list[str]:
    """Remarks on the data as sentences."""
    return [f"{note[0].upper()}{note[1:].rstrip('.')}." for note in notes]


def groups(counts: pd.Series) -> str:
    """Numbers of groups: ``107 schoolid, 312 classid``, outermost first."""
    return ", ".join(f"{n:,} {name}" for name, n in counts.sort_values(kind="stable").items())


def software() -> str:
    """What it was computed with."""
    return (
        f"Computed with nestedmlm {version()} (Python {platform.python_version()}, NumPy "
        f"{np.__version__})."
    )


def version() -> str:
    """Version of the package."""
    return str(sys.modules[__name__.partition(".")[0]].__version__)


def cited(keys: Sequence[str]) -> tuple[str, ...]:
    """References by their keys, the software last."""
    found = [REFERENCES[key] for key in keys if key in REFERENCES]
    return (*found, REFERENCES["software"].format(version=version()))
