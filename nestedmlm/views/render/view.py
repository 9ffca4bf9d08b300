"""Documents made of text and tables: one structure, four renderings.

A `View` holds formatted cells and, beside them, the raw numbers as data frames. It computes
nothing: text (as R prints), HTML, Markdown and LaTeX are four ways to write the same blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import isfunction
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pandas as pd

from nestedmlm.arguments import checked
from nestedmlm.errors import OptionError, RenamedError
from nestedmlm.late import Late
from nestedmlm.native_frames import native_method
from nestedmlm.views.render.blocks import Block, Table, Text, text_lines

if TYPE_CHECKING:
    from nestedmlm.views.render.excel import write as write_excel
    from nestedmlm.views.render.html import render as render_html
    from nestedmlm.views.render.latex import render as render_latex
    from nestedmlm.views.render.markdown import render as render_markdown
    from nestedmlm.views.render.word import write as write_word
else:  # a format loads when it is first written
    render_html = Late("nestedmlm.views.render.html", "render")
    render_latex = Late("nestedmlm.views.render.latex", "render")
    render_markdown = Late("nestedmlm.views.render.markdown", "render")
    write_excel = Late("nestedmlm.views.render.excel", "write")
    write_word = Late("nestedmlm.views.render.word", "write")

__all__ = ["Block", "Table", "Text", "View", "Viewable"]

# results without a method plot(), and the picture of them
PICTURES: Mapping[str, str] = MappingProxyType(
    {
        "Bootstrap": "nm.plots.bootstrap_densities(bootstrap)",
        "Check": "fit.plot.check()",
        "Comparison": "fit.plot.comparison(posterior)",
        "Diagnosis": "fit.plot.singularity()",
        "Fragility": "nm.plots.fragility(fragility)",
        "GroupLoo": "nm.plots.loo(loo)",
        "Influence": "nm.plots.cooks_distance(influence)",
        "PriorInfluence": "nm.plots.prior_influence(sensitivity)",
        "Profile": "nm.plots.profile_zeta(profile)",
        "Smooths": "fit.plot.curves()",
        "VariancePartition": "fit.plot.variance_partition()",
    }
)


class Viewable:
    """Base of results that print themselves: `view` builds the document, all formats follow.

    Dataclasses that inherit this must be made with ``repr=False``.
    """

    _native: str
    __slots__ = ("_native",)  # the kind of table that its frames come as, where it is not pandas'

    def __init_subclass__(cls) -> None:
        """Public methods give frames as `native_frames` do."""
        super().__init_subclass__()
        for name, member in [*vars(cls).items()]:
            if name[0] != "_" and name != "view" and isfunction(member):
                setattr(cls, name, native_method(member))

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Say how a result that has no `plot` is drawn."""
            of = type(self).__name__
            if name == "plot" and of in PICTURES:
                raise RenamedError(f"{of} has no plot: write {PICTURES[of]}")
            return object.__getattribute__(self, name)

    def view(self) -> View:
        """Build the document.

        The type exists to keep printing apart: a result holds numbers and says here, once, which
        of them to show, and what writes a format knows no result.

        Returns
        -------
        View

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
        >>> [type(block).__name__ for block in fit.varcorr().view().blocks]
        ['Table']
        """
        raise NotImplementedError

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The raw numbers behind the tables, by name."""
        return {
            block.name: block.numbers.copy()
            for block in self.view().blocks
            if isinstance(block, Table) and block.name
        }

    @native_method
    def to_frame(self) -> pd.DataFrame:
        """Return the numbers of the main table (all of them are in `tables`).

        Returns
        -------
        DataFrame
            A copy of the first table's numbers; without rows for a document without tables.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
        >>> fit.varcorr().to_frame().round(3)
                                   term     group         var1  var2     vcov  estimate
        0        sd_(Intercept)|Subject   Subject  (Intercept)  None  612.090    24.740
        1               sd_Days|Subject   Subject         Days  None   35.072     5.922
        2  cor_Days.(Intercept)|Subject   Subject  (Intercept)  Days    9.604     0.066
        3                         sigma  Residual         None  None  654.941    25.592
        """
        tables, main = self.tables, self.view().main
        name = main if main in tables else next(iter(tables), "")
        return tables.get(name, pd.DataFrame())

    def to_text(self) -> str:
        """Write as plain text, in R's layout.

        Returns
        -------
        str
            Without a final newline.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
        >>> fit.varcorr().to_text().splitlines()[0]
        ' Groups   Name        Std.Dev.'
        """
        return "\n".join(line for block in self.view().blocks for line in text_lines(block))

    def to_html(self) -> str:
        """Write as a self-contained piece of HTML.

        Returns
        -------
        str

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
        >>> fit.varcorr().to_html().count("<tr")
        3
        """
        return render_html(self.view().blocks)

    def to_markdown(self) -> str:
        """Write as Markdown with pipe tables.

        Returns
        -------
        str

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
        >>> print(fit.varcorr().to_markdown())
        | Groups | Name | Std.Dev. |
        | :--- | :--- | ---: |
        | Batch | (Intercept) | 42.001 |
        | Residual |  | 49.510 |
        """
        return render_markdown(self.view().blocks)

    @checked
    def to_latex(self, *, booktabs: bool = False) -> str:
        r"""Write as LaTeX that needs no package, or booktabs alone.

        Parameters
        ----------
        booktabs : bool
            Rules of the package booktabs: ``\toprule``, ``\midrule``, ``\bottomrule``.

        Returns
        -------
        str

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
        >>> print(fit.varcorr().to_latex())
        \begin{tabular}{llr}
        \hline
        Groups & Name & Std.Dev. \\
        \hline
        Batch & (Intercept) & 42.001 \\
        Residual &  & 49.510 \\
        \hline
        \end{tabular}
        """
        return render_latex(self.view().blocks, booktabs=booktabs)

    def save(self, path: str | PathLike[str]) -> Path:
        r"""Write a file whose format goes by the end of its name.

        Parameters
        ----------
        path : str or path
            ``.docx`` (Word), ``.xlsx`` (Excel; numbers to the last digit on further sheets),
            ``.tex`` (a fragment for ``\input``, with booktabs' rules), ``.html``, ``.md``,
            ``.txt``, ``.csv`` (the numbers of `to_frame`).

        Returns
        -------
        pathlib.Path
            Where it was written.

        Raises
        ------
        OptionError
            For another ending, or if python-docx or openpyxl is not installed.

        Examples
        --------
        >>> import nestedmlm as nm, tempfile
        >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
        >>> path = fit.varcorr().save(f"{tempfile.mkdtemp()}/variances.tex")
        >>> print(path.name, path.read_text().count("rule"))
        variances.tex 3
        """
        return save_document(self, Path(path))

    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        return self.to_html()


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class View(Viewable):
    """A document.

    Attributes
    ----------
    blocks : tuple of Text or Table
        From top to bottom.
    main : str
        Name of the table that `to_frame` gives; by default the first.
    """

    blocks: tuple[Block, ...]
    main: str = ""

    def view(self) -> View:
        """Return the view itself."""
        return self


def blank() -> Text:
    """Return an empty line, which only the plain text shows."""
    return Text(("",))


def note(*lines: str) -> Text:
    """Return lines of lesser weight, such as a legend."""
    return Text(lines, role="note")


def _write_text(write: Callable[[Viewable], str]) -> Callable[[Viewable, Path], None]:
    return lambda view, path: _put(path, write(view))


def _put(path: Path, text: str) -> None:
    path.write_text(text.rstrip("\n") + "\n", encoding="utf-8")


def _latex_file(view: Viewable) -> str:
    return "% needs \\usepackage{booktabs}\n" + view.to_latex(booktabs=True)


def _html_file(view: Viewable) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>nestedmlm</title>'
        f'</head>\n<body style="font-family:sans-serif">{view.to_html()}</body></html>'
    )


_WRITERS: Mapping[str, Callable[[Viewable, Path], None]] = MappingProxyType(
    {
        ".docx": lambda view, path: write_word(view.view().blocks, path),
        ".xlsx": lambda view, path: write_excel(view.view().blocks, path),
        ".tex": _write_text(_latex_file),
        ".html": _write_text(_html_file),
        ".md": _write_text(Viewable.to_markdown),
        ".txt": _write_text(Viewable.to_text),
        ".csv": lambda view, path: view.to_frame().to_csv(path, index=_has_names(view)),
    }
)


def _has_names(view: Viewable) -> bool:
    return not isinstance(view.to_frame().index, pd.RangeIndex)


def save_document(view: Viewable, path: Path) -> Path:
    """Write a view to a file (see `Viewable.save`)."""
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        known = ", ".join(_WRITERS)
        raise OptionError(f"{path.name}: the end of the name says which format; known: {known}")
    writer(view, path)
    return path
