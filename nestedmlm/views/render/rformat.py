"""Numbers as R formats them: pure functions from numbers to strings.

R gives one format to a whole vector: the fewest decimals with which every element shows at least
`digits` significant digits (trailing zeros dropped first), or scientific notation where that is
narrower. What is fixed here is what ``?format``, ``?print.default`` and ``?round`` describe and
what R 4.2 does on random vectors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from numpy.typing import ArrayLike

from nestedmlm._typing import FloatArray

DIGITS = 7  # R's getOption("digits")
_DOUBLE_DIGITS = 15  # decimal digits that every double holds
_EPS = float(np.finfo(float).eps)


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """Format of a whole vector: decimals, notation, and the width that R reserves."""

    decimals: int
    scientific: bool
    width: int = 0


def _parts(value: float, digits: int) -> tuple[int, int, bool]:
    """Return exponent, significant digits needed, and whether rounding added a digit in vain.

    The last is true where the number rounded to `digits` reaches the next power of ten although
    its fixed notation does not (99970 with 3 digits).
    """
    if value == 0.0:
        return 0, 1, False
    mantissa, exponent = f"{abs(value):.{digits - 1}e}".split("e")
    needed = max(len(mantissa.replace(".", "").rstrip("0")), 1)
    power = int(exponent)
    fuzz = 0.5 * 10.0 ** -max(digits - power, 0)
    return power, needed, power > 0 and abs(value) < 10.0**power - fuzz


def number_format(values: ArrayLike, *, digits: int = DIGITS, nsmall: int = 0) -> NumberFormat:
    """Choose the common format of a vector.

    Parameters
    ----------
    values : array_like
        Numbers; those that are not finite do not count.
    digits : int
        Significant digits that the element which needs most must show.
    nsmall : int
        Least number of decimals in fixed notation.

    Returns
    -------
    NumberFormat

    References
    ----------
    R's ``?format`` and ``?options`` (``digits``, ``scipen = 0``).
    """
    finite = [float(x) for x in np.ravel(np.asarray(values, dtype=float)) if math.isfinite(x)]
    if not finite:
        return NumberFormat(nsmall, False)
    digits = min(max(digits, 1), _DOUBLE_DIGITS)
    parts = [_parts(x, digits) for x in finite]
    negative = any(x < 0 for x in finite)
    left = max(
        (x < 0) + max(power + 1 - widened, 1)
        for x, (power, _, widened) in zip(finite, parts, strict=True)
    )
    decimals = max(0, *(needed - power - 1 for power, needed, _ in parts))
    significant = max(needed for _, needed, _ in parts)
    powers = [power for power, _, _ in parts]
    exponent_width = 2 if max(powers) >= 100 or min(powers) <= -100 else 1
    mantissa_decimals = significant - 1
    sci_width = negative + (mantissa_decimals > 0) + mantissa_decimals + 4 + exponent_width
    fixed_width = left + decimals + (decimals > 0)
    if fixed_width > sci_width:
        return NumberFormat(mantissa_decimals, True, sci_width)
    decimals = max(decimals, nsmall)
    return NumberFormat(decimals, False, left + decimals + (decimals > 0))


def _scientific(value: float, decimals: int) -> str:
    return f"{value:.{decimals}e}"


def _fixed(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}"


def write_number(value: float, how: NumberFormat) -> str:
    """Write one number in a given format (``NA`` is not told apart from ``NaN``)."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    return (_scientific if how.scientific else _fixed)(value + 0.0, how.decimals)


def format_numbers(
    values: ArrayLike,
    *,
    digits: int = DIGITS,
    nsmall: int = 0,
    pad: bool = True,
    na: str = "NaN",
) -> list[str]:
    """R's ``format(x, digits =, nsmall =)`` for numbers: one format for all of them.

    Parameters
    ----------
    values : array_like
        Numbers, flattened.
    digits, nsmall : int
        As in R.
    pad : bool
        Pad to a common width on the left.
    na : str
        What to write for NaN.

    Returns
    -------
    list of str

    Examples
    --------
    >>> format_numbers([8.396353, 15.3138, 0.0], digits=5)
    [' 8.3964', '15.3138', ' 0.0000']
    """
    flat = [float(x) for x in np.ravel(np.asarray(values, dtype=float))]
    how = number_format(flat, digits=digits, nsmall=nsmall)
    texts = [na if math.isnan(x) else write_number(x, how) for x in flat]
    return justify(texts, right=True, width=how.width) if pad else texts


def justify(texts: Sequence[str], *, right: bool, width: int = 0) -> list[str]:
    """Pad strings to the width of the longest, or to a greater `width`."""
    width = max([width, *map(len, texts)])
    return [text.rjust(width) if right else text.ljust(width) for text in texts]


def _signif_one(value: float, digits: int) -> float:
    if not math.isfinite(value) or value == 0.0:
        return value
    shift = max(digits, 1) - 1 - math.floor(math.log10(abs(value)))
    if shift > 300:
        return float(f"{value:.{max(digits, 1) - 1}e}")
    if shift > 0:
        return round(value * 10.0**shift) / 10.0**shift
    return round(value / 10.0**-shift) * 10.0**-shift


