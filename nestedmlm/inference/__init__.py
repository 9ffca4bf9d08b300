"""Inference around a fit: pure functions of (design, solution) that know no `LmerFit`."""
