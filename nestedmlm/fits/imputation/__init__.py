"""Fits pooled over multiply imputed data sets."""