def signif(values: ArrayLike, digits: int = 6) -> FloatArray:
    """R's ``signif``: round to significant digits."""
    array = np.asarray(values, dtype=float)
    flat = [_signif_one(float(x), digits) for x in array.ravel()]
    return np.array(flat, dtype=float).reshape(array.shape)


def _round_one(value: float, digits: int) -> float:
    if not math.isfinite(value) or value == 0.0:
        return value
    size = abs(value)
    exponent = math.frexp(size)[1] - 1
    if digits + (exponent + 0.5) * math.log10(2.0) > _DOUBLE_DIGITS:
        return value  # nothing to round: more decimals than a double holds
    power = 10.0 ** abs(digits)
    scaled = size * power if digits >= 0 else size / power
    low, high = math.floor(scaled), math.ceil(scaled)
    below = low / power if digits >= 0 else low * power
    above = high / power if digits >= 0 else high * power
    down, up = size - below, above - size
    nearest = below if down < up or (down == up and low % 2 == 0) else above
    return math.copysign(nearest, value)


def round_r(values: ArrayLike, digits: int = 0) -> FloatArray:
    """R's ``round`` (since 4.0.0): the nearer of the two candidates with `digits` decimals."""
    array = np.asarray(values, dtype=float)
    flat = [_round_one(float(x), digits) for x in array.ravel()]
    return np.array(flat, dtype=float).reshape(array.shape)


def zapsmall(values: ArrayLike, digits: int = DIGITS) -> FloatArray:
    """R's ``zapsmall``: round to `digits` significant digits of the largest element."""
    array = np.asarray(values, dtype=float)
    sizes = np.abs(array[~np.isnan(array)])
    if sizes.size == 0 or not np.isfinite(sizes.max()):
        return array
    largest = float(sizes.max())
    # R's round truncates a fractional number of digits upwards from one half
    shift = math.log10(largest) if largest > 0 else 0.0
    return round_r(array, math.floor(max(0.0, digits - shift) + 0.5))


def format_pvalues(
    values: ArrayLike, *, digits: int = 5, eps: float = _EPS, na: str = "NA"
) -> list[str]:
    """R's ``format.pval``.

    Parameters
    ----------
    values : array_like
        Probabilities; NaN is written as `na`.
    digits : int
        Significant digits.
    eps : float
        Smaller values are written as ``<eps``.
    na : str
        What to write for NaN.

    Returns
    -------
    list of str
        Fixed notation and scientific notation are each aligned among themselves.
    """
    flat = [float(x) for x in np.ravel(np.asarray(values, dtype=float))]
    texts = [na] * len(flat)
    shown = [i for i, p in enumerate(flat) if not math.isnan(p) and p >= eps]
    tiny = [i for i, p in enumerate(flat) if p < eps]
    plain = [i for i in shown if _is_plain(flat[i], digits)]
    small = [i for i in shown if not _is_plain(flat[i], digits)]
    for places in (plain, small):
        written = format_numbers([flat[i] for i in places], digits=digits)
        for place, text in zip(places, written, strict=True):
            texts[place] = text
    widths = [len(texts[i]) for i in shown]
    for place, text in zip(tiny, repeat(_below(eps, digits, widths)), strict=False):
        texts[place] = text
    return texts


def _is_plain(p: float, digits: int) -> bool:
    power = math.floor(math.log10(p)) if p > 0 else -50
    return power >= -3 or (power == -4 and digits > 1)


def _below(eps: float, digits: int, widths: Sequence[int]) -> str:
    """Write ``< 2e-16``, narrower where that fits the other p-values."""
    digits = max(1, digits - 2)
    narrow = not widths
    if widths:
        width = max(widths)
        if digits > 1 and digits + 6 > width:
            digits = max(1, width - 7)
        narrow = width <= 6
    gap = "" if digits == 1 and narrow else " "
    return f"<{gap}{format_numbers([eps], digits=digits)[0]}"


STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"), (0.1, "."), (1.0, " "))
STARS_LEGEND = "0 '***' 0.001 '**' 0.01 '*' 0.05 '.' 0.1 ' ' 1"


def significance_stars(values: ArrayLike) -> list[str]:
    """R's significance stars (``symnum``), one string each; nothing for NaN."""
    flat = [float(x) for x in np.ravel(np.asarray(values, dtype=float))]
    return ["" if math.isnan(p) else next((s for b, s in STARS if p <= b), " ") for p in flat]


def quantiles(
    values: ArrayLike, probs: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0)
) -> FloatArray:
    """R's ``quantile`` (type 7, the default), missing values left out."""
    array = np.ravel(np.asarray(values, dtype=float))
    array = array[~np.isnan(array)]
    if array.size == 0:
        return np.full(len(probs), np.nan)
    return np.asarray(np.quantile(array, probs), dtype=float)
