"""Numbers as the American Psychological Association prints them (Publication Manual, 7th ed.)."""

from __future__ import annotations

import numpy as np

_MOST_DECIMALS = 8  # a number that needs more has an exponent


def statistic(value: float, decimals: int = 2) -> str:
    """A test statistic or another number that may exceed one.

    Examples
    --------
    >>> statistic(6.7715), statistic(-0.5)
    ('6.77', '-0.50')
    """
    return f"{value:,.{decimals}f}" if np.isfinite(value) else "NA"


def below_one(value: float, decimals: int = 2) -> str:
    """A number that cannot exceed one, without the zero before its point: r, R², shares.

    Examples
    --------
    >>> below_one(0.4429), below_one(-0.07), below_one(1.0)
    ('.44', '-.07', '1.00')
    """
    text = statistic(value, decimals)
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def p_value(value: float) -> str:
    """A p-value with its sign: three decimals, or below the smallest.

    Examples
    --------
    >>> p_value(0.0312), p_value(2e-9)
    ('= .031', '< .001')
    """
    return "< .001" if value < 0.0005 else f"= {below_one(value, 3)}"


def degrees_of_freedom(value: float) -> str:
    """Degrees of freedom: whole where they are.

    Examples
    --------
    >>> degrees_of_freedom(17.0000000003), degrees_of_freedom(114.36)
    ('17', '114.4')
    """
    return f"{value:,.0f}" if abs(value - round(value)) < 1e-6 else f"{value:,.1f}"


def with_error(error: float) -> int:
    """Decimals that a standard error deserves: three of its digits, two decimals at least.

    Examples
    --------
    >>> with_error(1.5458), with_error(0.0282), with_error(312.0)
    (2, 4, 2)
    """
    if not np.isfinite(error) or error <= 0:
        return 2
    return max(2, 2 - int(np.floor(np.log10(error))))


def estimate(value: float, decimals: int) -> str:
    """An estimate with as many decimals as `with_error` says; with an exponent where many.

    Examples
    --------
    >>> estimate(10.4673, 2), estimate(1.2345e-9, 11)
    ('10.47', '1.235e-09')
    """
    return f"{value:.3e}" if decimals > _MOST_DECIMALS else statistic(value, decimals)
