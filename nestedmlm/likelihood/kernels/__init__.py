"""Numba kernels of the elimination: loops over levels and over small blocks only.

Notation (see `nestedmlm.statistics.crossproducts` for how the arrays are laid out). The grouping
factors of a *chain* are eliminated one level ("node") at a time, finest factor first. A node holds
one row-major panel ``[Q | R]`` of ``k`` rows: ``Q`` (k, k) is its own block of the Schur complement
at the time of its elimination, ``R`` (k, w) the blocks shared with what remains: its ancestors (A
columns), the columns of the dense trailing block it co-occurs with (nt), and the right-hand sides
``[X y]`` (r).

With ``G = T T'``, eliminating a node replaces the rest by ``rest - R' Gt R`` where
``Gt = T (I + T'QT)^{-1} T'``, and adds ``log|I + T'QT|`` to the log-determinant. Nothing is ever
divided by T, so all of it holds at singular T too.

Offsets into flat arrays stand where views would read better: a view costs more than the
arithmetic on blocks this small.
"""
