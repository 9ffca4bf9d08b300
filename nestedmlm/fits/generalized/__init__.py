"""Verbs of generalized fits only."""
