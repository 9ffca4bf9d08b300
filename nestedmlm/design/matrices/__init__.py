"""Coded columns: contrasts, model matrices, grouping factors, columns of the random effects."""
