"""Estimated marginal means: reference grid, averaging, contrasts, adjusted p-values."""
