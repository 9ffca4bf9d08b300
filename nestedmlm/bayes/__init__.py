"""Bayesian models: PyMC models of a design, and draws from their posteriors.

Nothing here is imported by ``import nestedmlm``; PyMC, nutpie and ArviZ load on first use.
"""
