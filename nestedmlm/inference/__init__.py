"""Inference around a fit (layer 5): pure functions of (design, solution) that know no `LmerFit`."""
