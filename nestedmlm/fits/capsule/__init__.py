"""Capsules: a fit with the sums it was made of, for others to check."""
