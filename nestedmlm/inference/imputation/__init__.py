"""Multiple imputation: estimates and tests pooled over completed data sets."""
