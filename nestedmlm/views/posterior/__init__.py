"""Views of posteriors: they format what `nestedmlm.posterior` computes."""
