"""Sums of products of a design: what the likelihood keeps of the rows."""
