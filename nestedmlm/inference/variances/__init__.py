"""Variance parameters: their information, boundary tests, shares of variance."""
