"""`Capsule`: a fit that others can check without the data and without this library."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nestedmlm.arguments import checked
from nestedmlm.errors import DataError, OptionError
from nestedmlm.fits.capsule import verifier
from nestedmlm.fits.capsule.contents import FORMAT, capsule_contents
from nestedmlm.fits.capsule.page import page
from nestedmlm.fits.summaries.saved import from_arrow

if TYPE_CHECKING:
    from nestedmlm.fits.lmer_fit import LmerFit
    from nestedmlm.fits.summaries.data_summary import Summary

_FORMATS = (".json", ".html")


@dataclass(frozen=True, slots=True, eq=False)
class Capsule:
    """A fit with the sums over rows it was made of, for others to check.

    Made by ``fit.capsule()`` and `load_capsule`.

    Attributes
    ----------
    contents : mapping
        All that the file holds: formula, estimates, relative covariance factors, criterion,
        certificate, versions, and the sums, as numbers and lists.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("Reaction ~ Days + (Days | Subject)", nm.load_dataset("sleepstudy"))
    >>> capsule = fit.capsule()
    >>> capsule.verify()[["estimate", "recomputed"]].round(3)
                           estimate  recomputed
    term
    criterion              1743.628    1743.628
    sigma                    25.592      25.592
    (Intercept)             251.405     251.405
    (Intercept) std_error     6.825       6.825
    Days                     10.467      10.467
    Days std_error            1.546       1.546
    """

    contents: Mapping[str, Any]

    def __repr__(self) -> str:
        c = self.contents
        how = "REML" if c["REML"] else "maximum likelihood"
        return (
            f"Capsule: {c['formula']} ({how})\n"
            f"criterion {c['criterion']:.6f}, {c['certificate']['message']}\n"
            f"{c['statistics']['n']:,} rows in {len(c['statistics']['cells']['rows']):,} cells; "
            f"{c['disclosure']}"
        )

    @property
    def summary(self) -> Summary:
        """The sums, from which models with fewer terms are fitted: ``capsule.summary.fit()``."""
        import pyarrow.parquet as pq

        return from_arrow(pq.read_table(BytesIO(base64.b64decode(self.contents["summary"]))))

    def verify(self) -> pd.DataFrame:
        """Recompute the fit from the sums, with nothing but NumPy.

        Returns
        -------
        DataFrame
            By term: `estimate` as the file has it, `recomputed`, and their `difference`. The
            largest derivative of the criterion in theta is in ``attrs["gradient"]``.

        Examples
        --------
        >>> import nestedmlm as nm
        >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
        >>> checked = fit.capsule().verify()
        >>> bool(checked["difference"].abs().max() < 1e-6), checked.attrs["gradient"] < 1e-5
        (True, True)
        """
        contents = dict(self.contents)
        found = verifier.recompute(contents)
        columns = {
            "estimate": verifier.in_the_file(contents),
            "recomputed": verifier.by_name(contents["fixed"]["columns"], found),
        }
        frame = pd.DataFrame(columns)
        frame["difference"] = frame["recomputed"] - frame["estimate"]
        frame.index.name = "term"
        frame.attrs["gradient"] = float(np.abs(found["gradient"]).max(initial=0.0))
        return frame

    @checked
    def save(self, path: str | Path) -> None:
        """Write a file that anyone can check.

        Parameters
        ----------
        path : str or Path
            ``.json``: for `load_capsule`, and for the verifier, one page of Python that needs NumPy
            only. ``.html``: a page that shows the fit and recomputes it in the reader's browser; it
            holds the same file and the verifier.

        Raises
        ------
        OptionError
            For another ending.

        Examples
        --------
        >>> import nestedmlm as nm, tempfile, pathlib
        >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "dyestuff.json"
        >>> fit.capsule().save(path)
        >>> round(nm.load_capsule(path).summary.fit().criterion, 3)
        319.654
        """
        path = Path(path)
        if path.suffix not in _FORMATS:
            raise OptionError(f"a capsule is written as {' or '.join(_FORMATS)}, not {path.name!r}")
        text = json.dumps(dict(self.contents), allow_nan=False)
        path.write_text(text if path.suffix == ".json" else page(self.contents, text), "utf-8")


def capsule(
    fit: LmerFit, path: str | Path | None = None, *, min_rows: int | None = None
) -> Capsule:
    """Put the fit and the sums it was made of into a file that others can check.

    Whoever has the file recomputes criterion, gradient, estimates and standard errors with NumPy,
    without the data and without this library; with it, also models with fewer terms, other tests
    and a posterior under other priors (``nm.load_capsule(path).summary``).

    Parameters
    ----------
    path : str or Path, optional
        Where to write it: ``.json``, or ``.html`` for a page that opens in any browser.
    min_rows : int, optional
        Refuse where a combination of groups has fewer rows, since its sums tell of single rows. By
        default they are written, and ``contents["disclosure"]`` says how many there are.

    Returns
    -------
    Capsule
        Names of groups are left out; their levels are in random order.

    Raises
    ------
    OptionError
        For penalties, a known sigma, an iterative fit, and more random effects than a dense matrix
        can hold.
    RelationshipError
        If levels of a factor are related.
    DataError
        If a cell has fewer than `min_rows` rows, or weights came as an array.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> fit = nm.lmer("strength ~ 1 + (1 | batch/cask)", nm.load_dataset("Pastes"))
    >>> fit.capsule()
    Capsule: strength ~ 1 + (1 | batch/cask) (REML)
    criterion 246.990746, local optimum certified
    60 rows in 30 cells; 30 of 30 cells have fewer than 10 rows, and their sums tell of single rows
    """
    made = Capsule(capsule_contents(fit, min_rows))
    if path is not None:
        made.save(path)
    return made


@checked
def load_capsule(path: str | Path) -> Capsule:
    """Read a capsule.

    Parameters
    ----------
    path : str or Path
        A ``.json`` file that ``fit.capsule(path)`` wrote. Reading it executes nothing.

    Returns
    -------
    Capsule

    Raises
    ------
    DataError
        If it is no such file.

    Examples
    --------
    >>> import nestedmlm as nm, tempfile, pathlib
    >>> fit = nm.lmer("Yield ~ 1 + (1 | Batch)", nm.load_dataset("Dyestuff"))
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "dyestuff.json"
    >>> made = fit.capsule(path)
    >>> nm.load_capsule(path).contents["formula"]
    'Yield ~ 1 + (1 | Batch)'
    """
    try:
        contents = json.loads(Path(path).read_text("utf-8"))
    except (OSError, TypeError, ValueError) as error:
        raise DataError(f"{path} is no capsule: {error}") from None
    if not isinstance(contents, dict) or contents.get("format") != FORMAT:
        raise DataError(f"{path} is no capsule of this format ({FORMAT})")
    return Capsule(contents)
