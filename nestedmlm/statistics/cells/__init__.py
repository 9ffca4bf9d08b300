"""Sums of products by cell: the observed combinations of all grouping factors. They add up."""
