"""Estimated marginal means, their contrasts and slopes (layer 7)."""
