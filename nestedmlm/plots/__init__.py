"""Plots: they draw what is computed elsewhere; matplotlib loads on first use (layer 6)."""
