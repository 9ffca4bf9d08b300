"""Frames of a fit in broom's columns."""
