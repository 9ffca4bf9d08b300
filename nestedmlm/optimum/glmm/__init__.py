"""Optima of generalized linear mixed models."""
