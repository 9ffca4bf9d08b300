"""Numba kernels that form the sums of products, and what all kernels share."""
