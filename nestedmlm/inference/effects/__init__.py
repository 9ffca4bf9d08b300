"""Tests of the fixed effects: hypotheses, contrasts, degrees of freedom."""
