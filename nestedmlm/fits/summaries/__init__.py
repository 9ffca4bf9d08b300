"""Summaries: sums over rows that are merged, saved, shared and fitted in the place of rows."""
