"""The Bayesian half: the same design as PyMC models.

Nothing here is imported by ``import nestedmlm``; PyMC, nutpie and ArviZ load on first use.
"""
